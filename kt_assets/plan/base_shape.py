"""The shape of a line's base model: from its artifact where it is made, else from what the recipe names."""

import json
import re
from pathlib import Path
from typing import Any

from kt_assets.stage import Stage
from kt_resources.bases.locate import locate
from kt_resources.compute.memory.shape import ModelShape, published, published_names, shape_of_config, shape_of_folder
from kt_resources.errors import RecipeError
from kt_resources.recipes.base_model import BaseModelSource, HubModel, RandomModel
from kt_resources.store.store import Store

TINY = ModelShape(
    name="tiny",
    layers=2,
    hidden=64,
    intermediate=192,
    heads=4,
    kv_heads=2,
    head_dim=16,
    vocab=933,
    tied=True,
    stored_bytes=4.0,
)
"""The random model of under a million parameters."""

TINY_CONTEXT = 2048

SIZE = re.compile(r"[ae]?(\d+x)?\d+(\.\d+)?[bm]")
"""A word of a model's name that says its size: 7b, 8x7b, 135m, a3b."""

GGUF_KEYS = {
    "layers": "block_count",
    "hidden": "embedding_length",
    "intermediate": "feed_forward_length",
    "heads": "attention.head_count",
    "kv_heads": "attention.head_count_kv",
}


def base_shape(stage: Stage, source: BaseModelSource, store: Store, model: str | None = None) -> ModelShape:
    """The shape that a line's models have.

    Args:
        stage: that makes the line's base model from ``source``.
        model: a published name that stands in for the base model, to plan for a larger one.

    Raises:
        RecipeError: nothing tells the shape without loading the model.
    """
    if model:
        return published(model)
    artifact = store.current(stage.asset)
    if artifact is not None:
        return shape_of_folder(artifact.path("model"))
    return source_shape(source)


def source_shape(source: BaseModelSource) -> ModelShape:
    """The shape of a base model that is not made yet."""
    if isinstance(source, RandomModel):
        return TINY
    if isinstance(source, HubModel):
        return _hub_shape(source)
    folder, gguf_file = locate(source)
    return shape_of_folder(folder) if gguf_file is None else gguf_shape(folder / gguf_file)


def _hub_shape(source: HubModel) -> ModelShape:
    """From the local cache of the hub, or from a published model that the id names."""
    if cached := _cached_config(source):
        return shape_of_config(json.loads(cached.read_text()), source.hub)
    if name := _named_in(source.hub):
        return published(name)
    mend = f"say --model NAME; there are: {', '.join(published_names())}"
    raise RecipeError(f"nothing here tells the shape of {source.hub}", where="base_model.hub", mend=mend)


def _cached_config(source: HubModel) -> Path | None:
    """The model's config in the local cache of the hub, where it is there."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(source.hub, "config.json", revision=source.revision)
    return Path(cached) if isinstance(cached, str) else None


def source_context(source: BaseModelSource) -> int | None:
    """Tokens that a base model reads at once, as its own files say; None where they are not here or do not say."""
    if isinstance(source, RandomModel):
        return TINY_CONTEXT
    if isinstance(source, HubModel):
        cached = _cached_config(source)
        return _config_context(cached) if cached else None
    folder, gguf_file = locate(source)
    return _config_context(folder / "config.json") if gguf_file is None else _gguf_context(folder / gguf_file)


def _config_context(file: Path) -> int | None:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:  # told where the model is made
        return None
    told = config.get("text_config", config).get("max_position_embeddings")
    return told if isinstance(told, int) else None


def _gguf_context(file: Path) -> int | None:
    from kt_resources.bases.gguf_file import GgufFile

    try:
        reader = GgufFile(file)
    except (ValueError, IndexError):  # told where the model is checked
        return None
    field = reader.get_field(f"{reader.fields['general.architecture'].contents()}.context_length")
    return None if field is None else int(field.contents())


def _named_in(hub: str) -> str | None:
    """The published model whose words all stand in the id's name, which says no other size beside.

    >>> _named_in("meta-llama/Llama-3.1-8B-Instruct"), _named_in("mistralai/Mixtral-8x7B-v0.1")
    ('llama-3.1-8b', None)
    """
    words = set(re.split(r"[-_]", hub.lower().partition("/")[2]))
    for name in published_names():
        parts = set(name.split("-"))
        if parts <= words and not any(SIZE.fullmatch(word) for word in words - parts):
            return name
    return None


def gguf_shape(file: Path) -> ModelShape:
    """The shape that a GGUF's header tells; its weights become a float32 checkpoint."""
    from kt_resources.bases.gguf_file import GgufFile

    reader = GgufFile(file)
    fields: dict[str, Any] = {name: field.contents() for name, field in reader.fields.items() if len(field.data) == 1}
    family = fields["general.architecture"]
    found = {ours: int(fields[f"{family}.{theirs}"]) for ours, theirs in GGUF_KEYS.items()}
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    return ModelShape(
        name=file.stem,
        **found,
        head_dim=int(fields.get(f"{family}.attention.key_length", found["hidden"] // found["heads"])),
        vocab=int(tensors["token_embd.weight"].shape[1]),
        tied="output.weight" not in tensors,
        counted=sum(int(tensor.n_elements) for tensor in reader.tensors),
        stored_bytes=4.0,
    )
