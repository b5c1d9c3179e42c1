"""The program's work on the tiny model: what stands in the artifact, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kt_resources.errors import TrainingError
from kt_resources.trainers.spec import TrainSpec
from kt_resources.trainers.tiny_rows import sums, write_tokenized


def _curve(spec: TrainSpec) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (spec.out_dir / "run" / "curve.jsonl").read_text().splitlines()]


def test_the_artifact_and_its_figures(make_spec: Callable[..., TrainSpec], run: Any) -> None:
    sample = {"id": "s", "prompt": [{"role": "user", "content": "What is 1 + 2?"}], "answer": "3"}
    spec = make_spec(sample_prompts=[sample])
    result = run(spec)
    assert result["steps"] == 3 and result["num_trained_rows"] == 24
    assert result["facts"]["final_eval_loss"] < result["facts"]["start_eval_loss"]
    assert json.loads((spec.out_dir / "facts.json").read_text()) == result["facts"]
    (shown,) = json.loads((spec.out_dir / "run" / "samples.json").read_text())
    assert shown["answer"] == "3" and {"before", "after"} <= shown.keys()
    assert [row["step"] for row in _curve(spec) if "eval_loss" in row] == [0, 1, 2, 3]
    assert all(result["tokens"] > 0 and result[name] > 0 for name in ("tokens_per_s", "peak_memory_gb"))


def test_the_same_spec_makes_the_same_artifact(make_spec: Callable[..., TrainSpec], run: Any, tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        spec = make_spec(out_dir=tmp_path / name, scratch_dir=tmp_path / f"{name}_scratch")
        run(spec)
        files = [file for file in sorted(spec.out_dir.rglob("*")) if file.is_file() and "run" not in file.parts]
        contents.append({str(file.relative_to(spec.out_dir)): file.read_bytes() for file in files})
    assert contents[0] == contents[1]


def test_nothing_in_the_artifact_names_this_machine(make_spec: Callable[..., TrainSpec], run: Any) -> None:
    spec = make_spec()
    run(spec)
    for file in spec.out_dir.rglob("*.json"):
        if "run" not in file.parts:
            assert str(spec.out_dir.parent) not in file.read_text()


def test_only_the_rows_up_to_the_kept_step_count_as_trained(make_spec: Callable[..., TrainSpec], run: Any) -> None:
    """Two steps of eight rows in the first epoch of 24: sixteen distinct rows."""
    spec = make_spec(optimization={"micro_batch_size": 8, "max_steps": 2, "learning_rate": 1e-2})
    assert run(spec)["num_trained_rows"] == 16


def test_the_best_weights_are_saved_not_the_last(make_spec: Callable[..., TrainSpec], run: Any) -> None:
    """Warm-up leaves the first step at rate 0; the next ones, at rates above 1, destroy the model."""
    optimization = {"micro_batch_size": 8, "max_steps": 4, "learning_rate": 5.0, "num_evals": 4, "warmup_ratio": 0.9}
    spec = make_spec("sft", "full", optimization=optimization)
    result = run(spec)
    losses = {row["step"]: row["eval_loss"] for row in _curve(spec) if "eval_loss" in row and row["step"]}
    best = min(losses, key=lambda step: losses[step])
    assert result["best_step"] == best == 1
    assert result["facts"]["final_eval_loss"] == losses[best]


def test_without_held_out_rows_the_last_step_is_kept(make_spec: Callable[..., TrainSpec], run: Any) -> None:
    result = run(make_spec(validation_file=None))
    assert result["best_step"] == 3 and result["facts"]["final_eval_loss"] is None


@pytest.mark.parametrize(("column", "what"), [("loss_mask", "mask is empty"), ("stop", "stop token")])
def test_a_bad_mask_stops_the_run_before_training(
    make_spec: Callable[..., TrainSpec], run: Any, tiny_model_dir: Path, tmp_path: Path, column: str, what: str
) -> None:
    import pyarrow.parquet as pq

    from kt_resources.trainers.tiny_rows import write

    rows = pq.read_table(write_tokenized(sums(8), tiny_model_dir, tmp_path / "good.parquet")).to_pylist()
    last = rows[5]["loss_mask"]
    rows[5]["loss_mask"] = [0] * len(last) if column == "loss_mask" else [*last[:-1], 0]
    spec = make_spec(train_file=write(rows, tmp_path / "bad.parquet"))
    with pytest.raises(TrainingError, match=what) as caught:
        run(spec)
    assert rows[5]["id"] in str(caught.value)
    assert not (spec.out_dir / "run" / "curve.jsonl").exists()


def test_a_missing_start_model_is_a_mistake_with_a_place(make_spec: Callable[..., TrainSpec], run: Any) -> None:
    with pytest.raises(TrainingError, match="no checkpoint"):
        run(make_spec(model_dir=Path("absent")))


def test_bfloat16_is_not_asked_of_a_cpu_without_it(
    make_spec: Callable[..., TrainSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from kt_resources.trainers.precision import usable

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for able, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda able=able: able, raising=False)
        assert usable(make_spec(precision="bf16")).precision == expected
