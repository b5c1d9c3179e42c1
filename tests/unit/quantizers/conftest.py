"""A tiny model whose distributions are peaked, its export, and ways to break a GGUF file."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def loud_model_dir(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with matrices ten times as large: layers and logits weigh enough for damage to show."""
    from safetensors.numpy import load_file, save_file

    folder = tmp_path_factory.mktemp("loud") / "model"
    shutil.copytree(tiny_model_dir, folder)
    weights = load_file(folder / "model.safetensors")
    louder = {name: 10 * array if array.ndim == 2 else array for name, array in weights.items()}
    save_file(louder, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def loud_gguf(loud_model_dir: Path) -> Path:
    """Its F16 export."""
    from kt_resources.quantizers.export import export_gguf

    file = loud_model_dir.parent / "f16.gguf"
    export_gguf(loud_model_dir, file)
    return file


@pytest.fixture
def broken(loud_gguf: Path, tmp_path: Path) -> Callable[[Callable[[Any], None]], Path]:
    """Make a copy of the export and change it in place; the change gets a ``gguf.GGUFReader`` to write through."""
    import gguf

    def make(change: Callable[[Any], None]) -> Path:
        file = tmp_path / "broken.gguf"
        shutil.copyfile(loud_gguf, file)
        reader = gguf.GGUFReader(file, "r+")
        change(reader)
        reader.data.flush()
        return file

    return make
