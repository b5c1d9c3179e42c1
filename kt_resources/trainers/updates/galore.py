"""GaLore: Adam in the gradient's largest r directions (Zhao et al. 2024, arXiv:2403.03507, Algorithm 1).

For a weight W (m × n, m ≤ n) with gradient G: every T steps ``P`` = the first r left singular vectors of G; then
``R = Pᵀ G`` (r × n), ``N = Adam(R)``, ``W ← W − η α P N``. Where m > n the right singular vectors are taken. All of W
is trained; the optimizer holds 2 r n + m r numbers instead of AdamW's 2 m n.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kt_resources.trainers.updates.base import OptimizerClass
from kt_resources.trainers.updates.targets import TargetedUpdate

if TYPE_CHECKING:
    import torch
    from transformers import TrainingArguments


class Galore(TargetedUpdate):
    """All weights; those of ``target_modules`` by projected gradients, the others by AdamW.

    Attributes:
        r: directions of a gradient that are kept; the paper takes 128 to 1024, by the model's width.
        update_every: T, steps between two singular value decompositions.
        scale: α; the default learning rate makes up for it.
    """

    type: Literal["galore"] = "galore"
    has_adapter: ClassVar[bool] = False
    shardable: ClassVar[bool] = False
    learning_rate_scale: ClassVar[float] = 4.0

    r: int = Field(default=128, ge=1)
    update_every: int = Field(default=200, ge=1)
    scale: float = Field(default=0.25, gt=0)

    def optimizer(
        self, model: Any, arguments: "TrainingArguments", kind: OptimizerClass, options: dict[str, Any]
    ) -> "torch.optim.Optimizer":
        """GaLore over the targets, AdamW over the rest; float32 copies where weights are in bfloat16."""
        import torch

        from kt_resources.trainers.projected import MasterProjectedAdamW, ProjectedAdamW

        chosen = set(self.target_weights(model))
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for name, p in trained if name in chosen], "rank": self.r},
            {"params": [p for name, p in trained if name not in chosen], "rank": None},
        ]
        rounded = any(p.dtype == torch.bfloat16 for _, p in trained)
        return (MasterProjectedAdamW if rounded else ProjectedAdamW)(
            groups,
            lr=options["lr"],
            betas=options["betas"],
            eps=options["eps"],
            weight_decay=arguments.weight_decay,
            update_every=self.update_every,
            scale=self.scale,
        )
