"""Where training changes the frozen weights too: what the start model is, kept as a second adapter.

PiSSA moves a part of the weights into its adapter, LoftQ rounds them, ReLoRA folds adapters into them. The frozen
weights alone are then not the start model; with the frozen adapter ``ref`` on them they are: ``W₀ = W + ref``. TRL
takes that adapter for its reference model, and the adapter that is saved is ``trained − ref``, which goes on the start.
"""

import copy
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import peft
    import torch

REFERENCE = "ref"
"""TRL's name for the adapter that a reference model has on."""


class Low(NamedTuple):
    """A low-rank update of every adapted layer: tensors by PEFT's names, and their config."""

    weights: Mapping[str, "torch.Tensor"]
    config: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "Low":
        """A LoRA as PEFT saves it."""
        from safetensors.torch import load_file

        config = json.loads((folder / "adapter_config.json").read_text())
        return cls(load_file(folder / "adapter_model.safetensors"), config)

    @classmethod
    def of(cls, model: "peft.PeftModel", adapter: str) -> "Low":
        """The LoRA ``adapter`` of a model, a copy."""
        from peft import get_peft_model_state_dict

        weights = get_peft_model_state_dict(model, adapter_name=adapter)
        copies = {name: tensor.detach().float().clone() for name, tensor in weights.items()}
        return cls(copies, model.peft_config[adapter].to_dict())

    @property
    def scaling(self) -> float:
        """What B A is multiplied by."""
        rank = self.config["r"]
        return self.config["lora_alpha"] / (rank**0.5 if self.config["use_rslora"] else rank)


def add_reference(model: "peft.PeftModel") -> None:
    """Keep the adapter's present weights as the frozen adapter ``ref``."""
    _set_reference(model, added([(1.0, Low.of(model, "default"))]))


def fold_in(model: "peft.PeftModel") -> None:
    """Add the adapter to the frozen weights: ``W ← W + s B A``, and take it from ``ref``: ``ref ← ref − s B A``."""
    taken = added([(-1.0, Low.of(model, "default"))])
    _subtract(model, taken)
    before = [(1.0, Low.of(model, REFERENCE))] if REFERENCE in model.peft_config else []
    _set_reference(model, added([*before, (1.0, taken)]))


def fold_in_again(model: "peft.PeftModel") -> None:
    """Bring the frozen weights of a start model to where ``ref`` says they had been, fold by fold in their order."""
    if REFERENCE not in model.peft_config:
        return
    whole, rank = Low.of(model, REFERENCE), model.peft_config["default"].r
    for begin in range(0, whole.config["r"], rank):
        part = {
            name: tensor[:, begin : begin + rank] if ".lora_B." in name else tensor[begin : begin + rank]
            for name, tensor in whole.weights.items()
        }
        _subtract(model, Low(part, whole.config))


def _subtract(model: "peft.PeftModel", low: Low) -> None:
    """``W ← W − B A`` in float32, layer by layer; ``low`` has scale 1."""
    for name, down in low.weights.items():
        if ".lora_A." in name:
            up = low.weights[name.replace(".lora_A.", ".lora_B.")]
            weight = model.get_submodule(name.partition(".lora_A.")[0]).get_base_layer().weight
            weight.data.copy_(weight.data.float() - up @ down)


def _set_reference(model: "peft.PeftModel", low: Low) -> None:
    """Put ``low``, which has scale 1, on the model as the frozen adapter ``ref``."""
    from peft import set_peft_model_state_dict

    if REFERENCE in model.peft_config:
        model.delete_adapter(REFERENCE)
    config = copy.deepcopy(model.peft_config["default"])
    config.init_lora_weights, config.use_rslora = True, False
    config.r = config.lora_alpha = low.config["r"]
    model.add_adapter(REFERENCE, config)
    set_peft_model_state_dict(model, dict(low.weights), adapter_name=REFERENCE)
    for name, parameter in model.named_parameters():
        if f".{REFERENCE}." in name:
            parameter.requires_grad_(False)


def added(updates: Iterable[tuple[float, Low]]) -> Low:
    """The sum of weighted LoRAs as one of the ranks' sum: ``Σ wᵢ sᵢ Bᵢ Aᵢ = [w₁s₁B₁ | w₂s₂B₂ | …] [A₁; A₂; …]``.

    Whatever else PEFT saves with an adapter, as the head of a reward model, is the first one's.
    """
    import torch

    parts = list(updates)
    weights = {}
    for name in parts[0][1].weights:
        if ".lora_B." in name:
            columns = [weight * low.scaling * low.weights[name].float() for weight, low in parts]
            weights[name] = torch.cat(columns, dim=1)
        elif ".lora_A." not in name:
            weights[name] = parts[0][1].weights[name]
        else:
            weights[name] = torch.cat([low.weights[name].float() for _, low in parts], dim=0)
    rank = sum(low.config["r"] for _, low in parts)
    plain = {"r": rank, "lora_alpha": rank, "use_rslora": False, "init_lora_weights": True}
    return Low(weights, {**parts[0][1].config, **plain})


def over_the_start(kept: Path) -> Low:
    """``trained − ref``: the adapter in ``kept`` as it goes on the start model."""
    trained = Low.read(kept)
    if not (kept / REFERENCE).is_dir():
        return added([(1.0, trained)])
    return added([(1.0, trained), (-1.0, Low.read(kept / REFERENCE))])
