"""Every rule of the GGUF contract passes on a healthy row of facts and fails on one that breaks it."""

from typing import Any

import pandas
import pytest

from kt_resources.contracts.contract import Contract, contracts_folder, load_contract
from kt_resources.contracts.judge import judge_table
from kt_resources.quantizers.fake import HEALTHY

BREAKING: list[tuple[str, dict[str, Any]]] = [
    ("tokenizes_as_the_checkpoint", {"tokenizes_identically": False}),
    ("chat_template_is_the_checkpoints", {"chat_template_identical": False}),
    ("end_token_is_the_checkpoints", {"eos_id_identical": False}),
    ("no_stop_token_lost", {"missing_stop_tokens": 1}),
    ("logits_finite", {"finite": False}),
    ("export_is_exact", {"f16_mean_kl": 0.02}),
    ("near_the_checkpoint", {"mean_kl_to_checkpoint": 0.6}),
    ("close_to_the_checkpoint", {"mean_kl_to_checkpoint": 0.2}),
    ("stops", {"stops_rate": 0.25}),
]
WARNINGS = {"close_to_the_checkpoint", "stops"}


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contract(contracts_folder() / "models" / "gguf_model.yaml")


def failed(contract: Contract, facts: dict[str, Any]) -> set[str]:
    verdicts = judge_table(pandas.DataFrame([facts]), list(contract.rules))
    return {verdict.rule for verdict in verdicts if not verdict.passed}


def test_healthy_facts_keep_every_rule(contract: Contract) -> None:
    assert failed(contract, HEALTHY) == set()


@pytest.mark.parametrize(("rule", "facts"), BREAKING)
def test_a_broken_fact_breaks_its_rule(contract: Contract, rule: str, facts: dict[str, Any]) -> None:
    also = {"close_to_the_checkpoint"} if rule == "near_the_checkpoint" else set()
    assert failed(contract, HEALTHY | facts) == {rule} | also


def test_every_rule_has_an_input_that_breaks_it(contract: Contract) -> None:
    assert {rule.name for rule in contract.rules} == {rule for rule, _ in BREAKING}
    assert {rule.name for rule in contract.rules if rule.severity == "warn"} == WARNINGS


@pytest.mark.parametrize(
    ("fact", "rules"),
    [
        ("mean_kl_to_checkpoint", {"near_the_checkpoint", "close_to_the_checkpoint"}),
        ("f16_mean_kl", {"export_is_exact"}),
        ("finite", {"logits_finite"}),
        ("stops_rate", {"stops"}),
    ],
)
def test_what_was_not_measured_is_not_passed(contract: Contract, fact: str, rules: set[str]) -> None:
    assert failed(contract, HEALTHY | {fact: None}) == rules
