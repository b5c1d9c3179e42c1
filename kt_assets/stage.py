"""A stage: what an asset of a line is called, reads, is configured by, and is judged by.

Every asset body is the same four acts: resolve the config, resolve each parent's version once, make, commit.
They stand here once; a room brings only its ``make`` function.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from kt_assets.launchpad import Options, launchpad_schema, resolve_overrides
from kt_resources.compute.needs import Needs, op_tags
from kt_resources.contracts.contract import Contract
from kt_resources.errors import KtError, StoreError
from kt_resources.store.fingerprint import hash_json
from kt_resources.store.full_disk import full_disk
from kt_resources.store.store import SHORT, Artifact, Making, Store
from kt_resources.store.verdicts import require_passed
from kt_resources.strict import Strict

SHOWN = "run/metadata.json"
OVERSIZE = "memory"
"""What a manifest's ``overrides`` say of a training that ran although its plan did not fit."""


@dataclass(frozen=True)
class Stage:
    """One asset of a line.

    Attributes:
        version: the room's ``VERSION``; raise it when the same config should give another artifact.
        config: the resolved section of the recipe; the Launchpad shows it and may override it.
        parents: by the name that ``make`` gives them.
        contract: what the artifact must keep before another stage may read it.
        needs: the devices that its program leases; None for stages that hold none.
        folder: the recipe's folder, from which relative paths of its files count.
    """

    line: str
    name: str
    room: str
    version: str
    config: Strict
    parents: Mapping[str, "Stage"] = field(default_factory=dict)
    contract: Contract | None = None
    needs: Needs | None = None
    description: str = ""
    folder: Path | None = None
    kinds: tuple[str, ...] = ()

    @property
    def asset(self) -> str:
        """``<line>/<name>``, the key in store and Dagster."""
        return f"{self.line}/{self.name}"

    @property
    def key(self) -> dg.AssetKey:
        return dg.AssetKey([self.line, self.name])

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of ``@dg.asset`` for this stage."""
        config = self.config.model_dump(mode="json")
        leased = {"pool": self.needs.pool, "op_tags": op_tags(self.needs)} if self.needs else {}
        return {
            "key": self.key,
            "deps": [parent.key for parent in self.parents.values()],
            "group_name": self.line,
            "code_version": hash_json({"config": config, "version": self.version})[:SHORT],
            "kinds": set(self.kinds),
            "tags": {"room": self.room},
            "description": self.description,
            "config_schema": launchpad_schema(self.config),
            **leased,
        }

    def materialize(
        self, context: dg.AssetExecutionContext, store: Store, make: Callable[["Work"], "Made"]
    ) -> dg.MaterializeResult:
        """Resolve, make (or find what the same making gave before), commit; the outcome for Dagster."""
        config, options = resolve_overrides(self.config, context.op_execution_context.op_config)
        try:
            artifact = self._artifact(context, store, make, config, options)
        except KtError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        except Exception as error:
            if full := full_disk(error, store.root):
                raise dg.Failure(description=str(full), allow_retries=False) from error
            raise
        return materialize_result(artifact)

    def _artifact(
        self,
        context: dg.AssetExecutionContext,
        store: Store,
        make: Callable[["Work"], "Made"],
        config: Strict,
        options: Options,
    ) -> Artifact:
        parents, overrides = self.read_parents(store, allow_unchecked=options.allow_unchecked)
        with store.making(self.asset, config.model_dump(mode="json"), parents, self.version) as making:
            making.overrides = overrides
            known = None if options.rebuild else store.made(self.asset, making.fingerprint)
            if known:
                store.set_current(known, making.fingerprint)
                context.log.info(
                    f"{self.asset}: the same making gave {known.data_version[:SHORT]} before; it is reused"
                )
                return known
            made = make(Work(self, making, config, context, options))
            making.own_work_seconds = made.own_work_seconds
            (making.out / SHOWN).write_text(json.dumps(made.shown, indent=2))
            return store.commit(making, made.facts)

    def read_parents(self, store: Store, allow_unchecked: bool = False) -> tuple[dict[str, Artifact], list[str]]:
        """Each parent's current artifact, and the names of those that were let through although they had not passed.

        Raises:
            StoreError: a parent has not been materialized.
            ContractError: a parent's version has not passed its contract.
        """
        found, overrides = {}, []
        for role, stage in self.parents.items():
            artifact = store.current(stage.asset)
            if artifact is None:
                raise StoreError("has not been materialized", where=stage.asset, mend="materialize it first")
            try:
                if stage.contract:
                    require_passed(store, artifact, stage.contract.hash)
            except KtError:
                if not allow_unchecked:
                    raise
                overrides.append(role)
            found[role] = artifact
        return found, overrides


@dataclass(frozen=True)
class Work:
    """What a ``make`` function gets: where to read, where to write, with which config."""

    stage: Stage
    making: Making
    config: Any
    context: dg.AssetExecutionContext
    options: Options = field(default_factory=Options)

    @property
    def out(self) -> Path:
        """The folder that becomes the artifact."""
        return self.making.out

    @property
    def scratch(self) -> Path:
        """Checkpoints and caches; found again after an interruption."""
        return self.making.scratch

    @property
    def inputs(self) -> dict[str, Artifact]:
        return self.making.parents

    @property
    def needs(self) -> Needs:
        """What the program leases: the recipe's declaration, as the Launchpad may have changed it."""
        return getattr(self.config, "resources", None) or self.stage.needs or Needs()


@dataclass(frozen=True)
class Made:
    """What a ``make`` function returns.

    Attributes:
        facts: figures about the content, kept in the manifest and shown as metadata.
        shown: markdown by title, for people: tables, plots, sample rows.
        own_work_seconds: seconds inside programs and generators; the rest is orchestration.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    own_work_seconds: float = 0.0

    @classmethod
    def of_program(cls, result: Mapping[str, Any], facts: Mapping[str, Any], shown: dict[str, str]) -> "Made":
        """What a program's ``result`` tells: ``facts`` with its lease beside them, its wall time as own work."""
        compute = result.get("compute", {})
        return cls(dict(facts) | {"compute": compute}, shown, compute.get("wall_s", 0.0))


def materialize_result(artifact: Artifact) -> dg.MaterializeResult:
    """The Dagster outcome of an artifact: its data version, facts, plots and provenance."""
    manifest = artifact.manifest
    shown = artifact.folder / SHOWN
    markdown = json.loads(shown.read_text()) if shown.exists() else {}
    metadata: dict[str, Any] = {name: _metadata_value(value) for name, value in manifest.facts.items()}
    metadata |= {title: dg.MetadataValue.md(text) for title, text in markdown.items()}
    metadata |= {
        "path": dg.MetadataValue.path(str(artifact.folder)),
        "fingerprint": manifest.fingerprint[:SHORT],
        "seconds": manifest.seconds,
        "parents": dg.MetadataValue.json(
            {k: f"{p.asset}@{p.data_version[:SHORT]}" for k, p in manifest.parents.items()}
        ),
    }
    if unchecked := [name for name in manifest.overrides if name != OVERSIZE]:
        metadata["read although unchecked"] = ", ".join(unchecked)
    if OVERSIZE in manifest.overrides:
        metadata["trained although it was not planned to fit"] = True
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(artifact.data_version))


def _metadata_value(value: Any) -> Any:
    return dg.MetadataValue.json(value) if isinstance(value, dict | list) else value if value is not None else "none"
