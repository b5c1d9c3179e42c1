"""Spectrum: train whole matrices, those with the highest signal-to-noise ratio (arXiv:2406.06623).

Noise of deviation σ alone gives singular values up to the edge ``ε = σ̂ (1 + √β)``, β = short / long side, as Marchenko
and Pastur's law has it; what stands above is signal: ``SNR = Σ_{s > ε} s / Σ_{s ≤ ε} s / s_max``. σ̂ is the quartiles'
distance of the singular values over 1.349, as in the authors' code.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kt_resources.trainers.kinds import HEAD
from kt_resources.trainers.updates.targets import TargetedUpdate

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

NORMAL_IQR = 1.349
"""Distance of the quartiles of a normal distribution of deviation 1."""


class Spectrum(TargetedUpdate):
    """The best matrices of each kind of layer; embeddings, norms and all other matrices stay as they are.

    A reward model's head is trained besides: it begins at zero, and through zeros no gradient reaches a matrix.

    Attributes:
        fraction: of the matrices of each kind (``q_proj``, ``up_proj`` …) that is trained, one at least; the paper
            takes 0.25 and 0.5.
    """

    type: Literal["spectrum"] = "spectrum"
    has_adapter: ClassVar[bool] = False

    fraction: float = Field(default=0.5, gt=0, le=1)

    def prepare(self, model: "PreTrainedModel") -> None:
        """Freeze all but the chosen matrices, and the head of a reward model."""
        names = self.target_weights(model)
        ratios = {name: signal_to_noise(model.get_parameter(name).detach().float()) for name in names}
        chosen = {*highest_of_each_kind(ratios, self.fraction), HEAD}
        for name, weight in model.named_parameters():
            weight.requires_grad_(name in chosen)


def signal_to_noise(weight: "torch.Tensor") -> float:
    """The ratio of a matrix; 0 where no singular value stands above the edge, infinite where all do."""
    import torch

    return spectrum_ratio(torch.linalg.svdvals(weight), min(weight.shape) / max(weight.shape))


def spectrum_ratio(values: "torch.Tensor", beta: float) -> float:
    """SNR of singular values, the largest first, of a matrix whose sides are as ``beta`` to 1."""
    import torch

    low, high = torch.quantile(values, torch.tensor([0.25, 0.75], device=values.device)).tolist()
    edge = (high - low) / NORMAL_IQR * (1 + beta**0.5)
    signal, noise = values[values > edge].sum().item(), values[values <= edge].sum().item()
    return signal / noise / values[0].item() if noise else float("inf")


def highest_of_each_kind(ratios: Mapping[str, float], fraction: float) -> Iterable[str]:
    """The weights of the highest ratios among those of layers that end with the same name.

    >>> ratios = {"0.up.weight": 1.0, "1.up.weight": 3.0, "0.down.weight": 2.0, "1.down.weight": 1.5}
    >>> sorted(highest_of_each_kind(ratios, 0.5))
    ['0.down.weight', '1.up.weight']
    """
    kinds: dict[str, list[str]] = {}
    for name in ratios:
        kinds.setdefault(name.split(".")[-2], []).append(name)
    for names in kinds.values():
        yield from sorted(names, key=lambda name: -ratios[name])[: max(1, int(fraction * len(names)))]
