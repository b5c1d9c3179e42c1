"""PiSSA: W = W_res + B A, with B A the r largest singular values of W, and only they are trained.

Meng et al. 2024 (arXiv:2404.02948): ``A = √S_r V_rᵀ``, ``B = U_r √S_r``. The saved adapter is ``B A − B₀ A₀`` of rank
2 r and goes on the start model, as PEFT's ``path_initial_model_for_weight_conversion`` makes it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kt_resources.compute.needs import Precision
from kt_resources.errors import TrainingError
from kt_resources.trainers.updates.lora import LoraBase
from kt_resources.trainers.updates.reference import add_reference, over_the_start

if TYPE_CHECKING:
    import peft
    import torch
    from transformers import PreTrainedModel


class Pissa(LoraBase):
    """LoRA's options; learns faster than LoRA from the same rank. The scale defaults to 1: alpha = r.

    ``r`` is the smaller side of every layer at most.

    Attributes:
        niter: steps of a fast approximate SVD; None computes it exactly, which takes minutes on a model of 7B.
    """

    type: Literal["pissa"] = "pissa"
    shardable: ClassVar[bool] = False
    niter: int | None = Field(default=None, ge=1)

    def peft_config(self, model: "PreTrainedModel", total_steps: int) -> "peft.PeftConfig":
        """The LoRA that PEFT starts from the largest singular values.

        Raises:
            TrainingError: a layer has fewer than ``r``.
        """
        path, (rows, columns) = min(self.target_shapes(model).items(), key=lambda layer: min(layer[1]))
        if self.r > min(rows, columns):
            raise TrainingError(
                f"{path} ({rows} × {columns}) has no {self.r} singular values",
                where="update.r",
                mend=f"take r of {min(rows, columns)} at most, or name wider layers in update.target_modules",
            )
        start = "pissa" if self.niter is None else f"pissa_niter_{self.niter}"
        config = self._lora_config(model, init_lora_weights=start)
        config.lora_alpha = self.r if self.alpha is None else self.alpha
        return config

    def attach(self, model: Any) -> None:
        """Keep ``B₀ A₀``: the residual with it is the start model."""
        add_reference(model)

    def trainable_dtype(self, name: str, precision: Precision) -> "torch.dtype":
        """float32: the adapter holds the largest part of the weights, and rounding it would change the model."""
        import torch

        return torch.float32

    def saved_adapter(self, kept: Path) -> "tuple[dict[str, torch.Tensor], dict[str, Any]]":
        """``B A − B₀ A₀``, the change of the start model."""
        weights, config = over_the_start(kept)
        return dict(weights), dict(config)
