"""What a model's weights are called in its checkpoint: transformers renames some, and fuses others, when it loads them.

GPT-NeoX's stored ``embed_out.weight`` is ``lm_head.weight`` in memory, and the experts of a mixture, stored one by one,
are one tensor a layer. Saved is what the start stores, under its names.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from kt_resources.errors import TrainingError

if TYPE_CHECKING:
    import torch


def as_stored(model: Any, weights: "Mapping[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    """``weights`` of ``model`` by the names and in the parts that its checkpoint has, as transformers saves them."""
    from transformers.core_model_loading import revert_weight_conversion

    return revert_weight_conversion(model, dict(weights))


def stored_name(model: Any, name: str) -> str:
    """The checkpoint's name of one weight of ``model`` that stands there whole."""
    import torch

    return next(iter(as_stored(model, {name: torch.empty(0)})))


def stored_weight(model: Any, module: Any) -> str:
    """The checkpoint's name of the weight of ``module``, a part of ``model``."""
    path = next(path for path, part in model.named_modules() if part is module)
    return stored_name(model, f"{path}.weight")


def tied_names(model: Any) -> dict[str, str]:
    """Name of each tied weight in the checkpoint → the name of the one that it is tied to, both ways."""
    pairs = [(stored_name(model, one), stored_name(model, other)) for one, other in model.all_tied_weights_keys.items()]
    return dict(pairs) | {other: one for one, other in pairs}


def require_names(model: Any, stored: Collection[str], place: str) -> None:
    """Refuse a checkpoint whose names cannot be given back to what is trained; asked before anything is.

    What the model does not read at all, as buffers of older versions, is no obstacle: it stays as it is.

    Raises:
        TrainingError: some of the model's weights stand there under names that transformers would not save them by.
    """
    empty = {name: tensor.to("meta") for name, tensor in model.state_dict().items()}
    unread = set(stored) - as_stored(model, empty).keys()
    if not unread:
        return
    trained = as_stored(model, {name: empty[name] for name, _ in model.named_parameters() if name in empty})
    if renamed := trained.keys() - set(stored) - tied_names(model).keys():
        raise TrainingError(
            f"the checkpoint stores {_few(unread)}, where transformers would save {_few(renamed)}",
            where=place,
            mend="load it with transformers, save it anew with save_pretrained, and start from that",
        )


def _few(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
