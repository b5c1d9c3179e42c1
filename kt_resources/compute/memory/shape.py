"""The shape of a decoder: what its weights, activations and cache are counted from."""

import json
import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from kt_resources.errors import RecipeError
from kt_resources.strict import Strict

SHAPES = Path(__file__).with_name("shapes.yaml")
DTYPE_BYTES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1}

KEYS = {
    "layers": ("num_hidden_layers", "n_layer"),
    "hidden": ("hidden_size", "n_embd"),
    "intermediate": ("intermediate_size", "n_inner"),
    "heads": ("num_attention_heads", "n_head"),
    "vocab": ("vocab_size",),
}
"""Our names → those that ``config.json`` of the families uses."""


class ModelShape(Strict):
    """A Llama-like decoder: attention of q, k, v, o and an MLP of gate, up, down (``gated``) or up, down.

    Attributes:
        tied: input and output embedding are one matrix.
        counted: parameters as the checkpoint's own files count them; None counts them from the shape.
        stored_bytes: bytes a parameter in the checkpoint's files.
    """

    name: str = ""
    layers: int = Field(ge=1)
    hidden: int = Field(ge=1)
    intermediate: int = Field(ge=1)
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    head_dim: int = Field(ge=1)
    vocab: int = Field(ge=1)
    tied: bool = False
    gated: bool = True
    qkv_bias: bool = False
    counted: int | None = None
    stored_bytes: float = 2.0

    @property
    def queries(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        """Width of all key heads, and of all value heads."""
        return self.kv_heads * self.head_dim

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """The linear layers of one block: name → (inputs, outputs)."""
        hidden, wide = self.hidden, self.intermediate
        attention = {
            "q_proj": (hidden, self.queries),
            "k_proj": (hidden, self.keys),
            "v_proj": (hidden, self.keys),
            "o_proj": (self.queries, hidden),
        }
        gate = {"gate_proj": (hidden, wide)} if self.gated else {}
        return attention | gate | {"up_proj": (hidden, wide), "down_proj": (wide, hidden)}

    @property
    def linear_parameters(self) -> int:
        """Weights of the linear layers of all blocks: what is quantized, and what adapters sit on."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linears.values())

    @property
    def embedding_parameters(self) -> int:
        """The embedding, and the output head where it is a matrix of its own."""
        return self.vocab * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All parameters.

        >>> round(published("llama-3.1-8b").parameters / 1e9, 2)
        8.03
        """
        if self.counted is not None:
            return self.counted
        biases = self.layers * (self.queries + 2 * self.keys) if self.qkv_bias else 0
        norms = (2 * self.layers + 1) * self.hidden
        return self.embedding_parameters + self.linear_parameters + biases + norms


def published(name: str) -> ModelShape:
    """The shape of a published model.

    Raises:
        RecipeError: there is none of that name.
    """
    table = _table()
    if name.lower() not in table:
        raise RecipeError(f"no shape is called {name!r}", where="--model", mend=f"there are: {', '.join(table)}")
    return ModelShape.model_validate({"name": name.lower(), **table[name.lower()]})


def published_names() -> list[str]:
    """The names that :func:`published` knows."""
    return list(_table())


@cache
def _table() -> dict[str, dict[str, Any]]:
    import yaml

    return yaml.safe_load(SHAPES.read_text())


def shape_of_config(config: Mapping[str, Any], name: str = "") -> ModelShape:
    """The shape that a ``config.json`` tells; a multimodal config's text part counts.

    Raises:
        RecipeError: a size is missing.
    """
    whole, config = config, config.get("text_config", config)
    found: dict[str, Any] = {
        ours: next((config[key] for key in keys if config.get(key)), None) for ours, keys in KEYS.items()
    }
    if found["intermediate"] is None and found["hidden"]:
        found["intermediate"] = 4 * found["hidden"]
    if lacking := [KEYS[ours][0] for ours, value in found.items() if value is None]:
        raise RecipeError(f"the model's config has no {', '.join(lacking)}", where=name or "config.json")
    heads = found["heads"]
    return ModelShape(
        name=name,
        **found,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or found["hidden"] // heads,
        tied=ties_embeddings(whole),
        gated=config.get("model_type") not in ("gpt_neox", "gpt2", "phi", "opt", "falcon"),
        qkv_bias=bool(config.get("attention_bias", config.get("model_type") == "qwen2")),
        stored_bytes=4.0 if config.get("dtype", config.get("torch_dtype")) == "float32" else 2.0,
    )


def ties_embeddings(config: Mapping[str, Any]) -> bool:
    """Whether input and output embedding are one matrix: as a ``config.json`` says, or by its family's default.

    A published config leaves out what is the family's default in transformers, which is imported for that alone.
    """
    for part in (config, config.get("text_config") or {}):
        if "tie_word_embeddings" in part:
            return bool(part["tie_word_embeddings"])
    from transformers import CONFIG_MAPPING

    family = config.get("model_type")
    return family in CONFIG_MAPPING and bool(getattr(CONFIG_MAPPING[family](), "tie_word_embeddings", False))


def shape_of_folder(folder: Path) -> ModelShape:
    """The shape of a checkpoint: its config, and the parameters that its safetensors files' headers count.

    Raises:
        RecipeError: no config, or one without the sizes.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise RecipeError(f"no readable config.json: {error}", where=str(folder)) from error
    shape = shape_of_config(config, folder.name)
    counted = num_bytes = 0
    for file in sorted(folder.glob("*.safetensors")):
        parameters, size = _counted(file)
        counted, num_bytes = counted + parameters, num_bytes + size
    if counted < shape.linear_parameters:  # no weights, or packed ones: the config knows better
        return shape
    return shape.model_copy(update={"counted": counted, "stored_bytes": num_bytes / counted})


def _counted(file: Path) -> tuple[int, int]:
    """Parameters and bytes of a safetensors file, from its header alone."""
    with file.open("rb") as stored:
        (length,) = struct.unpack("<Q", stored.read(8))
        header = json.loads(stored.read(length))
    parameters = num_bytes = 0
    for tensor_name, tensor in header.items():
        if tensor_name != "__metadata__":
            begin, end = tensor["data_offsets"]
            num_bytes += end - begin
            parameters += (end - begin) // DTYPE_BYTES.get(tensor["dtype"], 4)
    return parameters, num_bytes
