"""The importance matrix is the mean square of every input column, over real tokens only."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from kt_resources.errors import QuantizeError
from kt_resources.quantizers.imatrix import importance_matrix, length_batches, padded, read_calibration_rows

ROWS = [[5, 6, 7, 8, 9, 10, 11], [300, 400], [12, 13, 14, 15]]


def test_first_layer_by_hand(tiny_model_dir: Path) -> None:
    """The first projections read RMSNorm of the embeddings (weights of one): x / √(mean(x²) + ε)."""
    embeddings = load_file(tiny_model_dir / "model.safetensors")["model.embed_tokens.weight"].astype(np.float64)
    tokens = embeddings[[token for row in ROWS for token in row]]
    normed = tokens / np.sqrt((tokens**2).mean(1, keepdims=True) + 1e-5)
    found = importance_matrix(tiny_model_dir, ROWS)
    for name in ("attn_q", "attn_k", "attn_v"):
        np.testing.assert_allclose(found[f"blk.0.{name}.weight"], (normed**2).mean(0), rtol=1e-4)


def test_every_matrix_of_the_file_is_weighed(tiny_model_dir: Path, loud_gguf: Path) -> None:
    import gguf

    found = importance_matrix(tiny_model_dir, ROWS[:1])
    widths = {t.name: int(t.shape[0]) for t in gguf.GGUFReader(loud_gguf).tensors if len(t.shape) > 1}
    assert {name: values.size for name, values in found.items()} == widths


def test_padding_takes_no_part(tiny_model_dir: Path) -> None:
    together = importance_matrix(tiny_model_dir, ROWS, max_batch_tokens=1000)
    alone = importance_matrix(tiny_model_dir, ROWS, max_batch_tokens=1)
    for name, values in together.items():
        np.testing.assert_allclose(values, alone[name], rtol=1e-4, err_msg=name)


def test_weights_that_are_not_finite_are_told(tiny_model_dir: Path, tmp_path: Path) -> None:
    for file in tiny_model_dir.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] = np.nan
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(QuantizeError, match=r"inputs of model\.layers\.0\.mlp\.down_proj are not finite"):
        importance_matrix(tmp_path, ROWS)


def test_progress_counts_rows(tiny_model_dir: Path) -> None:
    told: list[tuple[int, int]] = []
    importance_matrix(tiny_model_dir, ROWS, lambda *counts: told.append(counts), max_batch_tokens=8)
    assert told == [(2, 3), (3, 3)]  # 2 rows of at most 4 tokens fill 8; the row of 7 is by itself


def test_batches_hold_like_lengths_within_the_budget() -> None:
    batches = list(length_batches([[0] * 5, [1] * 2, [2] * 3, [3] * 50], max_tokens=6, max_length=10))
    assert [[len(row) for row in batch] for batch in batches] == [[2, 3], [5], [10]]  # 2 · 3 = 6; 50 is cut at 10


def test_padding_stands_on_the_right() -> None:
    ids, mask = padded([[7, 8], [9]])
    assert (ids.tolist(), mask.tolist()) == ([[7, 8], [9, 0]], [[1, 1], [1, 0]])


def parquet(folder: Path, name: str = "rows.parquet", **columns: object) -> Path:
    pq.write_table(pa.table(columns), folder / name)
    return folder / name


def test_calibration_rows_are_spread_over_the_file(tmp_path: Path) -> None:
    file = parquet(tmp_path, input_ids=[[index] for index in range(10)])
    assert read_calibration_rows([file], 3) == [[0], [3], [6]]  # ⌊0 · 10/3⌋, ⌊1 · 10/3⌋, ⌊2 · 10/3⌋
    assert len(read_calibration_rows([file], 99)) == 10


def test_every_file_gives_an_equal_share(tmp_path: Path) -> None:
    first = parquet(tmp_path, "first.parquet", input_ids=[[index] for index in range(10)])
    second = parquet(tmp_path, "second.parquet", input_ids=[[100], [101]])
    assert read_calibration_rows([first, second], 3) == [[0], [5], [100]]
    assert read_calibration_rows([first, second], 8) == [[0], [2], [5], [7], [100], [101]]


def test_rows_without_tokens_are_passed_over(tmp_path: Path) -> None:
    assert read_calibration_rows([parquet(tmp_path, input_ids=[[], [4], []])], 2) == [[4]]


@pytest.mark.parametrize("columns", [{"text": ["a"]}, {"input_ids": pa.array([[]], pa.list_(pa.int32()))}])
def test_files_without_calibration_rows_are_refused(tmp_path: Path, columns: dict[str, object]) -> None:
    with pytest.raises(QuantizeError, match="calibration rows"):
        read_calibration_rows([parquet(tmp_path, **columns)], 4)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match="cannot be read"):
        read_calibration_rows([tmp_path / "none.parquet"], 4)
