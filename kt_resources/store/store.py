"""The artifact store: immutable directories that appear whole or not at all.

Layout below the root::

    artifacts/<line>/<asset>/<data version>/   manifest.json and the files; never changed
    current/<line>/<asset>.json                which version is current, made with which fingerprint
    makings/<line>/<asset>/<fingerprint>.json  fingerprint → data version, for every making there was
    verdicts/<line>/<asset>/<data version>/    what each contract said of a version
    work/<line>/<asset>/<fingerprint>/         out/ (artifact-to-be), scratch/ (checkpoints), lock
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kt_resources.errors import StoreError
from kt_resources.store.fingerprint import data_version, file_sha256, fingerprint
from kt_resources.store.manifest import MANIFEST, FileEntry, Manifest, Parent, now
from kt_resources.strict import Strict

SHORT = 16
"""How many hex digits of a hash name a folder."""


@dataclass(frozen=True)
class Artifact:
    """A committed artifact: its folder and its manifest."""

    folder: Path
    manifest: Manifest

    @property
    def asset(self) -> str:
        return self.manifest.asset

    @property
    def data_version(self) -> str:
        return self.manifest.data_version

    def path(self, name: str) -> Path:
        """The path of a file or folder of the artifact; raises StoreError where it has none of that name."""
        path = self.folder / name
        if not path.exists():
            raise StoreError(f"has no {name}", where=f"{self.asset} {self.data_version[:SHORT]}")
        return path


class Pointer(Strict):
    """``current/<line>/<asset>.json``."""

    data_version: str
    fingerprint: str
    set_at: str


@dataclass
class Making:
    """An artifact being made: ``out`` becomes the artifact, ``scratch`` survives a crash."""

    asset: str
    config: dict[str, Any]
    parents: dict[str, Artifact]
    stage_version: str
    fingerprint: str
    out: Path
    scratch: Path
    overrides: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    own_work_seconds: float = 0.0


class Store:
    """Artifacts under one root folder. Safe for several processes on one machine."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    # ---- reading

    def current(self, asset: str) -> Artifact | None:
        """The current version of ``asset``, or None where there is none."""
        pointer = self.pointer(asset)
        return self.get(asset, pointer.data_version) if pointer else None

    def pointer(self, asset: str) -> Pointer | None:
        """Which version of ``asset`` is current and which fingerprint it was made with."""
        return _read_pointer(self.root / "current" / f"{asset}.json")

    def get(self, asset: str, version: str) -> Artifact:
        """The artifact of ``asset`` with that data version; a unique prefix of it is enough."""
        folder = self.root / "artifacts" / asset / version[:SHORT]
        if not (folder / MANIFEST).exists():
            found = [path for path in self._versions(asset) if path.name.startswith(version)]
            if len(found) != 1:
                there = ", ".join(path.name for path in self._versions(asset)) or "none"
                what = f"{len(found)} versions begin with {version!r}"
                raise StoreError(what, where=asset, mend=f"there are: {there}")
            folder = found[0]
        return _read_artifact(folder)

    def parent(self, artifact: Artifact, role: str) -> Artifact:
        """The very version of what ``artifact`` was made from in that ``role``, current or not."""
        parent = artifact.manifest.parents[role]
        return self.get(parent.asset, parent.data_version)

    def artifacts(self, asset: str | None = None) -> list[Artifact]:
        """Every artifact of ``asset`` (of the whole store where None), oldest first."""
        keys = [asset] if asset else self.assets()
        found = [_read_artifact(folder) for key in keys for folder in self._versions(key)]
        return sorted(found, key=lambda artifact: (artifact.manifest.created_at, artifact.asset))

    def assets(self) -> list[str]:
        """Keys of all assets that have an artifact."""
        base = self.root / "artifacts"
        return sorted({path.parent.parent.relative_to(base).as_posix() for path in base.glob(f"*/*/*/{MANIFEST}")})

    def made(self, asset: str, fingerprint: str) -> Artifact | None:
        """The artifact that a making with this fingerprint gave, if there was one."""
        pointer = _read_pointer(self.root / "makings" / asset / f"{fingerprint[:SHORT]}.json")
        if pointer is None or pointer.fingerprint != fingerprint:
            return None
        folder = self.root / "artifacts" / asset / pointer.data_version[:SHORT]
        return _read_artifact(folder) if (folder / MANIFEST).exists() else None

    def verify(self, artifact: Artifact) -> list[str]:
        """Paths of the artifact's files that are missing or whose SHA-256 is not the manifest's."""
        wrong = []
        for name, entry in artifact.manifest.files.items():
            path = artifact.folder / name
            if not path.is_file() or path.stat().st_size != entry.size or file_sha256(path) != entry.sha256:
                wrong.append(name)
        return wrong

    # ---- writing

    @contextmanager
    def making(
        self, asset: str, config: dict[str, Any], parents: Mapping[str, Artifact], stage_version: str
    ) -> Iterator[Making]:
        """Open the work folder of a making, alone: a second process that asks for the same is refused.

        The same config, parents and stage version give the same folder, so what an interrupted making left in
        ``scratch`` is found again; ``out`` starts empty.
        """
        print_ = fingerprint(config, {name: parent.data_version for name, parent in parents.items()}, stage_version)
        work = self.root / "work" / asset / print_[:SHORT]
        (work / "scratch").mkdir(parents=True, exist_ok=True)
        with alone(work / "lock", asset, "is making the same artifact"):
            shutil.rmtree(work / "out", ignore_errors=True)
            (work / "out" / "run").mkdir(parents=True)
            yield Making(asset, config, dict(parents), stage_version, print_, work / "out", work / "scratch")

    def commit(self, making: Making, facts: dict[str, Any]) -> Artifact:
        """Make ``making.out`` an artifact and the asset's current version; empty its scratch folder.

        The files are hashed, the manifest is written last, and the folder is renamed into place: a reader sees
        the whole artifact or none. Content that the store already has keeps the folder that it has.
        """
        files = {
            path.relative_to(making.out).as_posix(): FileEntry(sha256=file_sha256(path), size=path.stat().st_size)
            for path in sorted(making.out.rglob("*"))
            if path.is_file()
        }
        version = data_version({name: entry.sha256 for name, entry in files.items()})
        manifest = Manifest(
            asset=making.asset,
            data_version=version,
            fingerprint=making.fingerprint,
            stage_version=making.stage_version,
            parents={
                name: Parent(asset=parent.asset, data_version=parent.data_version)
                for name, parent in making.parents.items()
            },
            config=making.config,
            facts=facts,
            files=files,
            created_at=now(),
            seconds=round(time.monotonic() - making.started, 3),
            own_work_seconds=round(making.own_work_seconds, 3),
            overrides=making.overrides,
        )
        artifact = self._place(making, manifest)
        self.set_current(artifact, making.fingerprint)
        shutil.rmtree(making.scratch, ignore_errors=True)
        return artifact

    def set_current(self, artifact: Artifact, fingerprint: str) -> None:
        """Point ``asset`` at this artifact, as the outcome of a making with ``fingerprint``."""
        pointer = Pointer(data_version=artifact.data_version, fingerprint=fingerprint, set_at=now())
        write_atomically(
            self.root / "makings" / artifact.asset / f"{fingerprint[:SHORT]}.json", pointer.model_dump_json()
        )
        write_atomically(self.root / "current" / f"{artifact.asset}.json", pointer.model_dump_json())

    def _place(self, making: Making, manifest: Manifest) -> Artifact:
        folder = self.root / "artifacts" / making.asset / manifest.data_version[:SHORT]
        if (folder / MANIFEST).exists():
            shutil.rmtree(making.out)
            return _read_artifact(folder)
        manifest.write(making.out)
        folder.parent.mkdir(parents=True, exist_ok=True)
        os.replace(making.out, folder)
        return Artifact(folder, manifest)

    def _versions(self, asset: str) -> list[Path]:
        return [path.parent for path in (self.root / "artifacts" / asset).glob(f"*/{MANIFEST}")]


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` so that a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    with temporary.open("w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _read_pointer(path: Path) -> Pointer | None:
    try:
        return Pointer.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise StoreError("not a pointer of this store", where=str(path), mend="delete it and run again") from error


def _read_artifact(folder: Path) -> Artifact:
    try:
        return Artifact(folder, Manifest.model_validate_json((folder / MANIFEST).read_text()))
    except (OSError, ValidationError) as error:
        raise StoreError(f"no readable manifest: {error}", where=str(folder), mend="run `kt doctor`") from error


@contextmanager
def alone(lock: Path, where: str, does: str) -> Iterator[None]:
    """Hold an exclusive lock on ``lock`` for the block; the kernel frees it when the process ends.

    Args:
        where, does: for the message of the StoreError where another process holds it: ``process 7 <does>``.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise StoreError(f"process {holder} {does}", where=where, mend="wait for it, or stop it") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
