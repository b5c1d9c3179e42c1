"""What a line's models were asked before: a report keeps it, and the next one asks only what is new.

A folder a model version and way of asking, with ``answers.jsonl`` and a file an evaluation of it. It lies under
``run/`` of the report, which its data version leaves out.
"""

import datetime
import os
import shutil
from pathlib import Path
from typing import Any

from kt_resources.evaluators.spec import EvaluatedModel
from kt_resources.generators.config import Engine
from kt_resources.store.fingerprint import file_sha256, hash_json
from kt_resources.store.manifest import versions_of

ANSWERS = "answers.jsonl"
KEPT = "run/evaluated"
"""In the report's folder."""
WAY = 1
"""Raise it when the same question of the same model should be asked, or scored, anew."""
LIBRARIES = ("llama-cpp-python", "lm-eval", "math-verify", "reasoning-gym", "torch", "transformers")
"""What answers and scores come from, beside the model."""
WRITTEN_WITH = (
    "tokenizer*",
    "chat_template*",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
)
"""The files that say how a model is asked, and where its answers end."""
DATED = "strftime_now"
"""What a chat template calls that writes today's date."""


def asked_by(model: EvaluatedModel, engine: Engine) -> dict[str, Any]:
    """What a model's answers depend on beside its weights and the questions: whoever differs in it asks anew."""
    from kt_resources.compute.precision import program_device
    from kt_resources.generators.open_engine import answered_in

    chosen, precision = ("transformers", None) if model.adapter_dir else answered_in(model.path, engine)
    files = sorted({file for pattern in WRITTEN_WITH for file in model.tokenizer_dir.glob(pattern) if file.is_file()})
    dated = any(DATED in file.read_text(encoding="utf-8", errors="replace") for file in files)
    return versions_of(LIBRARIES) | {
        "way": WAY,
        "engine": chosen,
        "device": program_device(),
        "precision": precision,
        "start": str(model.path) if model.adapter_dir else None,
        "written with": {file.name: file_sha256(file) for file in files},
        "day": datetime.date.today().isoformat() if dated else None,
    }


class Known:
    """The files of an evaluation under way, of the report before it and of the report that it becomes.

    Args:
        scratch: where evaluations work; it survives a crash.
        before: what the last report kept; None asks everything, but for what it had asked itself before a crash.
        out: the report's folder, whose :data:`KEPT` the next one shall know.
    """

    def __init__(self, scratch: Path, before: Path | None, out: Path) -> None:
        self._here = scratch / ("evaluated" if before else "evaluated_anew")
        self._before, self._kept = before, out / KEPT

    def folder(self, model: EvaluatedModel, engine: Engine) -> Path:
        """Where this model's answers and evaluations lie, those of the last report among them."""
        name = hash_json([model.data_version, asked_by(model, engine)])[:24]
        folder = self._here / name
        if self._before and not folder.exists() and (self._before / name).is_dir():
            half = folder.with_suffix(".part")
            shutil.rmtree(half, ignore_errors=True)
            shutil.copytree(self._before / name, half)
            os.replace(half, folder)
        return folder

    def keep(self, evaluation: Path) -> None:
        """Let the next report know this evaluation, and the answers that it rests on."""
        kept = self._kept / evaluation.parent.name
        kept.mkdir(parents=True, exist_ok=True)
        for file in (evaluation, evaluation.with_name(ANSWERS)):
            shutil.copyfile(file, kept / file.name)
