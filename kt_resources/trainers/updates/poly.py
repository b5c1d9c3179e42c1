"""A mixture of LoRA experts: W + (Σ wᵢ Bᵢ)(Σ wᵢ Aᵢ) / r, the weights learned layer by layer (Polytropon).

Ponti et al. 2022 (arXiv:2202.13914, eq. 2 and 3); in splits, each with weights of its own, Caccia et al. 2022
(arXiv:2211.03831). ``w = σ(z) / Σ σ(z)``, in training σ(z) is drawn from a relaxed Bernoulli distribution. The weights
hang on the task, and a step has one: the trained mixture is a single LoRA, as which it is saved and merged.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from kt_resources.errors import TrainingError
from kt_resources.trainers.updates.targets import TargetedUpdate

if TYPE_CHECKING:
    import peft
    import torch
    from transformers import PreTrainedModel

EPSILON = 1e-12
"""PEFT's, in the sum that weights are divided by."""


class Poly(TargetedUpdate):
    """Several low-rank experts a layer and their weights.

    Attributes:
        experts: LoRAs a layer.
        r: rank of each.
        splits: parts of the input and output that are mixed apart; must divide the sizes of all layers.
    """

    type: Literal["poly"] = "poly"

    experts: int = Field(default=4, ge=2, le=64)
    r: int = Field(default=8, ge=1, le=1024)
    splits: int = Field(default=1, ge=1, le=64)

    def peft_config(self, model: "PreTrainedModel", total_steps: int) -> "peft.PeftConfig":
        """The mixture that PEFT puts on the model.

        Raises:
            TrainingError: ``splits`` do not divide a layer's sizes.
        """
        from peft import PolyConfig

        for path, (rows, columns) in self.target_shapes(model).items():
            if rows % self.splits or columns % self.splits:
                raise TrainingError(
                    f"{path} ({rows} × {columns}) cannot be cut into {self.splits} equal parts",
                    where="update.splits",
                    mend="take a number that divides the sizes of all layers, as 2 or 4, or name other layers",
                )

        return PolyConfig(
            task_type="CAUSAL_LM",
            r=self.r,
            n_tasks=1,
            n_skills=self.experts,
            n_splits=self.splits,
            target_modules=self.targets(model),
        )

    def attach(self, model: Any) -> None:
        """Tell every layer that all rows are of the one task."""
        from peft.tuners.poly import Linear

        for module in model.modules():
            if isinstance(module, Linear):
                module.register_forward_pre_hook(_of_the_one_task, with_kwargs=True)

    def saved_adapter(self, kept: Path) -> "tuple[dict[str, torch.Tensor], dict[str, Any]]":
        """The trained mixture as one LoRA of scale 1 / r."""
        weights, config = super().saved_adapter(kept)
        mixed = {name: tensor for name, tensor in weights.items() if ".poly_" not in name}
        for name in [name for name in weights if name.endswith(".poly_lora_A")]:
            layer = name.removesuffix(".poly_lora_A")
            logits = next(tensor for key, tensor in weights.items() if key.startswith(f"{layer}.poly_router"))
            down, up = mixture(weights[name], weights[f"{layer}.poly_lora_B"], logits)
            mixed |= {f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}
        same = {key: config[key] for key in ("task_type", "r", "target_modules", "modules_to_save")}
        return mixed, {"peft_type": "LORA", "lora_alpha": 1.0, **same}


def mixture(down: "torch.Tensor", up: "torch.Tensor", logits: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """``A`` (r, in) and ``B`` (out, r) of a trained mixture.

    Args:
        down: (splits, experts, in / splits, r).
        up: (splits, experts, r, out / splits).
        logits: z, (1, splits · experts).
    """
    import torch

    drawn = logits.float().view(down.shape[0], down.shape[1]).sigmoid()
    weights = drawn / (drawn.sum(-1, keepdim=True) + EPSILON)
    first = torch.einsum("qs,qsdr->qdr", weights, down.float()).reshape(-1, down.shape[-1])
    second = torch.einsum("qs,qsrd->qrd", weights, up.float()).transpose(0, 1).reshape(up.shape[2], -1)
    return first.T.contiguous(), second.T.contiguous()


def _of_the_one_task(module: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    import torch

    rows = torch.zeros(len(inputs[0]), dtype=torch.long, device=inputs[0].device)
    return inputs, {**options, "task_ids": rows}
