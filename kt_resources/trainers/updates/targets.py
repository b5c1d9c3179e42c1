"""Which layers an adapter is put on: by name, or by intent, found in the model itself whatever its family.

The families name their layers differently, and some fuse them: ``q_proj, k_proj, v_proj`` of Llama, Qwen, Mistral and
Gemma are Phi-3's ``qkv_proj`` and GPT-NeoX's ``query_key_value``. What they share is that a layer's parent says whether
it is attention or MLP.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from kt_resources.errors import TrainingError
from kt_resources.trainers.updates.base import UpdateStrategy

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TargetModules = Literal["attention", "mlp", "all-linear"] | tuple[str, ...]

PARENTS = {"attention": ("attn", "attention"), "mlp": ("mlp", "feed_forward")}
"""Words in the name of the parent of a linear layer."""

KEYS_AND_VALUES = ("k_proj", "v_proj", "qkv_proj", "query_key_value")
"""The layers that make keys and values; a fused one makes the queries too."""

NO_ADAPTER_ON_EXPERTS = "a mixture's experts, one tensor a layer in memory, take no adapter"


class TargetedUpdate(UpdateStrategy):
    """An adapter on some of the linear layers.

    Attributes:
        target_modules: ``all-linear``, ``attention``, ``mlp`` or names of layers; the output head is never adapted, nor
            are the experts of a mixture.
    """

    target_modules: TargetModules = "all-linear"

    def targets(self, model: "PreTrainedModel") -> list[str]:
        """The names of the layers in ``model``, as PEFT takes them."""
        return target_names(model, self.target_modules)

    def target_shapes(self, model: "PreTrainedModel") -> dict[str, tuple[int, int]]:
        """Path → shape (out, in) of those layers."""
        names = self.targets(model)
        return {
            path: shape
            for path, shape in linear_layers(model)
            if any(f".{path}".endswith(f".{name}") for name in names)
        }

    def target_weights(self, model: "PreTrainedModel") -> list[str]:
        """The full names of those layers' weights."""
        return [f"{path}.weight" for path in self.target_shapes(model)]


def target_names(model: "PreTrainedModel", targets: TargetModules) -> list[str]:
    """The names of ``targets`` in ``model``, shortest first to tell them apart.

    Raises:
        TrainingError: the model has no such layer; the message lists those that it has.
    """
    groups = linear_names(model)
    there = sorted({name for names in groups.values() for name in names})
    wanted = there if targets == "all-linear" else groups[targets] if isinstance(targets, str) else list(targets)
    paths = [path for path, _ in linear_layers(model)]
    missing = [name for name in wanted if not any(path == name or path.endswith(f".{name}") for path in paths)]
    if missing or not wanted:
        what = f"the model has no layer {', '.join(missing)}" if missing else f"the model has no {targets} layers"
        what += f"; {NO_ADAPTER_ON_EXPERTS}" if has_fused_experts(model) else ""
        raise TrainingError(what, where="update.target_modules", mend=f"name layers among: {', '.join(there)}")
    return wanted


def linear_layers(model: "PreTrainedModel") -> Iterable[tuple[str, tuple[int, int]]]:
    """Path and shape (out, in) of every linear layer but the output head, which of a reward model is its score."""
    from torch import nn

    head = model.get_output_embeddings() or getattr(model, "score", None)
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear) and module is not head:
            yield path, (module.out_features, module.in_features)


def linear_names(model: "PreTrainedModel") -> dict[str, list[str]]:
    """``attention``, ``mlp`` and ``other`` → the last names of their linear layers, in the model's order."""
    found: dict[str, dict[str, None]] = {"attention": {}, "mlp": {}, "other": {}}
    for path, _ in linear_layers(model):
        found[_group(path)][path.rpartition(".")[2]] = None
    return {group: list(names) for group, names in found.items()}


def has_fused_experts(model: "PreTrainedModel") -> bool:
    """Whether the experts of a mixture are matrices side by side in one tensor, and no linear layers."""
    return any(parameter.dim() == 3 and ".experts." in name for name, parameter in model.named_parameters())


def _group(path: str) -> str:
    for parent in reversed(path.split(".")[:-1]):
        for group, words in PARENTS.items():
            if any(word in parent for word in words):
                return group
    return "other"


def keys_and_values(model: "PreTrainedModel") -> list[str]:
    """The layers of attention that make keys and values."""
    return [name for name in linear_names(model)["attention"] if name in KEYS_AND_VALUES]


def last_of_mlp(model: "PreTrainedModel") -> list[str]:
    """The layers of the MLP that lead back into the model's width: ``down_proj``, ``fc2``, ``dense_4h_to_h``."""
    width = model.config.get_text_config().hidden_size
    found = {
        path.rpartition(".")[2]: None
        for path, (rows, _) in linear_layers(model)
        if _group(path) == "mlp" and rows == width
    }
    return list(found)
