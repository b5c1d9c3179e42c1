"""The work of the quantize program: export, importance matrix, quantization, comparison, packing."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kt_resources.compute.program import Progress, write_json
from kt_resources.errors import QuantizeError
from kt_resources.quantizers.config import GgufTarget
from kt_resources.quantizers.export import Precision, export_gguf
from kt_resources.quantizers.quantize import ImportanceMatrix, quantize_gguf
from kt_resources.quantizers.spec import QuantizeSpec

EXPORTED, WEIGHED, QUANTIZED, COMPARED = 15, 45, 65, 100
"""Share of the work, in percent, that is done when a phase ends."""


def quantize_model(spec: QuantizeSpec, progress: Progress) -> dict[str, Any]:
    """Write ``model.gguf`` and what travels with it; the facts, with seconds by phase."""
    from kt_resources.quantizers.package import write_package

    seconds: dict[str, float] = {}
    progress.report(0, 100, "exporting")
    export = _timed(seconds, "export", lambda: exported(spec))
    progress.report(EXPORTED, 100, "exported")
    imatrix = _timed(seconds, "imatrix", lambda: _imatrix(spec, progress))
    _timed(seconds, "quantize", lambda: _quantize(spec, export, imatrix, progress))
    progress.report(QUANTIZED, 100, "comparing with the checkpoint")
    facts = {**target_facts(spec.target), **_timed(seconds, "compare", lambda: compare(spec, export))}
    write_json(spec.out_dir / "facts.json", facts)
    write_package(spec, facts)
    progress.report(COMPARED, 100, f"quantized to {spec.target.quant}")
    return facts | {"seconds": seconds}


def exported(spec: QuantizeSpec) -> Path:
    """The checkpoint in full precision, in ``scratch_dir``; made once for the same files."""
    quant = spec.target.quant
    precision: Precision = quant if quant in ("F32", "BF16") else "F16"
    file = spec.scratch_dir / f"{precision}-{_stamp(spec.model_dir)}.gguf"
    if not file.exists():
        export_gguf(spec.model_dir, file, precision)
    return file


def _stamp(folder: Path) -> str:
    """Changes where a file of the folder does, by name, size or time."""
    files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(folder.iterdir())]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]


def _imatrix(spec: QuantizeSpec, progress: Progress) -> ImportanceMatrix | None:
    from kt_resources.quantizers.imatrix import importance_matrix, read_calibration_rows

    if not spec.target.imatrix:
        return None
    if not spec.calibration_files:
        mend = "name a training mix in the recipe, or set imatrix: false"
        raise QuantizeError("an importance matrix needs calibration rows", where="quantize.targets: imatrix", mend=mend)
    rows = read_calibration_rows(spec.calibration_files, spec.target.num_calibration_rows)
    return importance_matrix(spec.model_dir, rows, _share(progress, EXPORTED, WEIGHED, "weighing columns"))


def _quantize(spec: QuantizeSpec, export: Path, imatrix: ImportanceMatrix | None, progress: Progress) -> None:
    file, log = spec.out_dir / "model.gguf", spec.out_dir / "run" / "llama_cpp.log"
    quantize_gguf(export, file, spec.target, log, imatrix, _share(progress, WEIGHED, QUANTIZED, "quantizing"))


def compare(spec: QuantizeSpec, export: Path) -> dict[str, Any]:
    """Facts of ``model.gguf`` against the checkpoint."""
    from kt_resources.quantizers.parity import ParityProbes, measure

    text = spec.held_out_text.read_text(encoding="utf-8") if spec.held_out_text else ""
    prompts = [[message.model_dump() for message in prompt] for prompt in spec.probe_prompts]
    probes = ParityProbes(text, spec.held_out_tokens, prompts, spec.max_new_tokens)
    return measure(spec.model_dir, spec.out_dir / "model.gguf", export, probes)


def target_facts(target: GgufTarget) -> dict[str, Any]:
    """What was asked for."""
    types = {"token_embedding_type": target.token_embedding_type, "output_tensor_type": target.output_tensor_type}
    return {"quant": target.quant, "imatrix": target.imatrix} | {name: kind for name, kind in types.items() if kind}


def _timed(seconds: dict[str, float], phase: str, work: Callable[[], Any]) -> Any:
    start = time.monotonic()
    made = work()
    seconds[phase] = round(time.monotonic() - start, 2)
    return made


def _share(progress: Progress, start: int, end: int, message: str) -> Callable[[int, int], None]:
    """Reports part of a phase that takes the program from ``start`` to ``end`` percent, at each full percent."""
    told = [start]

    def report(done: int, total: int) -> None:
        percent = start + (end - start) * done // total
        if percent > told[0]:
            told[0] = percent
            progress.report(percent, 100, message)

    return report
