"""Objectives on pairs: each loss is its paper's formula and learns; only DPO and its kin have a reference."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from kt_resources.trainers.spec import TrainSpec


def moved(trainer: Any) -> Any:
    """The trainer with a random adapter as the policy, and no dropout."""
    import torch

    torch.manual_seed(0)
    for name, parameter in trainer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    trainer.model.eval()
    return trainer


def token_log_probs(model: Any, ids: list[int]) -> list[float]:
    """log p of each token but the first, given those before it."""
    import torch

    with torch.no_grad():
        log_probs = model(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    return log_probs[range(len(ids) - 1), ids[1:]].tolist()


def log_sigmoid(value: float) -> float:
    return -math.log1p(math.exp(-value))


def answer(trainer: Any, row: dict[str, Any], side: str) -> list[float]:
    """log p of the tokens of one side's answer, for the trainers with a reference."""
    return token_log_probs(trainer.model, row["prompt_ids"] + row[side])[len(row["prompt_ids"]) - 1 :]


def log_ratios(trainer: Any, row: dict[str, Any], mean: bool) -> float:
    """log-ratio of chosen less that of rejected, sums over the answers' tokens or means."""
    total = 0.0
    for side, sign in (("chosen_ids", 1), ("rejected_ids", -1)):
        policy = answer(trainer, row, side)
        with trainer.model.disable_adapter():
            reference = answer(trainer, row, side)
        ratio = sum(policy) - sum(reference)
        total += sign * (ratio / len(policy) if mean else ratio)
    return total


def loss_of(trainer: Any, row: dict[str, Any], columns: tuple[str, ...]) -> float:
    batch = trainer.data_collator([{name: row[name] for name in columns}])
    return trainer.compute_loss(trainer.model, batch).item()


@pytest.mark.parametrize("objective", ["dpo", "orpo", "cpo", "simpo"])
def test_the_tokens_of_both_answers_are_counted(make_spec: Any, run: Any, objective: str) -> None:
    """One epoch of 24 pairs, each with its prompt before both answers."""
    from transformers import AutoTokenizer

    spec = make_spec(objective, optimization={"micro_batch_size": 8, "num_epochs": 1, "num_evals": 1})
    tokenizer = AutoTokenizer.from_pretrained(spec.model_dir)
    pairs = spec.objective.load(spec.train_file, tokenizer, 1024)
    sides = [row["prompt"] + row[side] for row in pairs for side in ("chosen", "rejected")]
    assert run(spec)["tokens"] == sum(len(tokenizer(side)["input_ids"]) for side in sides)


WITH_REFERENCE = ("prompt_ids", "chosen_ids", "rejected_ids")


def test_ipo_is_the_squared_distance_to_its_margin(make_spec: Callable[..., TrainSpec], build: Any) -> None:
    """(h − 1 / (2 · 0.1))² = (h − 5)², log-ratios as means over tokens."""
    trainer = moved(build(make_spec("ipo")))
    row = trainer.train_dataset[0]
    margin = log_ratios(trainer, row, mean=True)
    assert abs(margin) > 1e-3
    assert loss_of(trainer, row, WITH_REFERENCE) == pytest.approx((margin - 5) ** 2, rel=1e-5)


def test_robust_dpo_is_unbiased_under_flipped_pairs(make_spec: Callable[..., TrainSpec], build: Any) -> None:
    """−(0.9 log σ(m) − 0.1 log σ(−m)) / 0.8; a tenth of flipped pairs then averages to DPO's own loss."""
    trainer = moved(build(make_spec("robust_dpo")))
    row = trainer.train_dataset[0]
    margin = 0.1 * log_ratios(trainer, row, mean=False)
    expected = -(0.9 * log_sigmoid(margin) - 0.1 * log_sigmoid(-margin)) / 0.8
    assert loss_of(trainer, row, WITH_REFERENCE) == pytest.approx(expected, rel=1e-5)
    flipped = -(0.9 * log_sigmoid(-margin) - 0.1 * log_sigmoid(margin)) / 0.8
    assert 0.9 * expected + 0.1 * flipped == pytest.approx(-log_sigmoid(margin), rel=1e-9)


WITHOUT_REFERENCE = (
    "chosen_input_ids",
    "chosen_attention_mask",
    "chosen_labels",
    "rejected_input_ids",
    "rejected_attention_mask",
    "rejected_labels",
    "prompt_input_ids",
    "prompt_attention_mask",
)


