"""Losses of two terms over trained tokens: the answers' cross-entropy, and a distance to another model."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Terms = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]
"""Cross-entropy and distance in nats, each summed over the batch's trained positions, and their number."""


def two_term_class() -> type:
    """The factory's SFT trainer for losses that are a sum over trained tokens, divided by their number.

    A subclass brings ``terms(model, inputs) -> Terms``, and ``weights``: those of cross-entropy and of distance.
    """
    import torch

    from kt_resources.trainers.objectives import sft

    class TwoTerms(sft.trainer_class()):  # type: ignore[misc]
        """Its held-out loss weighs every token alike, whatever the batches."""

        weights: tuple[float, float]
        kl_scale: float = 1.0
        """By what the distance is divided to be the divergence that is told as ``kl``."""

        def terms(self, model: Any, inputs: dict[str, Any]) -> Terms:
            raise NotImplementedError

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> "torch.Tensor":
            answers, distance, tokens = self.terms(model, inputs)
            self._total_train_tokens += self.accelerator.gather(inputs["attention_mask"].sum()).sum().item()
            self._metrics["train"]["num_tokens"] = [self._total_train_tokens]
            self._metrics["train"]["kl"].append((distance / self.kl_scale / tokens).item())
            loss = self.weights[0] * answers + self.weights[1] * distance
            if num_items_in_batch is None:
                return loss / tokens
            return loss / num_items_in_batch * self.accelerator.num_processes

        def held_out_metrics(self) -> dict[str, float]:
            sums = torch.zeros(3, dtype=torch.float64, device=self.accelerator.device)
            for inputs in self.get_eval_dataloader():
                with torch.no_grad():
                    found = self.terms(self.model, self._prepare_inputs(inputs))
                sums += torch.stack([term.double() for term in found])
            answers, distance, tokens = self.accelerator.reduce(sums, reduction="sum").tolist()
            return {
                "eval_loss": (self.weights[0] * answers + self.weights[1] * distance) / tokens,
                "eval_kl": distance / self.kl_scale / tokens,
            }

    return TwoTerms
