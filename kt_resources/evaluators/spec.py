"""What the evaluation program is told."""

from pathlib import Path

from pydantic import Field

from kt_resources.compute.program import ProgramSpec
from kt_resources.evaluators.config import Evaluation
from kt_resources.strict import Strict


class EvaluatedModel(Strict):
    """One model of the line.

    Attributes:
        asset: its asset (``sft_model``).
        step: what a person calls it: a step of the recipe, ``base``, ``merged``, ``gguf``.
        path: a Hugging Face checkpoint folder, or a ``.gguf`` file.
        tokenizer_dir: folder with the tokenizer and the chat template that this model is asked with.
        adapter_dir: an adapter that goes on ``path`` and could not be merged into it.
        made_from: assets of the models that it was made from (its start; what was merged; what was quantized).
    """

    asset: str
    step: str
    data_version: str
    path: Path
    tokenizer_dir: Path
    adapter_dir: Path | None = None
    made_from: tuple[str, ...] = ()


class Example(Strict):
    """A worked example: a training row's question, and its completion as the answer."""

    id: str
    question: str
    completion: str


class EvaluateSpec(ProgramSpec):
    """Models, held-out tasks and options.

    Attributes:
        models: the first is what the others are compared with (the base model).
        tasks_dir: folder of lm-eval tasks, one a family (see ``kt_assets.evaluate.tasks``).
        ability_dir: folder of the lm-eval task ``general_ability``; it is not asked without it.
        general_text: a text file for perplexity; none is measured without it.
        known_dir: what the last report kept of its evaluations (:mod:`kt_resources.evaluators.known`).
        examples: by task, what the first model is asked after, a second time; it is asked once where there are none.
    """

    models: tuple[EvaluatedModel, ...] = Field(min_length=1)
    tasks_dir: Path
    general_text: Path | None = None
    ability_dir: Path | None = None
    known_dir: Path | None = None
    examples: dict[str, tuple[Example, ...]] = {}
    config: Evaluation = Evaluation()
