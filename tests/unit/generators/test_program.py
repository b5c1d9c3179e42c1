"""The generation program: prompts in, completions out, resumed where it was killed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from pydantic import ValidationError

from kt_resources.compute.needs import Needs
from kt_resources.compute.program import EXIT_MISTAKE, Progress
from kt_resources.errors import GenerationError
from kt_resources.generators import run
from kt_resources.generators.config import Sampling
from kt_resources.generators.fake import FakeGenerator
from kt_resources.generators.openai import OpenAiEngine
from kt_resources.generators.protocol import Generator
from kt_resources.generators.spec import GenerateSpec


def spec_for(folder: Path, model_dir: Path, num_prompts: int = 5, **options: Any) -> GenerateSpec:
    prompts = [{"id": f"p{i}", "prompt": [{"role": "user", "content": f"Number {i}?"}]} for i in range(num_prompts)]
    schema = pa.schema(
        [("id", pa.string()), ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])))]
    )
    parquet.write_table(pa.Table.from_pylist(prompts, schema), folder / "prompts.parquet")
    settings: dict[str, Any] = {
        "out_dir": folder / "out",
        "scratch_dir": folder / "scratch",
        "model": model_dir,
        "engine": "llama_cpp",
        "prompts_file": folder / "prompts.parquet",
        "completions_file": folder / "completions.parquet",
        "num_samples": 2,
        "sampling": Sampling(temperature=1, max_new_tokens=4, seed=1),
        "prompts_a_part": 2,
    }
    return GenerateSpec.model_validate(settings | options)


def rows(spec: GenerateSpec) -> list[dict[str, Any]]:
    return parquet.read_table(spec.completions_file).to_pylist()


def test_entry_point(tmp_path: Path, tiny_model_dir: Path) -> None:
    spec = spec_for(tmp_path, tiny_model_dir)
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "kt_resources.generators", "--spec", str(tmp_path / "spec.json")]
    subprocess.run(command, check=True, capture_output=True)
    found = rows(spec)
    keys = [(row["prompt_id"], row["sample_index"]) for row in found]
    assert keys == [(f"p{place}", sample) for place in range(5) for sample in (0, 1)]
    assert all(1 <= row["num_tokens"] <= 4 for row in found)
    result = json.loads((tmp_path / "out" / "run" / "result.json").read_text())
    assert (result["num_prompts"], result["num_completions"]) == (5, 10)
    assert result["tokens"] == sum(row["num_tokens"] for row in found)


def test_a_mistake_ends_it_with_its_message(tmp_path: Path) -> None:
    spec = spec_for(tmp_path, tmp_path / "nothing")
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "kt_resources.generators", "--spec", str(tmp_path / "spec.json")]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == EXIT_MISTAKE and "Traceback" not in ended.stderr
    assert json.loads((tmp_path / "out" / "run" / "error.json").read_text())["kind"] == "GenerationError"


def test_a_killed_run_goes_on_and_ends_alike(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole, killed = (spec_for(tmp_path / name, tiny_model_dir) for name in ("whole", "killed"))
    run.generate(whole, Progress(whole.out_dir))
    own, asked = run._answer, []

    def dies_in_the_second_part(engine: Any, part: list[dict], *rest: Any) -> Any:
        asked.append([row["id"] for row in part])
        if len(asked) == 2:
            raise KeyboardInterrupt
        return own(engine, part, *rest)

    monkeypatch.setattr(run, "_answer", dies_in_the_second_part)
    with pytest.raises(KeyboardInterrupt):
        run.generate(killed, Progress(killed.out_dir))
    assert not killed.completions_file.exists()
    run.generate(killed, Progress(killed.out_dir))
    assert asked == [["p0", "p1"], ["p2", "p3"], ["p2", "p3"], ["p4"]]
    assert rows(killed) == rows(whole)


def test_parts_of_another_request_are_not_taken(tmp_path: Path, tiny_model_dir: Path) -> None:
    spec = spec_for(tmp_path, tiny_model_dir)
    run.generate(spec, Progress(spec.out_dir))
    first = rows(spec)
    other = Sampling(temperature=1, max_new_tokens=4, seed=2)
    run.generate(spec.model_copy(update={"sampling": other}), Progress(spec.out_dir))
    assert rows(spec) != first


def test_no_prompts(tmp_path: Path, tiny_model_dir: Path) -> None:
    with pytest.raises(GenerationError, match="no prompts"):
        run.generate(spec_for(tmp_path, tiny_model_dir, num_prompts=0), Progress(tmp_path))


SERVER = {"url": "http://127.0.0.1:1/v1", "model": "teacher"}


@pytest.mark.parametrize(
    "options",
    [{"model": None}, {"engine": "openai"}, {"server": SERVER}, {"model": None, "server": SERVER, "engine": "auto"}],
)
def test_a_model_or_a_server(options: dict[str, Any], tmp_path: Path, tiny_model_dir: Path) -> None:
    with pytest.raises(ValidationError, match="server"):
        spec_for(tmp_path, tiny_model_dir, **options)


def test_a_server_is_asked(tmp_path: Path, tiny_model_dir: Path) -> None:
    engine = run.open_for(spec_for(tmp_path, tiny_model_dir, model=None, server=SERVER, engine="openai"))
    assert isinstance(engine, OpenAiEngine) and engine.model == "teacher"


def test_the_fake_writes_the_same_file(tmp_path: Path, tiny_model_dir: Path) -> None:
    spec = spec_for(tmp_path, tiny_model_dir)
    fake = FakeGenerator(lambda prompt, index: f"{prompt['id']} {index}")
    assert isinstance(fake, Generator)
    fake.generate(spec, Needs())
    assert [row["completion"] for row in rows(spec)][:3] == ["p0 0", "p0 1", "p1 0"]
    schema = parquet.read_schema(spec.completions_file)
    run.generate(spec, Progress(spec.out_dir))
    assert parquet.read_schema(spec.completions_file) == schema
    assert fake.specs == [spec]
