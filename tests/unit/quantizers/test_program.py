"""The quantize program, from a checkpoint to the packed file, in this process."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kt_resources.compute.program import Progress
from kt_resources.errors import QuantizeError
from kt_resources.quantizers import program
from kt_resources.quantizers.config import GgufTarget
from kt_resources.quantizers.program import quantize_model
from kt_resources.quantizers.spec import QuantizeSpec
from kt_resources.trainers.spec import Message

FILES = {"model.gguf", "Modelfile", "chat_template.jinja", "README.md", "facts.json"}


def spec(folder: Path, model_dir: Path, **changes: Any) -> QuantizeSpec:
    text = folder / "text.txt"
    text.write_text("How many days are there in a year?\n\nThe engine turns the wheel, and the wheel drives the belt.")
    pq.write_table(pa.table({"input_ids": [[5, 6, 7], [8, 9]]}), folder / "train.parquet")
    given = {
        "out_dir": folder / "out",
        "scratch_dir": folder / "scratch",
        "model_dir": model_dir,
        "target": GgufTarget(quant="Q4_0", imatrix=True),
        "calibration_files": (folder / "train.parquet",),
        "held_out_text": text,
        "held_out_tokens": 16,
        "probe_prompts": ((Message(role="user", content="1 + 1?"),),),
        "max_new_tokens": 4,
        "name": "tiny",
        "card": {"license": "Apache-2.0", "system": "Be brief."},
    }
    return QuantizeSpec(**given | changes)


def run(one: QuantizeSpec) -> dict[str, Any]:
    one.scratch_dir.mkdir(parents=True, exist_ok=True)
    return quantize_model(one, Progress(one.out_dir))


def made(folder: Path) -> dict[str, bytes]:
    """The artifact's content: what stands under ``out_dir``, ``run/`` aside."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "run"}


def test_artifact_is_whole(tmp_path: Path, loud_model_dir: Path) -> None:
    result = run(spec(tmp_path, loud_model_dir))
    files = made(tmp_path / "out")
    assert set(files) == FILES
    facts = json.loads(files["facts.json"])
    assert facts == {name: value for name, value in result.items() if name != "seconds"}
    assert (facts["quant"], facts["imatrix"], facts["num_compared_tokens"]) == ("Q4_0", True, 16)
    assert facts["tokenizes_identically"] and facts["chat_template_identical"] and facts["eos_id_identical"]
    assert files["chat_template.jinja"] == (loud_model_dir / "chat_template.jinja").read_bytes()
    modelfile = files["Modelfile"].decode()
    assert 'TEMPLATE """{{- if not .System }}<|im_start|>system' in modelfile
    assert 'SYSTEM """Be brief."""' in modelfile and 'PARAMETER stop "<|im_end|>"' in modelfile
    assert str(tmp_path).encode() not in b"".join(files.values())
    assert set(result["seconds"]) == {"export", "imatrix", "quantize", "compare"}


def test_progress_rises_to_its_end(tmp_path: Path, loud_model_dir: Path) -> None:
    run(spec(tmp_path, loud_model_dir))
    rows = [json.loads(line) for line in (tmp_path / "out/run/progress.jsonl").read_text().splitlines()]
    done = [row["done"] for row in rows]
    assert (done[0], done[-1], rows[-1]["total"]) == (0, 100, 100)
    assert done == sorted(done) and len(set(done)) > 10


def test_content_is_the_same_wherever_it_is_made(tmp_path: Path, loud_model_dir: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run(spec(tmp_path / name, loud_model_dir))
    assert made(tmp_path / "one/out") == made(tmp_path / "two/out")


def test_export_is_made_once(tmp_path: Path, loud_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = spec(tmp_path, loud_model_dir)
    one.scratch_dir.mkdir()
    made_first = program.exported(one)
    (one.scratch_dir / "F16-0.gguf.part").write_bytes(b"half")

    def refuse(*_: Any) -> None:
        raise AssertionError("exported again")

    monkeypatch.setattr(program, "export_gguf", refuse)
    assert program.exported(one) == made_first
    with pytest.raises(AssertionError, match="exported again"):
        program.exported(spec(tmp_path, loud_model_dir, target=GgufTarget(quant="BF16")))


def test_another_checkpoint_is_exported_anew(tmp_path: Path, loud_model_dir: Path, tiny_model_dir: Path) -> None:
    (tmp_path / "scratch").mkdir()
    files = [program.exported(spec(tmp_path, folder)) for folder in (loud_model_dir, tiny_model_dir)]
    assert files[0] != files[1]


@pytest.mark.parametrize("quant", ["F32", "BF16"])
def test_full_precision_is_exported_as_such(tmp_path: Path, loud_model_dir: Path, quant: Any) -> None:
    facts = run(spec(tmp_path, loud_model_dir, target=GgufTarget(quant=quant)))
    assert facts["tensor_types"] == {"F32": "F32:20", "BF16": "BF16:15 F32:5"}[quant]


def test_an_importance_matrix_without_rows_is_refused(tmp_path: Path, loud_model_dir: Path) -> None:
    with pytest.raises(QuantizeError, match="needs calibration rows"):
        run(spec(tmp_path, loud_model_dir, calibration_files=()))
