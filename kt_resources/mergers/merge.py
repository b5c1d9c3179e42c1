"""Merging by mergekit: the recipe's method becomes its configuration, its arithmetic makes the weights."""

import json
import shutil
from pathlib import Path
from typing import Any

from kt_resources.compute.program import Progress, write_json
from kt_resources.errors import MergeError
from kt_resources.mergers.spec import MergeSpec

FORM_SUFFIXES = (".json", ".jinja", ".txt", ".model")
DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


def merge(spec: MergeSpec, progress: Progress) -> dict[str, Any]:
    """Merge, put the base model's own tokenizer and configuration beside the weights, measure."""
    from kt_resources.mergers.measure import measure_merge

    check_vocabularies(spec)
    target = spec.out_dir / "model"
    progress.report(0, 2, f"merging by {spec.method.method}")
    run_mergekit(spec, target)
    copy_form(spec.base_dir, target)
    progress.report(1, 2, "measuring")
    facts = measure_merge(spec)
    write_json(spec.out_dir / "facts.json", facts)
    progress.report(2, 2, "merged")
    return facts


def check_vocabularies(spec: MergeSpec) -> None:
    """Raise MergeError where an input's vocabulary or width is not the base model's: their rows mean other tokens."""
    names = ("model_type", "vocab_size", "hidden_size", "num_hidden_layers")
    base = _config(spec.base_dir)
    for one in spec.inputs:
        differing = {name: (base.get(name), _config(one.dir).get(name)) for name in names}
        wrong = [f"{name} {other} (base {own})" for name, (own, other) in differing.items() if own != other]
        if wrong:
            mend = "merge only models that were trained from this base model"
            raise MergeError(f"differs from the base model: {', '.join(wrong)}", where=f"input {one.name}", mend=mend)


def mergekit_configuration(spec: MergeSpec) -> dict[str, Any]:
    """mergekit's YAML, as a mapping: the method's parameters, weights and densities by input, precision in and out."""
    method = spec.method
    configuration: dict[str, Any] = {
        "merge_method": method.method,
        "models": [{"model": str(one.dir), "parameters": method.per_input(one.name)} for one in spec.inputs],
        "parameters": method.shared(),
        "dtype": method.dtype,
        "out_dtype": stored_dtype(spec.base_dir),
    }
    if method.method == "slerp":
        configuration["base_model"] = str(spec.inputs[0].dir)
    elif method.uses_base:
        configuration["base_model"] = str(spec.base_dir)
    return configuration


def run_mergekit(spec: MergeSpec, target: Path) -> None:
    """Let mergekit write the merged weights to ``target``."""
    import torch
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    torch.manual_seed(spec.method.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    options = MergeOptions(
        device=device, random_seed=spec.method.seed, copy_tokenizer=False, write_model_card=False, quiet=True
    )
    target.mkdir(parents=True, exist_ok=True)
    try:
        run_merge(MergeConfiguration.model_validate(mergekit_configuration(spec)), str(target), options)
    except (RuntimeError, ValueError, KeyError) as error:
        mend = "look at run/log.txt; try merge method linear to see whether the inputs fit at all"
        raise MergeError(f"mergekit: {error}", where=spec.method.method, mend=mend) from error


def copy_form(base_dir: Path, target: Path) -> None:
    """Everything but the weights is the base model's, byte for byte: tokenizer, template, configuration."""
    for path in target.iterdir():
        if path.suffix in FORM_SUFFIXES and not path.name.endswith(".index.json"):
            path.unlink()
    for path in base_dir.iterdir():
        if path.suffix in FORM_SUFFIXES and not path.name.endswith(".index.json"):
            shutil.copyfile(path, target / path.name)


def stored_dtype(folder: Path) -> str:
    """The precision of a checkpoint's first stored tensor, by torch's name."""
    from safetensors import safe_open

    first = sorted(folder.glob("*.safetensors"))[0]
    with safe_open(first, framework="numpy") as stored:
        name = next(iter(stored.keys()))
        return DTYPES[stored.get_slice(name).get_dtype()]


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config
