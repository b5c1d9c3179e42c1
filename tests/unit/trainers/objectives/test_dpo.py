"""DPO: starts at ln 2, learns to prefer, keeps each answer's stop token."""

import math
from collections.abc import Callable
from typing import Any

from kt_resources.trainers.spec import TrainSpec


def test_it_starts_at_ln_2_and_learns_the_preference(make_spec: Callable[..., TrainSpec], run: Any) -> None:
    """Policy and reference are one at first: every margin is 0 and −log σ(0) = ln 2."""
    facts = run(make_spec("dpo"))["facts"]
    assert abs(facts["start_eval_loss"] - math.log(2)) < 1e-6
    assert facts["final_eval_loss"] < 0.65


def test_the_loss_is_the_equation(make_spec: Callable[..., TrainSpec], build: Callable[[TrainSpec], Any]) -> None:
    """−log σ(β · ((log π − log π₀)(chosen) − (…)(rejected))) from full logits, with a random adapter as the policy."""
    import torch

    trainer = build(make_spec("dpo"))
    torch.manual_seed(0)
    for name, parameter in trainer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    trainer.model.eval()
    row = trainer.train_dataset[0]

    def log_prob(answer: list[int]) -> float:
        ids = torch.tensor([row["prompt_ids"] + answer])
        with torch.no_grad():
            logits = trainer.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        return logits[range(ids.shape[1] - 1), ids[0, 1:]][len(row["prompt_ids"]) - 1 :].sum().item()

    policy = log_prob(row["chosen_ids"]) - log_prob(row["rejected_ids"])
    with trainer.model.disable_adapter():
        reference = log_prob(row["chosen_ids"]) - log_prob(row["rejected_ids"])
    margin = 0.1 * (policy - reference)
    assert abs(margin) > 1e-3
    expected = math.log1p(math.exp(-margin))
    columns = ("prompt_ids", "chosen_ids", "rejected_ids")
    batch = trainer.data_collator([{name: row[name] for name in columns}])
    assert abs(trainer.compute_loss(trainer.model, batch).item() - expected) < 1e-5


def test_both_answers_end_with_the_stop_token(
    make_spec: Callable[..., TrainSpec], build: Callable[[TrainSpec], Any]
) -> None:
    trainer = build(make_spec("dpo"))
    eos = trainer.processing_class.eos_token_id
    for row in trainer.train_dataset:
        for side in ("chosen_ids", "rejected_ids"):
            assert row[side][-1] == eos and eos not in row[side][:-1]


def test_an_sft_term_can_be_added(make_spec: Callable[..., TrainSpec], build: Callable[[TrainSpec], Any]) -> None:
    fields = make_spec("dpo").model_dump()
    spec = TrainSpec.model_validate(fields | {"objective": {"type": "dpo", "sft_weight": 0.5}})
    trainer = build(spec)
    assert (trainer.loss_types, trainer.loss_weights) == (["sigmoid", "sft"], [1.0, 0.5])