def answers(trainer: Any, row: dict[str, Any]) -> tuple[list[float], list[float], list[float]]:
    """log p of the tokens of the chosen answer, of the rejected one, and of prompt and chosen answer."""
    found = []
    for side in ("chosen", "rejected"):
        all_tokens = token_log_probs(trainer.model, row[f"{side}_input_ids"])
        trained = [label != -100 for label in row[f"{side}_labels"][1:]]
        found.append([value for value, kept in zip(all_tokens, trained, strict=True) if kept])
    return found[0], found[1], token_log_probs(trainer.model, row["chosen_input_ids"])


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_orpo_is_nll_and_odds_ratio(make_spec: Callable[..., TrainSpec], build: Any) -> None:
    """NLL − 0.1 log σ(log odds of chosen − log odds of rejected), odds = p / (1 − p) of the tokens' mean."""
    trainer = moved(build(make_spec("orpo")))
    row = trainer.train_dataset[0]
    chosen, rejected, whole = answers(trainer, row)
    odds = [mean(side) - math.log1p(-math.exp(mean(side))) for side in (chosen, rejected)]
    expected = -mean(whole) - 0.1 * log_sigmoid(odds[0] - odds[1])
    assert loss_of(trainer, row, WITHOUT_REFERENCE) == pytest.approx(expected, rel=1e-5)


def test_cpo_is_dpo_without_reference_and_nll(make_spec: Callable[..., TrainSpec], build: Any) -> None:
    """−log σ(0.1 (Σ log p of chosen − Σ log p of rejected)) + NLL of the chosen answer."""
    trainer = moved(build(make_spec("cpo")))
    row = trainer.train_dataset[0]
    chosen, rejected, _ = answers(trainer, row)
    expected = -log_sigmoid(0.1 * (sum(chosen) - sum(rejected))) - mean(chosen)
    assert loss_of(trainer, row, WITHOUT_REFERENCE) == pytest.approx(expected, rel=1e-5)


def test_simpo_is_normalized_by_length_with_a_margin(make_spec: Callable[..., TrainSpec], build: Any) -> None:
    """−log σ(2 (mean log p of chosen − mean log p of rejected) − 1)."""
    trainer = moved(build(make_spec("simpo")))
    row = trainer.train_dataset[0]
    chosen, rejected, _ = answers(trainer, row)
    expected = -log_sigmoid(2 * (mean(chosen) - mean(rejected)) - 1)
    assert loss_of(trainer, row, WITHOUT_REFERENCE) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("objective", ["orpo", "cpo", "simpo"])
def test_a_reference_free_objective_holds_one_model(
    make_spec: Callable[..., TrainSpec], build: Any, objective: str
) -> None:
    trainer = build(make_spec(objective, update="full"))
    assert getattr(trainer, "ref_model", None) is None
    for side in ("chosen", "rejected"):
        ids = trainer.train_dataset[0][f"{side}_input_ids"]
        bos, eos = trainer.processing_class.bos_token_id, trainer.processing_class.eos_token_id
        assert ids[-1] == eos
        assert bos is None or ids[:2] != [bos, bos]


LOWERED = {"ipo": 2.0, "robust_dpo": 0.05, "orpo": 0.3, "cpo": 0.3, "simpo": 0.1}
"""By how much three steps must lower the held-out loss."""


@pytest.mark.parametrize(("objective", "amount"), LOWERED.items())
def test_it_learns_the_preference(make_spec: Callable[..., TrainSpec], run: Any, objective: str, amount: float) -> None:
    facts = run(make_spec(objective))["facts"]
    assert facts["start_eval_loss"] - facts["final_eval_loss"] > amount
    assert facts["adapter_merged_max_logit_diff"] < 1e-4


def test_a_step_after_an_adapter_starts_from_what_it_taught(
    make_spec: Callable[..., TrainSpec], run: Any, build: Any, tmp_path: Any
) -> None:
    """It starts as the merged SFT model, not as the base: the loss begins at ln 2 and leaves it."""
    import torch
    from transformers import AutoModelForCausalLM

    first = make_spec("sft")
    run(first)
    second = make_spec("dpo", model_dir=first.out_dir / "model", out_dir=tmp_path / "b", scratch_dir=tmp_path / "s")
    merged, ids = AutoModelForCausalLM.from_pretrained(first.out_dir / "model").eval(), torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        begun = build(second).model.eval()(input_ids=ids).logits
        assert (begun - merged(input_ids=ids).logits).abs().max() < 1e-6
        assert (begun - AutoModelForCausalLM.from_pretrained(first.model_dir)(input_ids=ids).logits).abs().max() > 1e-2
    facts = run(second)["facts"]
    assert facts["start_eval_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert facts["final_eval_loss"] < 0.65
