"""Both questions have an answer: which rows made this model, which models saw this row."""

from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet
import pytest

from kt_resources.errors import StoreError
from kt_resources.store.lineage import ancestors, sightings, source_rows
from kt_resources.store.store import Artifact, Store


def commit(store: Store, asset: str, tables: dict[str, list[dict[str, object]]], **parents: Artifact) -> Artifact:
    with store.making(f"line/{asset}", {}, parents, "1") as making:
        for name, rows in tables.items():
            parquet.write_table(pyarrow.Table.from_pylist(rows), making.out / f"{name}.parquet")
        if "trained_rows" in tables:
            (making.out / "model").mkdir()
            (making.out / "model" / "config.json").write_text(asset)
        return store.commit(making, {})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """raw r1 r2 r3 → curated c1 (of r1) and r2; sft trains on c1 alone; grpo starts from sft."""
    store = Store(tmp_path)
    rows = [{"id": f"r{n}", "parents": [], "origin": f"raw.jsonl:{n}"} for n in (1, 2, 3)]
    raw = commit(store, "raw_examples", {"examples": rows})
    cleaned = [{"id": "c1", "parents": ["r1"], "origin": "raw.jsonl:1"}, {**rows[1]}]
    curated = commit(store, "curated_examples", {"examples": cleaned}, raw=raw)
    sft = commit(store, "sft_model", {"trained_rows": [{"id": "c1"}]}, data=curated)
    commit(store, "grpo_model", {"trained_rows": [{"id": "p9"}]}, start=sft)
    return store


def current(store: Store, asset: str) -> Artifact:
    found = store.current(f"line/{asset}")
    assert found is not None
    return found


def test_a_model_leads_to_its_source_rows(store: Store) -> None:
    found = [(row.id, row.origin, row.asset) for row in source_rows(store, current(store, "sft_model"))]
    assert found == [("r1", "raw.jsonl:1", "line/raw_examples")]


def test_a_later_model_leads_through_the_one_it_started_from(store: Store) -> None:
    assert [row.id for row in source_rows(store, current(store, "grpo_model"))] == ["r1"]
    assert [a.asset for a in ancestors(store, current(store, "grpo_model"))] == [
        "line/grpo_model",
        "line/sft_model",
        "line/curated_examples",
        "line/raw_examples",
    ]


def test_a_row_leads_to_the_models_that_saw_it_directly_or_through_another(store: Store) -> None:
    found = [(s.artifact.asset, s.inherited, s.rows) for s in sightings(store, "r1")]
    assert found == [("line/sft_model", False, ("c1",)), ("line/grpo_model", True, ("c1",))]


def test_a_row_that_was_mixed_but_not_trained_on_was_not_seen(store: Store) -> None:
    assert sightings(store, "r2") == []


def test_an_unknown_row_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError, match="no artifact has this row"):
        sightings(store, "nothing")
