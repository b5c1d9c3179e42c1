"""A contract becomes asset checks: one Dagster check a rule, one verdict a data version."""

from collections.abc import Iterator

import dagster as dg

from kt_assets.stage import Stage
from kt_resources.contracts.judge import Contracts
from kt_resources.errors import KtError, StoreError
from kt_resources.store.store import SHORT, Store
from kt_resources.store.verdicts import RuleVerdict


def contract_checks(stage: Stage) -> dg.AssetChecksDefinition | None:
    """The checks of ``stage``'s contract; None where it has none.

    The whole contract is judged at once and kept as the verdict on the asset's current data version; a stage
    that reads the asset asks that verdict, in this run or any later one.
    """
    contract = stage.contract
    if contract is None:
        return None
    specs = [
        dg.AssetCheckSpec(rule.name, asset=stage.key, description=rule.why, blocking=rule.severity == "error")
        for rule in contract.rules
    ]

    @dg.multi_asset_check(specs=specs, name=f"{stage.line}__{stage.name}__checks", can_subset=True)
    def judge(
        context: dg.AssetCheckExecutionContext,
        store: dg.ResourceParam[Store],
        contracts: dg.ResourceParam[Contracts],
    ) -> Iterator[dg.AssetCheckResult]:
        selected = {key.name for key in context.selected_asset_check_keys}
        try:
            artifact = store.current(stage.asset)
            if artifact is None:
                raise StoreError("has not been materialized", where=stage.asset, mend="materialize it first")
            verdict = contracts.judge(store, artifact, contract)
        except KtError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        for rule in verdict.rules:
            if rule.rule in selected:
                yield check_result(stage, artifact.data_version, rule)

    return judge


def check_result(stage: Stage, data_version: str, rule: RuleVerdict) -> dg.AssetCheckResult:
    """One rule's verdict as Dagster shows it."""
    return dg.AssetCheckResult(
        passed=rule.passed,
        asset_key=stage.key,
        check_name=rule.rule,
        severity=dg.AssetCheckSeverity.ERROR if rule.severity == "error" else dg.AssetCheckSeverity.WARN,
        description=rule.observed,
        metadata={"data version": data_version[:SHORT], "violations": rule.violations},
    )
