"""KTO: the loss is the paper's, pairs become labels, and no prompt is compared with its own answer."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kt_resources.errors import TrainingError
from kt_resources.trainers.data import read_labels
from kt_resources.trainers.objectives.kto import exchanged_answers, without_lone_row
from kt_resources.trainers.spec import TrainSpec
from kt_resources.trainers.tiny_rows import sums, write

COLUMNS = ("prompt_ids", "completion_ids", "label")


def log_ratio(trainer: Any, prompt: list[int], answer: list[int]) -> float:
    """Σ over the answer's tokens of log π − log π₀, from full logits."""
    import torch

    ids = torch.tensor([prompt + answer])

    def log_prob() -> float:
        with torch.no_grad():
            logits = trainer.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        return logits[range(ids.shape[1] - 1), ids[0, 1:]][len(prompt) - 1 :].sum().item()

    policy = log_prob()
    with trainer.model.disable_adapter():
        return policy - log_prob()


@pytest.fixture
def moved(make_spec: Callable[..., TrainSpec], build: Callable[..., Any]) -> Any:
    """A trainer with λ_D = 1.5, λ_U = 0.5, whose policy is a random adapter."""
    import torch

    objective = {"type": "kto", "desirable_weight": 1.5, "undesirable_weight": 0.5}
    trainer = build(TrainSpec.model_validate(make_spec("kto").model_dump() | {"objective": objective}))
    torch.manual_seed(0)
    for name, parameter in trainer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    trainer.model.eval()
    return trainer


@pytest.mark.parametrize("sign", [1, -1])
def test_the_loss_is_the_papers(moved: Any, sign: int) -> None:
    """Rows 0…3, alternately bad and good: v = λ (1 − σ(±0.1 (r − z₀))), z₀ = max(0, mean r of exchanged answers).

    With the policy's adapter negated z₀ turns around, so that one of the two cases has z₀ = 0 and one has not.
    """
    for name, parameter in moved.model.named_parameters():
        if "lora_B" in name:
            parameter.data *= sign
    rows = [moved.train_dataset[index] for index in range(4)]
    assert [row["label"] for row in rows] == [False, True, False, True]
    prompts = [row["prompt_ids"] for row in rows]
    exchanged = [log_ratio(moved, p, a) for p, a in zip(prompts, exchanged_answers(rows), strict=True)]
    baseline = max(0.0, sum(exchanged) / 4)
    losses = []
    for row in rows:
        r = log_ratio(moved, row["prompt_ids"], row["completion_ids"])
        value = 0.1 * (r - baseline) * (1 if row["label"] else -1)
        losses.append((1.5 if row["label"] else 0.5) * (1 - 1 / (1 + math.exp(-value))))
    batch = moved.data_collator([{name: row[name] for name in COLUMNS} for row in rows])
    assert moved.compute_loss(moved.model, batch).item() == pytest.approx(sum(losses) / 4, rel=1e-5)


def test_it_starts_at_a_half_and_learns(make_spec: Callable[..., TrainSpec], run: Any) -> None:
    """Policy and reference are one at first: r = z₀ = 0, and 1 − σ(0) = ½ for every row."""
    result = run(make_spec("kto"))
    facts = result["facts"]
    assert facts["start_eval_loss"] == pytest.approx(0.5, abs=1e-6)
    assert facts["final_eval_loss"] < 0.45
    assert result["num_trained_rows"] == 24


def test_a_pair_is_a_good_and_a_bad_answer(make_spec: Any, run: Any, rows_dir: Path) -> None:
    files = {f"{split}_file": rows_dir / "preference_pairs" / f"{split}.parquet" for split in ("train", "validation")}
    pairs = read_labels(files["train_file"])
    assert [(row["completion"], row["label"]) for row in pairs[:2]] == [("#### 0", True), ("I am not sure.", False)]
    assert pairs[0]["id"] == pairs[1]["id"]
    spec = make_spec("kto", **files)
    result = run(spec)
    assert result["facts"]["final_eval_loss"] < 0.45
    assert 12 <= result["num_trained_rows"] <= 24  # three steps of eight labels, each pair named once


def test_no_answer_stays_at_its_prompt() -> None:
    """Two pairs side by side: a shift by one would give the first prompt its own other answer, a shift by two not."""
    rows = [{"prompt_ids": [prompt], "completion_ids": [answer]} for prompt, answer in ((1, 5), (1, 6), (2, 7), (2, 8))]
    assert exchanged_answers(rows) == [[7], [8], [5], [6]]


@pytest.mark.parametrize(("rows", "wanted", "size"), [(17, 8, 9), (16, 8, 8), (9, 8, 9), (2, 8, 8), (3, 2, 3)])
def test_no_held_out_row_is_left_alone(rows: int, wanted: int, size: int) -> None:
    assert without_lone_row(rows, wanted) == size and rows % size != 1


def test_one_held_out_row_is_refused() -> None:
    with pytest.raises(TrainingError, match="hold more rows out"):
        without_lone_row(1, 8)


def test_no_trained_row_is_left_alone(make_spec: Any, build: Any, tmp_path: Path) -> None:
    """17 rows in micro-batches of 8: the 17th of each epoch's order is left out, another one each time."""
    rows = [row | {"label": bool(number % 2)} for number, row in enumerate(sums(17))]
    trainer = build(make_spec("kto", train_file=write(rows, tmp_path / "odd.parquet")))
    orders = [trainer.epoch_order(epoch) for epoch in range(4)]
    assert {len(set(order)) for order in orders} == {16}
    assert len({frozenset(range(17)) - set(order) for order in orders}) > 1


def test_a_micro_batch_of_one_is_refused(make_spec: Callable[..., TrainSpec]) -> None:
    with pytest.raises(ValidationError, match="micro_batch_size of 2 or more"):
        make_spec("kto", optimization={"micro_batch_size": 1})


@pytest.mark.parametrize("label", [True, False])
def test_rows_of_one_label_are_refused(make_spec: Any, build: Any, tmp_path: Path, label: bool) -> None:
    rows = [row | {"label": label} for row in sums(8)]
    word = "desirable" if label else "undesirable"
    with pytest.raises(TrainingError, match=f"every answer is {word}"):
        build(make_spec("kto", train_file=write(rows, tmp_path / "one.parquet")))


def test_the_curve_shows_both_kinds(make_spec: Callable[..., TrainSpec], run: Any) -> None:
    spec = make_spec("kto")
    run(spec)
    rows = [json.loads(line) for line in (spec.out_dir / "run" / "curve.jsonl").read_text().splitlines()]
    for row in rows:
        if "loss" in row:
            assert {"kl", "reward_chosen", "reward_rejected", "reward_margin"} <= row.keys()
