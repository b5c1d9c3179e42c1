"""Which stages of a line must be made again, and why: asked of the store alone."""

from dataclasses import dataclass
from typing import Literal

from kt_assets.line import Line
from kt_assets.stage import Stage
from kt_resources.store.fingerprint import fingerprint
from kt_resources.store.store import Store
from kt_resources.store.verdicts import read_verdict

Reason = Literal["never made", "recipe or inputs changed", "not checked", "a check failed", "follows"]


@dataclass(frozen=True)
class Stale:
    """A stage to make again; ``after`` names the stale stage that it follows."""

    stage: Stage
    reason: Reason
    after: str = ""

    def __str__(self) -> str:
        return f"follows {self.after}" if self.after else self.reason


def stale_stages(line: Line, store: Store) -> dict[str, Stale]:
    """The stages to make, in order, by name.

    A stage that only follows another may turn out unchanged: it is then found again by its fingerprint.
    """
    found: dict[str, Stale] = {}
    for name, stage in line.stages.items():
        before = next((parent.name for parent in stage.parents.values() if parent.name in found), None)
        reason = own_reason(stage, store)
        if before and reason != "never made":
            found[name] = Stale(stage, "follows", before)
        elif reason:
            found[name] = Stale(stage, reason)
    return found


def own_reason(stage: Stage, store: Store) -> Reason | None:
    """Why ``stage`` itself is stale, given the parents that are current; None where it is fresh."""
    pointer, artifact = store.pointer(stage.asset), store.current(stage.asset)
    if pointer is None or artifact is None:
        return "never made"
    parents = {role: store.current(parent.asset) for role, parent in stage.parents.items()}
    versions = {role: parent.data_version for role, parent in parents.items() if parent}
    if fingerprint(stage.config.model_dump(mode="json"), versions, stage.version) != pointer.fingerprint:
        return "recipe or inputs changed"
    if stage.contract:
        verdict = read_verdict(store, artifact, stage.contract.hash)
        if verdict is None:
            return "not checked"
        if verdict.blocking:
            return "a check failed"
    return None
