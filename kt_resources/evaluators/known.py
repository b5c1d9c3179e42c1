"""What a line's models were asked before: a report keeps it, and the next one asks only what is new.

A folder a model version, with ``answers.jsonl`` and a file an evaluation of it. It lies under ``run/`` of the report,
which its data version leaves out.
"""

import shutil
from importlib.metadata import version
from pathlib import Path

from kt_resources.evaluators.spec import EvaluatedModel
from kt_resources.store.fingerprint import hash_json

ANSWERS = "answers.jsonl"
KEPT = "run/evaluated"
"""In the report's folder."""
ASKED_BY = {"way": 1} | {name: version(name) for name in ("llama-cpp-python", "lm-eval", "transformers")}
"""Who asks; raise ``way`` when the same question of the same model should be asked anew."""


class Known:
    """The files of an evaluation under way, of the report before it and of the report that it becomes.

    Args:
        here: where this evaluation works; it survives a crash.
        before: what the last report kept; None asks everything.
        out: the report's folder, whose :data:`KEPT` the next one shall know.
    """

    def __init__(self, here: Path, before: Path | None, out: Path) -> None:
        self._here, self._before, self._kept = here, before, out / KEPT

    def folder(self, model: EvaluatedModel) -> Path:
        """Where this model's answers and evaluations lie, those of the last report among them."""
        name = hash_json([model.data_version, ASKED_BY])[:24]
        folder = self._here / name
        if self._before and not folder.exists() and (self._before / name).is_dir():
            shutil.copytree(self._before / name, folder)
        return folder

    def keep(self, evaluation: Path) -> None:
        """Let the next report know this evaluation, and the answers that it rests on."""
        kept = self._kept / evaluation.parent.name
        kept.mkdir(parents=True, exist_ok=True)
        for file in (evaluation, evaluation.with_name(ANSWERS)):
            shutil.copyfile(file, kept / file.name)
