"""LLaMA-Factory's own environment: it wants older versions of the libraries that we train with."""

import importlib.metadata
import os
import shlex
import subprocess
import sys
from pathlib import Path

VERSION = "0.9.5"
"""Tried: it resolves to transformers 5.6.0, trl 0.24.0 and peft 0.18.1."""


def llamafactory_python(folder: Path) -> Path:
    """The interpreter of the environment in ``folder``, which is made where it is not there.

    torch stays the one that we train with. Its pip packages of torchvision and torchaudio are built for CUDA and do
    not load beside a CPU build of torch: torchvision is taken out again (nothing of it is used for text), of
    torchaudio only the compiled part (LLaMA-Factory imports the package, and it loads without).

    Raises:
        subprocess.CalledProcessError: pip failed.
    """
    python = folder / "bin" / "python"
    if (folder / ".installed").is_file():
        return python
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    torch = importlib.metadata.version("torch")
    further = shlex.split(os.environ.get("PIP_ARGS", ""))
    pip = [str(python), "-m", "pip", "-q"]
    _run([*pip, "install", *further, f"torch=={torch.partition('+')[0]}", f"llamafactory=={VERSION}"])
    if not _loads(python, "torchvision"):
        _run([*pip, "uninstall", "-y", "torchvision"])
    if not _loads(python, "torchaudio"):
        for compiled in folder.glob("lib/python*/site-packages/torchaudio/lib/*.so"):
            compiled.unlink()
    if not _loads(python, "llamafactory.train.tuner"):
        raise RuntimeError(f"LLaMA-Factory {VERSION} does not load: {python} -c 'import llamafactory.train.tuner'")
    (folder / ".installed").touch()
    return python


def versions(python: Path) -> dict[str, str]:
    """Versions of the libraries that matter, in the environment of ``python``."""
    names = ["torch", "transformers", "trl", "peft", "accelerate", "llamafactory"]
    code = (
        "import importlib.metadata as m, json, sys\n"
        "def v(n):\n"
        "    try: return m.version(n)\n"
        "    except m.PackageNotFoundError: return ''\n"
        "print(json.dumps({n: v(n) for n in sys.argv[1:]}))"
    )
    import json

    told = subprocess.run([str(python), "-c", code, *names], capture_output=True, text=True, check=True)
    return {name: version for name, version in json.loads(told.stdout).items() if version}


def _loads(python: Path, module: str) -> bool:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    return subprocess.run([str(python), "-c", f"import {module}"], capture_output=True, env=environment).returncode == 0


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True)
