"""The store: artifacts appear whole or not at all."""

import hashlib
import json
import multiprocessing
import os
from pathlib import Path

import pytest

from kt_resources.errors import StoreError
from kt_resources.store.fingerprint import data_version, fingerprint, hash_json
from kt_resources.store.store import Artifact, Store


def make(
    store: Store, text: str = "one", asset: str = "line/rows", parents: dict[str, Artifact] | None = None
) -> Artifact:
    with store.making(asset, {"text": text}, parents or {}, "1") as making:
        (making.out / "rows.txt").write_text(text)
        return store.commit(making, {"num_rows": 1})


def test_data_version_is_the_hash_of_paths_and_digests_without_the_run_folder() -> None:
    digest = hashlib.sha256(b"one").hexdigest()
    expected = hashlib.sha256(json.dumps({"rows.txt": digest}, separators=(",", ":")).encode()).hexdigest()
    assert data_version({"rows.txt": digest, "run/log.txt": "whatever"}) == expected


def test_a_committed_artifact_is_found_and_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    artifact = make(store)
    found = store.current("line/rows")
    assert found is not None
    assert found.data_version == artifact.data_version
    assert found.path("rows.txt").read_text() == "one"
    assert store.verify(found) == []
    assert found.manifest.files["rows.txt"].size == 3


def test_same_content_keeps_its_version_and_folder(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = make(store)
    with store.making("line/rows", {"text": "another config"}, {}, "1") as making:
        (making.out / "rows.txt").write_text("one")
        (making.out / "run" / "log.txt").write_text("a log that differs")
        second = store.commit(making, {})
    assert (second.data_version, second.folder) == (first.data_version, first.folder)
    assert len(store.artifacts("line/rows")) == 1


def test_changed_content_is_another_version_and_the_old_one_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = make(store, "one"), make(store, "two")
    assert first.data_version != second.data_version
    assert store.get("line/rows", first.data_version[:10]).path("rows.txt").read_text() == "one"
    current = store.current("line/rows")
    assert current is not None and current.data_version == second.data_version


def test_a_fingerprint_that_was_made_before_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = make(store, "one")
    make(store, "two")
    known = store.made("line/rows", fingerprint({"text": "one"}, {}, "1"))
    assert known is not None and known.data_version == first.data_version
    assert store.made("line/rows", fingerprint({"text": "three"}, {}, "1")) is None


@pytest.mark.parametrize("change", ["config", "parents", "version"])
def test_every_part_of_a_fingerprint_counts(change: str) -> None:
    base = {"config": {"a": 1}, "parents": {"p": "v1"}, "version": "1"}
    other = base | {change: {"config": {"a": 2}, "parents": {"p": "v2"}, "version": "2"}[change]}
    assert fingerprint(**base) != fingerprint(**other)  # type: ignore[arg-type]
    assert hash_json({"b": 1, "a": 2}) == hash_json({"a": 2, "b": 1})


def test_nothing_is_current_when_the_making_dies_before_its_commit(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.making("line/rows", {}, {}, "1") as making:
        (making.out / "rows.txt").write_text("half")
        (making.scratch / "checkpoint").write_text("step 5")
        raise RuntimeError("killed")
    assert store.current("line/rows") is None
    assert store.artifacts() == []
    with store.making("line/rows", {}, {}, "1") as again:
        assert (again.scratch / "checkpoint").read_text() == "step 5"
        assert list(again.out.iterdir()) == [again.out / "run"]


def test_scratch_is_emptied_by_the_commit(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.making("line/rows", {}, {}, "1") as making:
        (making.scratch / "checkpoint").write_text("x")
        (making.out / "rows.txt").write_text("x")
        store.commit(making, {})
        assert not making.scratch.exists()


def _hold(root: Path, ready: "multiprocessing.synchronize.Event", done: "multiprocessing.synchronize.Event") -> None:
    with Store(root).making("line/rows", {}, {}, "1"):
        ready.set()
        done.wait(20)


def test_two_processes_cannot_make_the_same_artifact_and_a_killed_one_frees_it(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("fork")
    ready, done = spawn.Event(), spawn.Event()
    other = spawn.Process(target=_hold, args=(tmp_path, ready, done))
    other.start()
    assert ready.wait(20)
    with (
        pytest.raises(StoreError, match=f"process {other.pid} is making"),
        Store(tmp_path).making("line/rows", {}, {}, "1"),
    ):
        pass
    other.kill()
    other.join()
    with Store(tmp_path).making("line/rows", {}, {}, "1"):
        pass


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    artifact = make(store)
    artifact.path("rows.txt").write_text("0ne")
    assert store.verify(artifact) == ["rows.txt"]
    artifact.path("rows.txt").unlink()
    assert store.verify(artifact) == ["rows.txt"]


def test_a_broken_manifest_names_its_place(tmp_path: Path) -> None:
    store = Store(tmp_path)
    artifact = make(store)
    (artifact.folder / "manifest.json").write_text("{")
    with pytest.raises(StoreError, match="no readable manifest"):
        store.current("line/rows")


def test_parents_stand_in_the_manifest_with_the_version_that_was_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    parent = make(store, "one", "line/raw")
    child = make(store, "child", "line/rows", {"raw": parent})
    make(store, "two", "line/raw")
    assert child.manifest.parents["raw"].data_version == parent.data_version


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    artifact = make(Store(tmp_path))
    with pytest.raises(StoreError, match=r"has no model\.gguf"):
        artifact.path("model.gguf")


def test_an_ambiguous_version_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    make(store, "one"), make(store, "two")
    with pytest.raises(StoreError, match="2 versions begin with ''"):
        store.get("line/rows", "")


def test_no_temporary_pointer_is_left(tmp_path: Path) -> None:
    make(Store(tmp_path))
    assert [name for _, _, files in os.walk(tmp_path) for name in files if name.endswith(".part")] == []
