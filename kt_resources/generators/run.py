"""The generation program's work: prompts in parts, each kept when it is done."""

import time
from pathlib import Path
from typing import Any

from kt_resources.compute.program import Progress
from kt_resources.errors import GenerationError
from kt_resources.generators.engine import Completion, TextEngine
from kt_resources.generators.open_engine import open_engine
from kt_resources.generators.openai import OpenAiEngine
from kt_resources.generators.spec import GenerateSpec
from kt_resources.store.fingerprint import file_sha256, hash_json

PLACES = {"out_dir", "scratch_dir", "prompts_file", "completions_file", "batch_size"}
"""Fields of the spec that do not change what is generated."""

COLUMNS = ("prompt_id", "sample_index", "completion", "num_tokens", "finished")


def generate(spec: GenerateSpec, progress: Progress) -> dict[str, Any]:
    """Answer every prompt; counts, tokens and tokens a second of what this process generated itself."""
    import pyarrow.parquet as parquet

    prompts = parquet.read_table(spec.prompts_file, columns=["id", "prompt"]).to_pylist()
    if not prompts:
        raise GenerationError("there are no prompts", where=spec.prompts_file.name, mend="look at the stage before")
    parts = [prompts[start : start + spec.prompts_a_part] for start in range(0, len(prompts), spec.prompts_a_part)]
    folder = spec.scratch_dir / "parts" / _key(spec)
    folder.mkdir(parents=True, exist_ok=True)
    engine: TextEngine | None = None
    tokens, seconds = 0, 0.0
    try:
        for index, part in enumerate(parts):
            file = folder / f"{index:05d}.parquet"
            if file.exists():
                continue
            engine = engine or open_for(spec)
            started = time.monotonic()
            first = index * spec.prompts_a_part
            answers = _answer(engine, part, spec, progress, first * spec.num_samples, len(prompts) * spec.num_samples)
            _write(file, part, answers)
            tokens += sum(one.num_tokens for some in answers for one in some)
            seconds += time.monotonic() - started
    finally:
        if engine is not None:
            engine.close()
    rows = [row for file in sorted(folder.glob("*.parquet")) for row in parquet.read_table(file).to_pylist()]
    write_completions(spec.completions_file, rows)
    return {
        "num_prompts": len(prompts),
        "num_completions": len(rows),
        "num_unfinished": sum(not row["finished"] for row in rows),
        "tokens": tokens,
        "tokens_per_s": round(tokens / seconds, 1) if seconds else 0.0,
    }


def open_for(spec: GenerateSpec) -> TextEngine:
    """The engine that ``spec`` names."""
    if spec.server is not None:
        server = spec.server
        return OpenAiEngine(server.url, server.model, server.key_variable, spec.batch_size)
    assert spec.model is not None, "GenerateSpec has a model or a server"
    needs_llama = spec.engine == "auto" and spec.sampling.grammar is not None
    engine = "llama_cpp" if needs_llama else spec.engine
    return open_engine(spec.model, engine, spec.tokenizer_dir, spec.batch_size, spec.scratch_dir)


def _answer(
    engine: TextEngine, part: list[dict], spec: GenerateSpec, progress: Progress, before: int, total: int
) -> list[list[Completion]]:
    started = time.monotonic()

    def told(done: int, _: int, tokens: int) -> None:
        rate = tokens / max(time.monotonic() - started, 1e-6)
        progress.report(before + done, total, "completions", tokens_per_s=round(rate, 1))

    first_index = before // spec.num_samples
    return engine.generate([row["prompt"] for row in part], spec.num_samples, spec.sampling, first_index, told)


def _write(file: Path, part: list[dict], answers: list[list[Completion]]) -> None:
    rows = [
        {
            "prompt_id": prompt["id"],
            "sample_index": index,
            "completion": one.text,
            "num_tokens": one.num_tokens,
            "finished": one.finished,
        }
        for prompt, some in zip(part, answers, strict=True)
        for index, one in enumerate(some)
    ]
    write_completions(file, rows)


def write_completions(file: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    types = {"sample_index": pa.int32(), "num_tokens": pa.int32(), "finished": pa.bool_()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(file.name + ".part")
    parquet.write_table(pa.Table.from_pylist(rows, schema=schema), temporary)
    temporary.replace(file)


def _key(spec: GenerateSpec) -> str:
    """What the completions depend on, so that parts of another request are never taken for this one's."""
    request = spec.model_dump(mode="json", exclude=PLACES)
    return hash_json([request, file_sha256(spec.prompts_file)])[:16]
