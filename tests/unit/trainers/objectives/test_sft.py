"""SFT: loss on masked tokens alone, token-weighted held-out loss, equal to TRL's own to 1e-5."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kt_resources.trainers.spec import TrainSpec


@pytest.fixture
def trainer(make_spec: Callable[..., TrainSpec], build: Callable[[TrainSpec], Any]) -> Any:
    return build(make_spec())


def _batch(trainer: Any, rows: list[int]) -> dict[str, torch.Tensor]:
    features = [{name: trainer.train_dataset[row][name] for name in ("input_ids", "labels")} for row in rows]
    return trainer.data_collator(features)


def _reference(trainer: Any, rows: Any) -> tuple[float, int]:
    """Σ −log p over trained tokens, and their number, row by row from the model's full logits."""
    loss, tokens = 0.0, 0
    for row in rows:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"][1:])
        with torch.no_grad():
            log_probs = trainer.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        kept = labels != -100
        loss -= log_probs[kept, labels[kept]].sum().item()
        tokens += int(kept.sum())
    return loss, tokens


def test_the_step_loss_is_the_mean_over_trained_tokens(trainer: Any) -> None:
    trainer.model.eval()
    loss = trainer.compute_loss(trainer.model, _batch(trainer, [0, 5, 9])).item()
    expected, tokens = _reference(trainer, [trainer.train_dataset[row] for row in (0, 5, 9)])
    assert abs(loss - expected / tokens) < 1e-5


def test_the_step_loss_equals_trls_unpatched_loss(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from trl.trainer import utils

    trainer.model.eval()
    compact = trainer.compute_loss(trainer.model, _batch(trainer, [1, 2])).item()
    monkeypatch.setattr(utils, "_use_triton", lambda device: False)
    assert abs(trainer.compute_loss(trainer.model, _batch(trainer, [1, 2])).item() - compact) < 1e-5


def test_accumulated_micro_batches_are_weighted_by_tokens(trainer: Any) -> None:
    """Two micro-batches of one step, each divided by the step's tokens, add up to the mean over all tokens."""
    trainer.model.eval()
    rows = [trainer.train_dataset[row] for row in (0, 1, 2)]
    expected, tokens = _reference(trainer, rows)
    parts = [
        trainer.compute_loss(trainer.model, _batch(trainer, part), num_items_in_batch=torch.tensor(tokens)).item()
        for part in ([0], [1, 2])
    ]
    assert abs(sum(parts) - expected / tokens) < 1e-5


def test_the_held_out_loss_weighs_every_token_alike(trainer: Any) -> None:
    metrics = trainer.evaluate()
    loss, tokens = _reference(trainer, trainer.eval_dataset)
    assert abs(metrics["eval_loss"] - loss / tokens) < 1e-5


def test_labels_follow_the_mask(trainer: Any, rows_dir: Path) -> None:
    import pyarrow.parquet as pq

    rows = {row["id"]: row for row in pq.read_table(rows_dir / "tokenized" / "train.parquet").to_pylist()}
    for trained in trainer.train_dataset:
        row = rows[trained["id"]]
        for token, label, kept in zip(trained["input_ids"], trained["labels"], row["loss_mask"], strict=True):
            assert label == (token if kept else -100)


@pytest.mark.parametrize("options", [{"loss_type": "dft"}, {"neftune_noise_alpha": 5.0}])
def test_its_options_change_the_run(
    make_spec: Callable[..., TrainSpec], run: Any, tmp_path: Path, options: dict[str, Any]
) -> None:
    fields = make_spec().model_dump()
    learned = []
    for name, further in (("plain", {}), ("other", options)):
        folders = {"out_dir": tmp_path / name, "scratch_dir": tmp_path / f"{name}_scratch"}
        spec = TrainSpec.model_validate(fields | folders | {"objective": {"type": "sft", **further}})
        learned.append(run(spec)["facts"]["final_eval_loss"])
    assert abs(learned[0] - learned[1]) > 1e-6
