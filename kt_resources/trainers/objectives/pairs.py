"""What objectives on preference pairs share: the rows, and TRL's reference-free trainers in the factory's loop."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from kt_resources.trainers.objectives.base import Ingredients, ObjectiveConfig, Rows

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, Trainer


class PairObjective(ObjectiveConfig):
    """Learns from a better and a worse answer to the same prompt."""

    rows: ClassVar[Rows] = "preference_pairs"

    def load(self, file: Path, tokenizer: "PreTrainedTokenizerBase", max_seq_len: int) -> "Dataset":
        """Columns ``id``, ``prompt``, ``chosen``, ``rejected`` as text under the template, up to the stop token."""
        from datasets import Dataset

        from kt_resources.trainers.data import check_pairs, read_rows, rendered_pair

        rows = read_rows(file, ("id", "prompt", "chosen", "rejected"))
        rendered = [rendered_pair(row, tokenizer) for row in rows]
        check_pairs(rendered, tokenizer, max_seq_len, file)
        return Dataset.from_list(rendered)


def reference_free(trainer: type, config: type, ingredients: Ingredients, **options: Any) -> "Trainer":
    """``trainer`` of trl.experimental with ``options`` in its ``config``; it holds one model and no reference."""
    arguments = config(
        **ingredients.arguments, **options, max_length=ingredients.max_seq_len, remove_unused_columns=False
    )
    return _in_the_loop(trainer)(
        model=ingredients.model,
        args=arguments,
        train_dataset=ingredients.train,
        eval_dataset=ingredients.validation,
        processing_class=ingredients.tokenizer,
        peft_config=ingredients.peft_config,
        **ingredients.loop,
    )


def _in_the_loop(trainer: type) -> type:
    from kt_resources.trainers.loop import FactoryLoop

    class FactoryPairs(FactoryLoop, trainer):
        """A reference-free trainer in the factory's loop; its held-out loss is TRL's own, weighted by pairs.

        It counts the tokens read, as TRL's other trainers do.
        """

        _num_tokens = 0

        def row_length(self, row: dict[str, Any]) -> int:
            return max(len(row["chosen_input_ids"]), len(row["rejected_input_ids"]))

        def get_batch_loss_metrics(self, model: Any, batch: dict[str, Any], train_eval: str = "train") -> Any:
            if train_eval == "train":
                read = batch["chosen_attention_mask"].sum() + batch["rejected_attention_mask"].sum()
                self._num_tokens += int(self.accelerator.gather(read).sum())
            return super().get_batch_loss_metrics(model, batch, train_eval)

        def log(self, logs: dict[str, float], *args: Any) -> None:
            super().log(logs | ({"num_tokens": float(self._num_tokens)} if "loss" in logs else {}), *args)

    return FactoryPairs
