"""Supervised fine-tuning: the negative log-likelihood of the answer's tokens, averaged over trained tokens."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kt_resources.errors import TrainingError
from kt_resources.trainers.objectives.base import Ingredients, ObjectiveConfig, Rows

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

    from kt_resources.trainers.spec import Optimization


class Sft(ObjectiveConfig):
    """Learn tokenized rows where their loss mask is 1.

    Attributes:
        loss_type: ``nll``, or ``dft`` (arXiv:2508.05629), which weighs each token by its own probability.
        packing: the rows of a micro-batch stand in one line, without padding; each row sees itself alone.
        kl_beta: weight of KL(policy ‖ start) beside the loss, against forgetting; 0.1 is usual, 0 leaves it out.
        neftune_noise_alpha: noise on the embeddings, ``α / √(L d) · U(−1, 1)`` (arXiv:2310.05914); 5 is usual.
    """

    type: Literal["sft"] = "sft"
    rows: ClassVar[Rows] = "tokenized"
    full_learning_rate: ClassVar[float] = 2e-5
    adapter_learning_rate: ClassVar[float] = 2e-4

    loss_type: Literal["nll", "dft"] = "nll"
    neftune_noise_alpha: float | None = Field(default=None, gt=0)
    packing: bool = False
    kl_beta: float = Field(default=0.0, ge=0)

    def problem(self, optimization: "Optimization") -> str | None:
        if self.packing and self.neftune_noise_alpha is not None:
            return "NEFTune's noise shrinks with a line's length, and packing makes lines long: take one of the two"
        if self.kl_beta and self.neftune_noise_alpha is not None:
            return "NEFTune's noise would count as distance to the start model: take one of it and kl_beta"
        if self.kl_beta and (self.packing or self.loss_type != "nll"):
            return "kl_beta goes with the loss nll and without packing"
        return None

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
            padding_free=self.packing,
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
        )
        kind, further = self._trainer(ingredients)
        trainer = kind(
            model=ingredients.model,
            args=arguments,
            train_dataset=ingredients.train,
            eval_dataset=ingredients.validation,
            processing_class=ingredients.tokenizer,
            peft_config=ingredients.peft_config,
            **further,
            **ingredients.loop,
        )
        if self.packing:
            refuse_where_rows_mix(trainer.model)
        return trainer

    def _trainer(self, ingredients: Ingredients) -> tuple[Any, dict[str, Any]]:
        """The trainer's class, and what it takes beside the usual."""
        from kt_resources.trainers.objectives import kl_to_start

        if not self.kl_beta:
            return trainer_class(), {}
        start = kl_to_start.start_model(ingredients.model, has_adapter=ingredients.peft_config is not None)
        return kl_to_start.trainer_class(), {"beta": self.kl_beta, "start": start}


def refuse_where_rows_mix(model: "PreTrainedModel") -> None:
    """Refuse a model that does not keep apart two rows in one line, told by their positions starting anew.

    Raises:
        TrainingError: what stands in the first row changes what the model says in the second.
    """
    import torch

    model.eval()
    one, other = (torch.tensor([[*first, 5, 6, 7, 8]], device=model.device) for first in ((1, 2, 3), (9, 8, 4)))
    positions = torch.tensor([[0, 1, 2, 0, 1, 2, 3]], device=model.device)
    with torch.no_grad():
        said = [model(input_ids=ids, position_ids=positions, use_cache=False).logits[0, 3:] for ids in (one, other)]
    if not said[0].equal(said[1]):
        raise TrainingError(
            f"this model does not keep packed rows apart (attention: {model.config._attn_implementation})",
            where="objective.packing",
            mend="take packing: false",
        )


def trainer_class() -> type:
    """TRL's SFTTrainer in the factory's loop."""
    import dataclasses

    import torch
    from trl import SFTTrainer

    from kt_resources.trainers.loop import FactoryLoop

    class FactorySFT(FactoryLoop, SFTTrainer):
        """SFTTrainer whose held-out loss weighs every token alike, whatever the batches."""

        data_collator: Any

        def row_length(self, row: dict[str, Any]) -> int:
            return len(row["input_ids"])

        def get_eval_dataloader(self, *args: Any, **kwargs: Any) -> Any:
            """Held-out rows are never packed: a batch then holds as many rows as it says."""
            packed, self.data_collator = self.data_collator, dataclasses.replace(self.data_collator, padding_free=False)
            try:
                return super().get_eval_dataloader(*args, **kwargs)
            finally:
                self.data_collator = packed

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
