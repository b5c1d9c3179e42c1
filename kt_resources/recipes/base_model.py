"""Where a line's base model comes from: the key that is given says which kind it is."""

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from kt_resources.recipes.paths import RecipePath
from kt_resources.strict import Strict

BASE = "base_model"
"""The asset of the base model, and what a step that starts from it says."""


class PackageModel(Strict):
    """A GGUF file that a Python package carries; its weights are dequantized into a checkpoint."""

    package: str
    file: str
    license: str


class FolderModel(Strict):
    """A local Hugging Face checkpoint folder."""

    folder: RecipePath
    license: str = "unknown"


class GgufModel(Strict):
    """A local GGUF file; its weights are dequantized into a checkpoint."""

    gguf: RecipePath
    license: str = "unknown"


class HubModel(Strict):
    """A model on the Hugging Face hub, pinned to a commit: a branch name would change under the recipe."""

    hub: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    license: str = "unknown"


class RandomModel(Strict):
    """A random Llama of under a million parameters, for trying the pipeline itself in a minute."""

    random: str = Field(default="llama", pattern="^llama$")
    seed: int = 0
    license: str = "Apache-2.0"


KINDS = {"package": PackageModel, "folder": FolderModel, "gguf": GgufModel, "hub": HubModel, "random": RandomModel}


def _kind(value: Any) -> str | None:
    for kind, model in KINDS.items():
        if isinstance(value, model) or (isinstance(value, dict) and kind in value):
            return kind
    return None


BaseModelSource = Annotated[
    Annotated[PackageModel, Tag("package")]
    | Annotated[FolderModel, Tag("folder")]
    | Annotated[GgufModel, Tag("gguf")]
    | Annotated[HubModel, Tag("hub")]
    | Annotated[RandomModel, Tag("random")],
    Discriminator(
        _kind,
        custom_error_type="base_model",
        custom_error_message="name one of: package + file, folder, gguf, hub + revision, random",
    ),
]
