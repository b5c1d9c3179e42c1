"""SFT that stays near its start: NLL + β · KL(π ‖ π₀) over trained tokens, π₀ the start model.

The KL-control of Jaques et al. 2017 (arXiv:1611.02796, §4) beside a supervised loss, against forgetting.
"""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from kt_resources.trainers.objectives.two_terms import Terms


def kl_terms(policy: "torch.Tensor", start: "torch.Tensor", labels: "torch.Tensor") -> tuple["torch.Tensor", ...]:
    """``(NLL, KL(policy ‖ start))`` in nats, each summed over positions.

    Args:
        policy, start: logits, (positions, vocabulary).
        labels: the next token at each position.
    """
    from torch.nn.functional import cross_entropy, kl_div

    policy, start = policy.float(), start.float()
    log_policy, log_start = policy.log_softmax(-1), start.log_softmax(-1)
    # torch's kl_div(input, target) is KL(target ‖ input).
    return cross_entropy(policy, labels, reduction="sum"), kl_div(
        log_start, log_policy, reduction="sum", log_target=True
    )


def start_model(model: "PreTrainedModel", has_adapter: bool) -> "PreTrainedModel | None":
    """A frozen copy of the start model; None where the adapter can be switched off instead."""
    from kt_resources.trainers.kinds import load_model

    if has_adapter:
        return None
    return load_model(Path(model.config._name_or_path), dtype=model.dtype).eval().requires_grad_(False)


def trainer_class() -> type:
    """The SFT trainer of the factory with this loss."""
    import torch
    from trl.trainer.utils import use_adapter

    from kt_resources.trainers.objectives.two_terms import two_term_class

    class KlSFT(two_term_class()):  # type: ignore[misc]
        """Takes ``beta`` and ``start``: the frozen start model, or None for the model without its adapter."""

        def __init__(self, *args: Any, beta: float, start: "PreTrainedModel | None", **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.weights, self.start = (1.0, beta), start
            if start is not None:
                start.to(self.accelerator.device)

        def terms(self, model: Any, inputs: dict[str, Any]) -> "Terms":
            labels = inputs["labels"][:, 1:]
            trained, asked = labels != -100, {k: inputs[k] for k in ("input_ids", "attention_mask")}
            policy = model(**asked).logits[:, -labels.size(1) - 1 : -1][trained]
            with torch.no_grad(), self._as_at_the_start():
                start = (model if self.start is None else self.start)(**asked).logits[:, -labels.size(1) - 1 : -1]
            return *kl_terms(policy, start[trained], labels[trained]), trained.sum()

        def _as_at_the_start(self) -> contextlib.AbstractContextManager[Any]:
            if self.start is not None:
                return contextlib.nullcontext()
            adapted = self.accelerator.unwrap_model(self.model)
            return use_adapter(adapted, adapter_name="ref" if "ref" in adapted.peft_config else None)

    return KlSFT
