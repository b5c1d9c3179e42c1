"""Making ``raw_examples``: rows that a source sets aside are kept beside the rows, and counted."""

import json
from types import SimpleNamespace

from kt_assets.sources.assets import RawConfig, read_sources
from kt_resources.recipes.data import EvalData, FileSource
from kt_resources.verifiers import NoVerifier


def make(tmp_path, content):
    (tmp_path / "r.csv").write_text(content)
    source = FileSource(type="file", name="mine", path="r.csv", on_bad_row="set_aside")
    config = RawConfig(sources=(source,), evaluation=EvalData(), verifier=NoVerifier(), files={"r.csv": "sha"})
    return read_sources(SimpleNamespace(config=config, stage=SimpleNamespace(folder=tmp_path), out=tmp_path))


def test_bad_rows_are_counted_and_kept(tmp_path):
    made = make(tmp_path, "prompt,completion\na,b\nc,\n")
    assert (made.facts["num_rows"], made.facts["num_bad_rows"]) == (1, 1)
    (bad,) = map(json.loads, (tmp_path / "bad_rows.jsonl").read_text().splitlines())
    assert bad == {"origin": "r.csv:3", "reason": "the row has no answer ('completion')", "source": "mine"}


def test_there_is_no_file_of_bad_rows_where_there_are_none(tmp_path):
    assert "num_bad_rows" not in make(tmp_path, "prompt,completion\na,b\n").facts
    assert not (tmp_path / "bad_rows.jsonl").exists()
