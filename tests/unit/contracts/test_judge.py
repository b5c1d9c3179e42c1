"""A contract becomes expectations, and a table is judged by them."""

import json
from pathlib import Path

import pandas
import pytest

from kt_resources.contracts.contract import Contract, Rule, load_contract, load_contracts
from kt_resources.contracts.judge import GreatExpectations, judge_table, read_table
from kt_resources.errors import ContractError
from kt_resources.store.store import Store
from kt_resources.store.verdicts import read_verdict

UNIQUE = Rule(name="ids_unique", why="w", expectation="expect_column_values_to_be_unique", arguments={"column": "id"})


def between(column: str, **bounds: float) -> Rule:
    return Rule(
        name=f"{column}_within",
        why="w",
        expectation="expect_column_values_to_be_between",
        arguments={"column": column, **bounds},
    )


def test_a_violated_rule_shows_the_rows_that_violate_it() -> None:
    (verdict,) = judge_table(pandas.DataFrame({"id": ["a", "b", "b"]}), [UNIQUE])
    assert (verdict.passed, verdict.observed, verdict.violations) == (False, "2 of 3 values violate it", ["b", "b"])


def test_a_kept_rule_passes() -> None:
    (verdict,) = judge_table(pandas.DataFrame({"id": ["a", "b"]}), [UNIQUE])
    assert verdict.passed


@pytest.mark.parametrize("value", [float("nan"), None])
def test_a_missing_value_violates_a_bound(value: float | None) -> None:
    (verdict,) = judge_table(pandas.DataFrame({"kl": [value, 0.1]}), [between("kl", max_value=1)])
    assert (verdict.passed, verdict.observed) == (False, "1 value(s) missing or NaN")


def test_a_missing_column_is_a_failure_and_not_a_pass() -> None:
    (verdict,) = judge_table(pandas.DataFrame({"a": [1]}), [between("kl", max_value=1)])
    assert not verdict.passed
    assert 'column "kl"' in verdict.observed


def test_a_rule_for_other_artifacts_says_that_it_does_not_apply() -> None:
    rule = between("delta", min_value=1).model_copy(update={"applies_when": "delta"})
    (verdict,) = judge_table(pandas.DataFrame({"a": [1]}), [rule])
    assert (verdict.passed, verdict.observed) == (True, "does not apply: nothing in delta")
    (verdict,) = judge_table(pandas.DataFrame([{"delta": None}]), [rule])
    assert verdict.passed
    for value in (0, float("nan")):
        (verdict,) = judge_table(pandas.DataFrame([{"delta": value}]), [rule])
        assert not verdict.passed


def test_an_unknown_expectation_is_named() -> None:
    rule = Rule(name="r", why="w", expectation="expect_miracles")
    with pytest.raises(ContractError, match="no expect_miracles"):
        judge_table(pandas.DataFrame({"a": [1]}), [rule])


def test_wrong_arguments_are_named() -> None:
    rule = Rule(name="r", why="w", expectation="expect_column_values_to_be_unique", arguments={"colum": "id"})
    with pytest.raises(ContractError, match="arguments do not fit"):
        judge_table(pandas.DataFrame({"a": [1]}), [rule])


def test_facts_are_one_row(tmp_path: Path) -> None:
    (tmp_path / "facts.json").write_text(json.dumps({"kl": 0.5, "stops": True}))
    assert read_table(tmp_path / "facts.json").to_dict("records") == [{"kl": 0.5, "stops": True}]


def test_a_rule_may_read_another_table_and_the_verdict_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.making("line/rows", {}, {}, "1") as making:
        pandas.DataFrame({"id": ["a"]}).to_parquet(making.out / "rows.parquet")
        (making.out / "facts.json").write_text('{"num_lost": 2}')
        artifact = store.commit(making, {})
    lost = between("num_lost", max_value=0).model_copy(update={"table": "facts.json"})
    contract = Contract(name="rows", kind="dataset", table="rows.parquet", rules=(UNIQUE, lost))
    verdict = GreatExpectations().judge(store, artifact, contract)
    assert [(rule.rule, rule.passed) for rule in verdict.rules] == [("ids_unique", True), ("num_lost_within", False)]
    assert read_verdict(store, artifact, contract.hash) == verdict


def test_every_shipped_contract_parses_and_its_expectations_exist() -> None:
    contracts = load_contracts()
    assert len(contracts) >= 12
    for contract in contracts.values():
        verdicts = judge_table(pandas.DataFrame({"nothing": [1]}), list(contract.rules))
        assert len(verdicts) == len(contract.rules)
        assert len({rule.name for rule in contract.rules}) == len(contract.rules), contract.name


def test_a_changed_rule_changes_the_hash() -> None:
    one = Contract(name="c", kind="dataset", table="t", rules=(between("a", max_value=1),))
    other = Contract(name="c", kind="dataset", table="t", rules=(between("a", max_value=2),))
    assert one.hash != other.hash


def test_a_bad_contract_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("name: c\nkind: dataset\ntable: t\nrules: [{name: r, why: w, expectation: nonsense}]\n")
    with pytest.raises(ContractError, match=r"c\.yaml"):
        load_contract(path)
