"""Gates: a stage reads only what has passed the current contract, in whichever run it was judged."""

from pathlib import Path

import pytest

from kt_resources.errors import ContractError
from kt_resources.store.store import Artifact, Store
from kt_resources.store.verdicts import RuleVerdict, read_verdict, require_passed, write_verdict

CONTRACT, OTHER_CONTRACT = "c" * 64, "d" * 64


@pytest.fixture
def made(tmp_path: Path) -> tuple[Store, Artifact]:
    store = Store(tmp_path)
    with store.making("line/rows", {}, {}, "1") as making:
        (making.out / "rows.txt").write_text("one")
        return store, store.commit(making, {})


def rule(passed: bool, severity: str = "error") -> RuleVerdict:
    return RuleVerdict(rule="has_rows", passed=passed, severity=severity, observed="0 rows")  # type: ignore[arg-type]


def test_what_was_never_judged_has_not_passed(made: tuple[Store, Artifact]) -> None:
    with pytest.raises(ContractError, match="checks have not run"):
        require_passed(*made, CONTRACT)


def test_a_passed_version_may_be_read(made: tuple[Store, Artifact]) -> None:
    store, artifact = made
    write_verdict(store, artifact, CONTRACT, [rule(True)])
    require_passed(store, artifact, CONTRACT)


def test_a_failed_blocking_rule_refuses_and_says_what_it_saw(made: tuple[Store, Artifact]) -> None:
    store, artifact = made
    write_verdict(store, artifact, CONTRACT, [rule(False)])
    with pytest.raises(ContractError, match="has_rows: 0 rows"):
        require_passed(store, artifact, CONTRACT)


def test_a_failed_warning_does_not_block(made: tuple[Store, Artifact]) -> None:
    store, artifact = made
    write_verdict(store, artifact, CONTRACT, [rule(False, "warn")])
    require_passed(store, artifact, CONTRACT)


def test_a_changed_contract_must_be_asked_again(made: tuple[Store, Artifact]) -> None:
    store, artifact = made
    write_verdict(store, artifact, CONTRACT, [rule(True)])
    with pytest.raises(ContractError, match="checks have not run"):
        require_passed(store, artifact, OTHER_CONTRACT)


def test_a_good_version_judged_before_does_not_vouch_for_a_new_one(made: tuple[Store, Artifact]) -> None:
    store, artifact = made
    write_verdict(store, artifact, CONTRACT, [rule(True)])
    with store.making("line/rows", {"changed": True}, {}, "1") as making:
        (making.out / "rows.txt").write_text("two")
        newer = store.commit(making, {})
    assert read_verdict(store, newer, CONTRACT) is None
    with pytest.raises(ContractError):
        require_passed(store, newer, CONTRACT)
