"""Verdicts: what a contract said of one data version of an asset.

They are kept beside the artifacts, by data version and contract hash, so a gate holds across runs: a version
that failed stays refused, a contract that changed must be asked again.
"""

from pathlib import Path
from typing import Literal

from kt_resources.errors import ContractError
from kt_resources.store.manifest import now
from kt_resources.store.store import SHORT, Artifact, Store, write_atomically
from kt_resources.strict import Strict

Severity = Literal["error", "warn"]


class RuleVerdict(Strict):
    """The outcome of one rule on one data version.

    Attributes:
        severity: ``error`` blocks what reads the version; ``warn`` is shown.
        observed: what was seen, in words.
        violations: some of the offending rows or values.
    """

    rule: str
    passed: bool
    severity: Severity
    observed: str = ""
    violations: list[str] = []


class Verdict(Strict):
    """The outcome of a whole contract on one data version."""

    asset: str
    data_version: str
    contract_hash: str
    judged_at: str
    rules: list[RuleVerdict]

    @property
    def blocking(self) -> list[RuleVerdict]:
        """Rules that failed and block."""
        return [rule for rule in self.rules if not rule.passed and rule.severity == "error"]


def write_verdict(store: Store, artifact: Artifact, contract_hash: str, rules: list[RuleVerdict]) -> Verdict:
    """Keep the verdict on ``artifact`` under its data version and the contract's hash."""
    verdict = Verdict(
        asset=artifact.asset,
        data_version=artifact.data_version,
        contract_hash=contract_hash,
        judged_at=now(),
        rules=rules,
    )
    write_atomically(_path(store, artifact, contract_hash), verdict.model_dump_json(indent=2))
    return verdict


def read_verdict(store: Store, artifact: Artifact, contract_hash: str) -> Verdict | None:
    """The verdict of this very contract on this very version; None where it was never asked."""
    path = _path(store, artifact, contract_hash)
    return Verdict.model_validate_json(path.read_text()) if path.exists() else None


def require_passed(store: Store, artifact: Artifact, contract_hash: str) -> None:
    """Raise ContractError unless every blocking rule of the contract passed on this version."""
    verdict = read_verdict(store, artifact, contract_hash)
    place = f"{artifact.asset} {artifact.data_version[:SHORT]}"
    if verdict is None:
        raise ContractError(
            "its checks have not run on this version",
            where=place,
            mend="run the asset's checks, or materialize it with its checks; `allow_unchecked` overrides",
        )
    if verdict.blocking:
        told = "; ".join(f"{rule.rule}: {rule.observed}" for rule in verdict.blocking)
        raise ContractError(
            f"{len(verdict.blocking)} blocking rule(s) failed: {told}",
            where=place,
            mend="mend the data or the step and make it again; `allow_unchecked` overrides, on record",
        )


def _path(store: Store, artifact: Artifact, contract_hash: str) -> Path:
    version = artifact.data_version[:SHORT]
    return store.root / "verdicts" / artifact.asset / version / f"{contract_hash[:SHORT]}.json"
