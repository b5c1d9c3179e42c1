"""SFT's options: packed rows see themselves alone; KL holds the policy to its start."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from kt_resources.errors import TrainingError
from kt_resources.trainers.objectives.kl_to_start import kl_terms
from kt_resources.trainers.objectives.sft import refuse_where_rows_mix
from kt_resources.trainers.spec import TrainSpec


def with_options(spec: TrainSpec, **options: Any) -> TrainSpec:
    return TrainSpec.model_validate(spec.model_dump() | {"objective": {"type": "sft", **options}})


def test_a_packed_row_s_logits_are_those_of_each_row_alone(make_spec: Any, build: Any) -> None:
    import torch

    trainer = build(with_options(make_spec(), packing=True))
    rows = [{name: trainer.train_dataset[at][name] for name in ("input_ids", "labels")} for at in (0, 5, 9)]
    batch = trainer.data_collator(rows)
    assert batch["input_ids"].shape == (1, sum(len(row["input_ids"]) for row in rows))
    assert "attention_mask" not in batch
    model = trainer.model.eval()
    with torch.no_grad():
        asked = {name: batch[name] for name in ("input_ids", "position_ids")}
        packed = model(**asked, use_cache=False).logits[0]
        alone = torch.cat([model(input_ids=torch.tensor([row["input_ids"]])).logits[0] for row in rows])
    assert (packed - alone).abs().max() < 1e-5


def test_packing_changes_no_loss_and_no_step(make_spec: Callable[..., TrainSpec], run: Any, tmp_path: Any) -> None:
    """The same rows in the same steps, with and without padding: the same held-out loss, the same tokens that count."""
    found = []
    for name, packing in (("padded", False), ("packed", True)):
        folders = {"out_dir": tmp_path / name, "scratch_dir": tmp_path / f"{name}_scratch"}
        found.append(run(with_options(make_spec(**folders), packing=packing)))
    padded, packed = (result["facts"] for result in found)
    assert packed["start_eval_loss"] == padded["start_eval_loss"]
    assert packed["final_eval_loss"] == pytest.approx(padded["final_eval_loss"], abs=1e-4)
    assert found[0]["num_trained_rows"] == found[1]["num_trained_rows"]


def test_a_model_that_mixes_rows_is_refused(make_spec: Any, build: Any) -> None:
    """A model that is blind to positions attends over the whole line."""
    trainer = build(make_spec())
    model = trainer.model.eval()
    refuse_where_rows_mix(model)
    forward = model.forward
    model.forward = lambda position_ids=None, **given: forward(**given)
    with pytest.raises(TrainingError, match="does not keep packed rows apart"):
        refuse_where_rows_mix(model)


@pytest.mark.parametrize("update", ["prompt_tuning", "prefix_tuning"])
def test_packing_is_refused_where_vectors_stand_before_the_line(make_spec: Any, build: Any, update: str) -> None:
    """When the recipe loads; and were it not, the check on the adapted model would find the rows mixed."""
    with pytest.raises(ValidationError, match="packed rows would see each other"):
        with_options(make_spec("sft", update), packing=True)
    with pytest.raises(TrainingError, match="does not keep packed rows apart"):
        refuse_where_rows_mix(build(make_spec("sft", update)).model)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"packing": True, "neftune_noise_alpha": 5}, "NEFTune's noise shrinks"),
        ({"packing": True, "kl_beta": 0.1}, "without packing"),
        ({"loss_type": "dft", "kl_beta": 0.1}, "the loss nll"),
        ({"kl_beta": 0.1, "neftune_noise_alpha": 5}, "distance to the start"),
    ],
)
def test_options_that_do_not_go_together_are_refused(make_spec: Any, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        with_options(make_spec(), **options)


def test_the_kl_terms_are_the_formula() -> None:
    """Policy (¼, ¾), start (½, ½), label 1: NLL = ln 4/3, KL(policy ‖ start) = ¼ ln ½ + ¾ ln 3/2."""
    import torch

    policy, start = torch.tensor([[0.0, math.log(3)]]), torch.zeros(1, 2)
    answers, divergence = kl_terms(policy, start, torch.tensor([1]))
    assert answers.item() == pytest.approx(math.log(4 / 3), rel=1e-5)
    assert divergence.item() == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5), rel=1e-5)


@pytest.mark.parametrize("update", ["lora", "full"])
def test_kl_holds_the_policy_to_its_start(make_spec: Any, run: Any, tmp_path: Any, update: str) -> None:
    """At first policy and start are one, so both runs begin at the NLL; then β holds the answers' divergence down."""
    optimization = {"micro_batch_size": 8, "max_steps": 6, "learning_rate": 2e-3, "num_evals": 1}
    losses, divergences = [], []
    for name, beta in (("free", 1e-9), ("held", 100.0)):
        folders = {"out_dir": tmp_path / name, "scratch_dir": tmp_path / f"{name}_scratch"}
        spec = with_options(make_spec("sft", update, optimization=optimization, **folders), kl_beta=beta)
        losses.append(run(spec)["facts"]["start_eval_loss"])
        rows = [json.loads(line) for line in (spec.out_dir / "run" / "curve.jsonl").read_text().splitlines()]
        divergences.append([row["eval_kl"] for row in rows if "eval_kl" in row])
    (start, free), (other_start, held) = divergences
    assert start == other_start == pytest.approx(0, abs=1e-6) and losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert 0 < held < 0.7 * free, (held, free)
