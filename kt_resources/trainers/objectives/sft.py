"""Supervised fine-tuning: the negative log-likelihood of the answer's tokens, averaged over trained tokens."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kt_resources.trainers.objectives.base import Ingredients, ObjectiveConfig, Rows

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, Trainer


class Sft(ObjectiveConfig):
    """Learn tokenized rows where their loss mask is 1.

    Attributes:
        loss_type: ``nll``, or ``dft`` (arXiv:2508.05629), which weighs each token by its own probability.
        neftune_noise_alpha: noise on the embeddings, ``α / √(L d) · U(−1, 1)`` (arXiv:2310.05914); 5 is usual.
    """

    type: Literal["sft"] = "sft"
    rows: ClassVar[Rows] = "tokenized"
    full_learning_rate: ClassVar[float] = 2e-5
    adapter_learning_rate: ClassVar[float] = 2e-4

    loss_type: Literal["nll", "dft"] = "nll"
    neftune_noise_alpha: float | None = Field(default=None, gt=0)

    def load(self, file: Path, tokenizer: "PreTrainedTokenizerBase", max_seq_len: int) -> "Dataset":
        """Columns ``id``, ``input_ids``, ``labels`` (−100 where the loss mask is 0)."""
        from datasets import Dataset

        from kt_resources.trainers.data import check_tokenized, read_rows

        rows = read_rows(file, ("id", "input_ids", "loss_mask"))
        check_tokenized(rows, tokenizer.eos_token_id, max_seq_len, file)
        return Dataset.from_list([self._labelled(row) for row in rows])

    @staticmethod
    def _labelled(row: dict[str, Any]) -> dict[str, Any]:
        labels = [token if kept else -100 for token, kept in zip(row["input_ids"], row["loss_mask"], strict=True)]
        return {"id": row["id"], "input_ids": row["input_ids"], "labels": labels}

    def build(self, ingredients: Ingredients) -> "Trainer":
        """TRL's SFTTrainer, its validation loss averaged over tokens."""
        from trl import SFTConfig

        arguments = SFTConfig(
            **ingredients.arguments,
            loss_type=self.loss_type,
            neftune_noise_alpha=self.neftune_noise_alpha,
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
        )
        return _trainer_class()(
            model=ingredients.model,
            args=arguments,
            train_dataset=ingredients.train,
            eval_dataset=ingredients.validation,
            processing_class=ingredients.tokenizer,
            peft_config=ingredients.peft_config,
            **ingredients.loop,
        )


def _trainer_class() -> type:
    import torch
    from trl import SFTTrainer

    from kt_resources.trainers.loop import FactoryLoop

    class FactorySFT(FactoryLoop, SFTTrainer):
        """SFTTrainer whose held-out loss weighs every token alike, whatever the batches."""

        def row_length(self, row: dict[str, Any]) -> int:
            return len(row["input_ids"])

        def held_out_metrics(self) -> dict[str, float]:
            sums = torch.zeros(3, dtype=torch.float64)
            for inputs in self.get_eval_dataloader():
                with torch.no_grad():
                    outputs = self.model(**self._prepare_inputs(inputs), fused_lm_head=True)
                scored = torch.stack([-outputs.log_probs, outputs.is_top1, outputs.label_mask], dim=-1)
                by_row = self.accelerator.gather_for_metrics(scored.float().sum(dim=1))
                sums += by_row.double().sum(dim=0).cpu()
            loss, correct, tokens = sums.tolist()
            return {"eval_loss": loss / tokens, "eval_mean_token_accuracy": correct / tokens}

    return FactorySFT
