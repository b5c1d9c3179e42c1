"""Preference accuracy: the sums are those of single steps, the start is the start, and training on pairs raises it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kt_resources.trainers.preference import accuracy_facts, answer_log_probs, pair_margins, preference_facts
from kt_resources.trainers.spec import TrainSpec


def test_the_gain_is_paired_and_has_a_width() -> None:
    """Two of four pairs come right, none goes wrong: 1/4 → 3/4, a gain of 0.5."""
    facts = accuracy_facts([1.0, -1.0, -1.0, -1.0], [1.0, 1.0, 1.0, -0.5])
    assert (facts["start_preference_accuracy"], facts["final_preference_accuracy"]) == (0.25, 0.75)
    assert facts["preference_gain"] == 0.5
    assert facts["preference_gain_low"] < 0.5 < facts["preference_gain_high"]
    same = accuracy_facts([1.0] * 10, [1.0] * 10)
    # Nothing differs in 10 pairs: at 95 % up to 1 - 0.025^(1/10) = 31 % may.
    assert same["preference_gain_low"] == pytest.approx(-0.3085, abs=1e-4)


def test_equal_probability_is_no_preference() -> None:
    assert accuracy_facts([0.0, 0.0], [0.0, 1.0])["final_preference_accuracy"] == 0.5


def test_the_sum_is_that_of_every_token_after_the_prompt(tiny_model_dir: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32).eval()
    head = tokenizer("What is 2 + 2?")["input_ids"]
    tail = tokenizer(" It is 4.", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        log_probs = model(input_ids=torch.tensor([head + tail])).logits[0].log_softmax(-1)
    expected = sum(log_probs[len(head) + place - 1, token].item() for place, token in enumerate(tail))
    found = answer_log_probs(model, tokenizer, "What is 2 + 2?", [" It is 4.", " Five", " It is 4."])
    assert [found[0], found[2]] == pytest.approx([expected] * 2, abs=1e-4) and found[1] != found[0]


def test_exchanged_answers_exchange_the_margin(tiny_model_dir: Path) -> None:
    pair = {"id": "1", "prompt": [{"role": "user", "content": "2 + 2?"}], "chosen": "4", "rejected": "It may be 5"}
    other = pair | {"chosen": pair["rejected"], "rejected": pair["chosen"]}
    one, two = pair_margins(tiny_model_dir, [pair, other])
    assert one == pytest.approx(-two)
    assert one > 0  # under a nearly even distribution the shorter answer is the likelier


def test_a_step_on_pairs_tells_it_at_its_start_and_at_its_kept_step(
    make_spec: Callable[..., TrainSpec], run: Any, tiny_model_dir: Path
) -> None:
    spec = make_spec("dpo")
    facts = run(spec)["facts"]
    assert facts["num_held_out_pairs"] == 8
    again = preference_facts(tiny_model_dir, spec.out_dir, spec.validation_file)
    assert {name: facts[name] for name in again} == again
    assert facts["final_preference_accuracy"] >= facts["start_preference_accuracy"]
    # An adapter that stands alone, on its start, finds what the merged model finds.
    shutil.rmtree(spec.out_dir / "model")
    alone = preference_facts(tiny_model_dir, spec.out_dir, spec.validation_file)
    assert alone["final_preference_accuracy"] == again["final_preference_accuracy"]


def test_rows_that_are_no_pairs_have_none(make_spec: Callable[..., TrainSpec], tiny_model_dir: Path) -> None:
    spec = make_spec("sft")
    assert preference_facts(tiny_model_dir, tiny_model_dir, spec.validation_file) == {}
    assert preference_facts(tiny_model_dir, tiny_model_dir, None) == {}


@pytest.mark.parametrize(("gain", "passes"), [(0.1, True), (0.0, False), (-0.2, False), (None, True)])
def test_a_step_that_did_not_raise_it_is_told(gain: float | None, passes: bool) -> None:
    import pandas

    from kt_resources.contracts.contract import contracts_folder, load_contract
    from kt_resources.contracts.judge import judge_table

    contract = load_contract(contracts_folder() / "models" / "trained_model.yaml")
    (rule,) = (rule for rule in contract.rules if rule.name == "preference_accuracy_rose")
    (verdict,) = judge_table(pandas.DataFrame([{"preference_gain": gain}]), [rule])
    assert (verdict.passed, rule.severity) == (passes, "warn")
