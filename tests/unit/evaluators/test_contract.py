"""Every rule of the report's contract passes on a healthy row of facts and fails on one that breaks it."""

from typing import Any

import pandas
import pytest

from kt_resources.contracts.contract import Contract, contracts_folder, load_contract
from kt_resources.contracts.judge import judge_table

HEALTHY: dict[str, Any] = {
    "all_models_evaluated": True,
    "same_items_for_all": True,
    "same_prompts_for_all": True,
    "all_scores_in_range": True,
    "num_gates_failed": 0,
    "num_gates_warned": 0,
    "shipped_gain": 0.4,
    "shipped_gain_over_few_shot_base": 0.3,
    "shipped_gain_over_majority_answer": 0.2,
}
BREAKING: list[tuple[str, dict[str, Any]]] = [
    ("all_models_evaluated", {"all_models_evaluated": False}),
    ("same_items_for_all", {"same_items_for_all": False}),
    ("same_prompts_for_all", {"same_prompts_for_all": False}),
    ("scores_in_range", {"all_scores_in_range": False}),
    ("gates_passed", {"num_gates_failed": 1}),
    ("warning_gates_passed", {"num_gates_warned": 1}),
    ("shipped_model_gained", {"shipped_gain": -0.1}),
    ("shipped_beats_prompting", {"shipped_gain_over_few_shot_base": -0.01}),
    ("shipped_beats_guessing", {"shipped_gain_over_majority_answer": -0.2}),
]


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contract(contracts_folder() / "reports" / "evaluation_report.yaml")


def failed(contract: Contract, facts: dict[str, Any]) -> set[str]:
    verdicts = judge_table(pandas.DataFrame([facts]), list(contract.rules))
    return {verdict.rule for verdict in verdicts if not verdict.passed}


def test_healthy_facts_keep_every_rule(contract: Contract) -> None:
    assert failed(contract, HEALTHY) == set()


@pytest.mark.parametrize(("rule", "facts"), BREAKING)
def test_a_broken_fact_breaks_its_rule(contract: Contract, rule: str, facts: dict[str, Any]) -> None:
    assert failed(contract, HEALTHY | facts) == {rule}


def test_every_rule_has_an_input_that_breaks_it(contract: Contract) -> None:
    assert {rule.name for rule in contract.rules} == {rule for rule, _ in BREAKING}


def test_a_line_without_examples_is_not_asked_about_prompting(contract: Contract) -> None:
    facts = {name: value for name, value in HEALTHY.items() if "few_shot" not in name}
    assert failed(contract, facts) == set()
