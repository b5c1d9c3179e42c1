"""AdaLoRA: W + P Λ Q, the budget of singular values shared out by importance while it falls (arXiv:2303.10512).

The budget falls from ``init_r`` to ``target_r`` a layer along a cubic (eq. 12); a triplet's importance is the smoothed
``|w · ∂L/∂w|`` of its numbers (eq. 8 to 11). ``P`` and ``Q`` are held orthogonal by ``R = ‖PᵀP − I‖ + ‖QQᵀ − I‖``
(eq. 4). PEFT adds R to the loss that a model returns, which TRL's trainers do not take: its gradient is added here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kt_resources.compute.needs import Precision
from kt_resources.errors import TrainingError
from kt_resources.trainers.updates.targets import TargetedUpdate

if TYPE_CHECKING:
    import peft
    import torch
    from transformers import PreTrainedModel, TrainerCallback

SCORES = ("ipt", "exp_avg_ipt", "exp_avg_unc")
"""PEFT's importance of every number: the last one, smoothed, and its uncertainty."""


class Adalora(TargetedUpdate):
    """Rank where it helps; the layers together keep ``target_r`` each on average. The paper's rates are near 1e-3.

    Attributes:
        init_r, target_r: rank a layer at the start, and on average at the end.
        alpha: scale, over the initial rank as in the paper; None takes 2 · init_r.
        warmup: share of the steps before ranks fall.
        settle: share of the steps after they have fallen.
        orthogonality: weight of R.
    """

    type: Literal["adalora"] = "adalora"
    learning_rate_scale: ClassVar[float] = 5.0
    shardable: ClassVar[bool] = False

    init_r: int = Field(default=12, ge=2, le=1024)
    target_r: int = Field(default=4, ge=1)
    alpha: float | None = Field(default=None, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    settle: float = Field(default=0.3, ge=0, lt=1)
    orthogonality: float = Field(default=0.1, ge=0)

    def problem(self) -> str | None:
        """Ranks that cannot fall, or no steps for them to fall in."""
        if self.target_r >= self.init_r:
            return f"target_r {self.target_r} is not below init_r {self.init_r}: there would be no rank to take away"
        if self.warmup + self.settle >= 1:
            return "warmup and settle leave no steps for the ranks to fall in; their sum must be below 1"
        return None

    def peft_config(self, model: "PreTrainedModel", total_steps: int) -> "peft.PeftConfig":
        """The AdaLoRA that PEFT puts on the model, its schedule for ``total_steps``.

        Raises:
            TrainingError: a single step, in which no importance can be told.
        """
        from peft import AdaLoraConfig

        before, after = int(self.warmup * total_steps), int(self.settle * total_steps)
        if total_steps - before - after < 2:
            what = f"AdaLoRA cannot share out ranks within {total_steps} step(s)"
            raise TrainingError(what, where="optimization", mend="train for more steps, or with lora")
        return AdaLoraConfig(
            task_type="CAUSAL_LM",
            init_r=self.init_r,
            target_r=self.target_r,
            lora_alpha=2 * self.init_r if self.alpha is None else self.alpha,
            lora_dropout=self.dropout,
            tinit=before,
            tfinal=after,
            deltaT=max(1, (total_steps - before - after) // 100),
            orth_reg_weight=0.0,
            total_step=total_steps,
            target_modules=self.targets(model),
        )

    def trainable_dtype(self, name: str, precision: Precision) -> "torch.dtype":
        """float32: a singular value that is taken away is exactly 0, in the optimizer too."""
        import torch

        return torch.float32

    def attach(self, model: Any) -> None:
        """Hold the rank that updates are divided by: PEFT would train it on weights in bfloat16, and not save it."""
        for name, parameter in model.named_parameters():
            if ".ranknum." in name:
                parameter.requires_grad_(False)
                parameter.data = parameter.data.float()

    def callbacks(self) -> list["TrainerCallback"]:
        """Takes ranks away as training goes."""
        return [_callback(self.orthogonality)]

    def remember(self, model: Any, optimizer: "torch.optim.Optimizer") -> None:
        """Checkpoints hold the importance that was smoothed so far."""
        allocator = model.base_model.rankallocator

        def saved(_: Any, state: dict[str, Any]) -> dict[str, Any]:
            return state | {"importance": {name: dict(getattr(allocator, name)) for name in SCORES}}

        def restored(_: Any, state: dict[str, Any]) -> None:
            for name in SCORES:
                setattr(allocator, name, dict(state["importance"][name]))

        optimizer.register_state_dict_post_hook(saved)
        optimizer.register_load_state_dict_pre_hook(restored)

    def saved_adapter(self, kept: Path) -> "tuple[dict[str, torch.Tensor], dict[str, Any]]":
        """The adapter without the triplets that were taken away."""
        return without_lost_ranks(*super().saved_adapter(kept))


def without_lost_ranks(
    weights: dict[str, "torch.Tensor"], config: dict[str, Any]
) -> tuple[dict[str, "torch.Tensor"], dict[str, Any]]:
    """Drop every triplet whose singular value is 0; PEFT's ``rank_pattern`` tells which are left.

    Args:
        weights: by PEFT's names: ``lora_E`` (rank, 1), ``lora_A`` (rank, in), ``lora_B`` (out, rank).
    """
    left, pattern = dict(weights), {}
    for name in [name for name in weights if name.endswith(".lora_E")]:
        layer, present = name.removesuffix("lora_E"), weights[name].flatten() != 0
        pattern[name.removeprefix("base_model.model.")] = present.tolist()
        left |= {f"{layer}lora_{side}": weights[f"{layer}lora_{side}"][present] for side in "EA"}
        left[f"{layer}lora_B"] = weights[f"{layer}lora_B"][:, present]
    return left, {**config, "rank_pattern": pattern}


def orthogonality(matrices: Iterator["torch.Tensor"]) -> "torch.Tensor":
    """Mean of ‖M Mᵀ − I‖ (Frobenius) over matrices with a row for each singular value."""
    import torch

    norms = [torch.linalg.matrix_norm(m @ m.T - torch.eye(len(m), device=m.device, dtype=m.dtype)) for m in matrices]
    return torch.stack(norms).mean()


def _callback(weight: float) -> "TrainerCallback":
    import torch
    from transformers import TrainerCallback

    class Ranks(TrainerCallback):
        """Adds R's gradient before a step, takes ranks away after it."""

        pattern: dict[str, list[bool]] | None = None

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            """What a resumed run had taken away for good is 0 in its weights."""
            config = model.peft_config["default"]
            if state.global_step >= config.total_step - config.tfinal:
                tensors = model.base_model.model.named_parameters()
                self.pattern = {n: (p != 0).flatten().tolist() for n, p in tensors if ".lora_E." in n}

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            """The gradient of ``weight · R`` beside the clipped one of the data."""
            if not weight:
                return
            sides = [(n, p) for n, p in model.named_parameters() if ".lora_A." in n or ".lora_B." in n]
            term = weight * orthogonality(p if ".lora_A." in n else p.T for n, p in sides)
            for (_, parameter), gradient in zip(sides, torch.autograd.grad(term, [p for _, p in sides]), strict=True):
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient

        def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            """PEFT's allocation; its pattern is kept from the config, so that checkpoints hold whole tensors."""
            config = model.peft_config["default"]
            config.rank_pattern = self.pattern
            model.base_model.update_and_allocate(state.global_step + 1)
            self.pattern, config.rank_pattern = config.rank_pattern, None

    return Ranks()
