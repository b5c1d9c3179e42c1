"""What a contract is: rules that an asset's table must keep, written as YAML in ``data_contracts/``."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from kt_resources.errors import ContractError
from kt_resources.store.fingerprint import hash_json
from kt_resources.store.verdicts import Severity
from kt_resources.strict import Strict


class Rule(Strict):
    """One expectation, by its Great Expectations name.

    Attributes:
        name: the asset check's name.
        why: one sentence that a person reads when the rule fails: what it guards, and what to do.
        expectation: snake-case name of a Great Expectations expectation.
        arguments: its arguments.
        severity: ``error`` blocks what reads the asset, ``warn`` is shown.
        table: the file that this rule reads, where it is not the contract's.
        applies_when: a column that must say something for the rule to apply: only adapters have a merged KL.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    why: str
    expectation: str = Field(pattern=r"^expect_[a-z_]+$")
    arguments: dict[str, Any] = {}
    severity: Severity = "error"
    table: str | None = None
    applies_when: str | None = None


class Contract(Strict):
    """The rules for one kind of asset and the file that they read.

    Attributes:
        table: file of the artifact: Parquet rows, or ``facts.json``, which is read as one row.
    """

    name: str
    kind: Literal["dataset", "model", "report"]
    table: str
    rules: tuple[Rule, ...] = Field(min_length=1)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the contract's content: another contract asks for another verdict."""
        return hash_json(self.model_dump(mode="json"))


def contracts_folder() -> Path:
    """The folder ``data_contracts/`` of the installation or of the source tree."""
    installed = Path(__file__).resolve().parents[2] / "data_contracts"
    if not installed.is_dir():
        raise ContractError("not found", where=str(installed), mend="reinstall kt-post-training")
    return installed


def load_contract(path: Path) -> Contract:
    """Read one contract; ContractError names the file and the field."""
    try:
        return Contract.model_validate(yaml.safe_load(path.read_text()))
    except (yaml.YAMLError, ValidationError) as error:
        raise ContractError(str(error), where=str(path), mend="see data_contracts/README.md for the form") from error


def load_contracts(folder: Path | None = None) -> dict[str, Contract]:
    """All contracts of ``data_contracts/`` (or of ``folder``) by name."""
    paths = sorted((folder or contracts_folder()).glob("*/*.yaml"))
    contracts = {}
    for path in paths:
        contract = load_contract(path)
        if contract.name in contracts:
            raise ContractError(f"two contracts are named {contract.name!r}", where=str(path), mend="rename one")
        contracts[contract.name] = contract
    return contracts
