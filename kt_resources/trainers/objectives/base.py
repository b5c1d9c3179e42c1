"""What every objective is: what the model learns, from which rows, judged by which figure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from kt_resources.strict import Strict
from kt_resources.trainers.steps import steps_per_epoch

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

    from kt_resources.trainers.spec import Optimization

Rows = Literal["tokenized", "preference_pairs", "labels", "prompts"]
Makes = Literal["language_model", "reward_model"]
"""What a step's model is good for: a reward model scores answers and gives none."""


@dataclass
class Ingredients:
    """What an objective builds its trainer from.

    Attributes:
        arguments: fields of transformers' ``TrainingArguments``, the same for every objective.
        peft_config: the update strategy's adapter; None trains the model's own weights.
        loop: keyword arguments of :class:`kt_resources.trainers.loop.FactoryLoop`.
        verifier: configuration of the verifier, for objectives that need a reward.
        companions: checkpoint folders of the objective's further models, by role.
    """

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    train: "Dataset"
    validation: "Dataset | None"
    arguments: dict[str, Any]
    peft_config: Any
    loop: dict[str, Any]
    verifier: Any
    max_seq_len: int
    companions: dict[str, Path] = field(default_factory=dict)


class ObjectiveConfig(Strict):
    """Base of the objectives.

    Attributes:
        rows: the kind of rows it learns from.
        also_fits: further kinds of rows, which :meth:`load` turns into its own.
        makes: the class of model that comes of it.
        metric: the held-out figure that names the best checkpoint.
        greater_is_better: the direction of ``metric``.
        companion_kinds: the class of model of each role in :attr:`companions`; a language model where none is named.
        full_learning_rate: vetted default where all weights change.
        adapter_learning_rate: vetted default where an adapter is trained.
    """

    type: str
    rows: ClassVar[Rows]
    also_fits: ClassVar[tuple[Rows, ...]] = ()
    makes: ClassVar[Makes] = "language_model"
    metric: ClassVar[str] = "eval_loss"
    greater_is_better: ClassVar[bool] = False
    companion_kinds: ClassVar[Mapping[str, Makes]] = {}
    full_learning_rate: ClassVar[float]
    adapter_learning_rate: ClassVar[float]

    @property
    def needs_verifier(self) -> bool:
        """Whether there is no reward without a verifier."""
        return False

    @property
    def companions(self) -> dict[str, str]:
        """Role → the step, teacher or base model that it learns from beside its start; the role is its field."""
        return {}

    def problem(self, optimization: "Optimization") -> str | None:
        """Why a step cannot learn this as it is set; asked when the recipe loads. Imports no torch."""
        return None

    def steps_per_epoch(self, num_rows: int, rows_per_pass: int, passes: int) -> int:
        """Optimizer steps of an epoch: ``passes`` each, of ``rows_per_pass`` rows of all processes together."""
        return steps_per_epoch(num_rows, rows_per_pass, passes)

    def start(self, model_dir: Path, scratch_dir: Path) -> Path:
        """The checkpoint to start from, made of the step's start where that is of another class of model."""
        return model_dir

    def load(self, file: Path, tokenizer: "PreTrainedTokenizerBase", max_seq_len: int) -> "Dataset":
        """The rows of a Parquet file as TRL's trainer takes them, column ``id`` included.

        Raises:
            TrainingError: a row that cannot be learned from, named by its id.
        """
        raise NotImplementedError

    def build(self, ingredients: Ingredients) -> "Trainer":
        """The TRL trainer of this objective."""
        raise NotImplementedError
