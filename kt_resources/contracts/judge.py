"""A contract becomes a Great Expectations suite, and a table is judged by it."""

import json
import logging
import os
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from kt_resources.contracts.contract import Contract, Rule
from kt_resources.errors import ContractError
from kt_resources.store.store import Artifact, Store
from kt_resources.store.verdicts import RuleVerdict, Verdict, write_verdict

MAX_SHOWN = 5
"""How many violating values a verdict lists."""


class Contracts(Protocol):
    """Judges artifacts by contracts."""

    def judge(self, store: Store, artifact: Artifact, contract: Contract) -> Verdict:
        """Judge ``artifact`` and keep the verdict in the store."""
        ...


class GreatExpectations:
    """Judges with Great Expectations; its analytics are off."""

    def judge(self, store: Store, artifact: Artifact, contract: Contract) -> Verdict:
        """Judge ``artifact`` by ``contract``; the verdict is kept under its data version."""
        by_table: dict[str, list[Rule]] = {}
        for rule in contract.rules:
            by_table.setdefault(rule.table or contract.table, []).append(rule)
        judged = [
            verdict
            for name, rules in by_table.items()
            for verdict in judge_table(read_table(artifact.path(name)), rules)
        ]
        return write_verdict(store, artifact, contract.hash, judged)


def read_table(path: Path) -> Any:
    """A pandas DataFrame: Parquet rows as they are, a JSON object as one row."""
    import pandas

    if path.suffix == ".parquet":
        return pandas.read_parquet(path)
    return pandas.DataFrame([json.loads(path.read_text())])


def judge_table(table: Any, rules: list[Rule]) -> list[RuleVerdict]:
    """One verdict a rule, in the order of ``rules``; a rule that does not apply to this table says so and passes.

    Args:
        table: a pandas DataFrame.

    Raises:
        ContractError: an expectation that Great Expectations does not know, or wrong arguments.
    """
    applying = [rule for rule in rules if rule.applies_when is None or _has_values(table, rule.applies_when)]
    results = _validate(table, [_expectation(rule) for rule in applying]) if applying else {}
    return [_rule_verdict(rule, results.get(rule.name)) for rule in rules]


@cache
def _dataframes() -> Any:
    """A batch definition that takes any DataFrame; its context keeps a temporary folder, so there is only one."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("rows").add_dataframe_asset("table")
    return asset.add_batch_definition_whole_dataframe("whole")


def _has_values(table: Any, column: str) -> bool:
    """Whether the table says anything in ``column``; NaN is a value, and one that no bound lets through."""
    return column in table.columns and any(value is not None for value in table[column])


def _validate(table: Any, expectations: list[Any]) -> dict[str, Any]:
    """Great Expectations' result of each expectation, by the rule's name."""
    import great_expectations as gx

    asset = _dataframes()
    batch = asset.get_batch(batch_parameters={"dataframe": table})
    suite = gx.ExpectationSuite(name="contract", expectations=expectations)
    results = batch.validate(suite, result_format="SUMMARY").results
    return {result.expectation_config.meta["rule"]: result for result in results}


def _expectation(rule: Rule) -> Any:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations.expectations as gxe

    name = "".join(part.capitalize() for part in rule.expectation.split("_"))
    expectation = getattr(gxe, name, None)
    where = f"rule {rule.name}"
    if expectation is None:
        raise ContractError(f"Great Expectations has no {rule.expectation}", where=where, mend="correct its name")
    try:
        return expectation(**rule.arguments, meta={"rule": rule.name})
    except (ValueError, TypeError) as error:
        raise ContractError(f"its arguments do not fit: {error}", where=where, mend="correct them") from error


def _rule_verdict(rule: Rule, result: Any) -> RuleVerdict:
    if result is None:
        told = f"does not apply: nothing in {rule.applies_when}"
        return RuleVerdict(rule=rule.name, passed=True, severity=rule.severity, observed=told)
    seen = result.result or {}
    violations = [str(value) for value in seen.get("partial_unexpected_list", [])][:MAX_SHOWN]
    missing = seen.get("missing_count") or 0  # Great Expectations passes over missing values and NaN; we do not
    return RuleVerdict(
        rule=rule.name,
        passed=bool(result.success) and not missing,
        severity=rule.severity,
        observed=f"{missing} value(s) missing or NaN" if missing else _observed(result, seen),
        violations=violations,
    )


def _observed(result: Any, seen: dict[str, Any]) -> str:
    message = (result.exception_info or {}).get("exception_message")
    if not message:  # a rule on a missing column reports its exception one level deeper
        nested = [info for info in (result.exception_info or {}).values() if isinstance(info, dict)]
        message = next((info["exception_message"] for info in nested if info.get("exception_message")), None)
    if message:
        return f"could not be judged: {message}"
    if "observed_value" in seen:
        return f"observed {seen['observed_value']}"
    count, total = seen.get("unexpected_count", 0), seen.get("element_count", 0)
    return f"{count} of {total} values violate it"
