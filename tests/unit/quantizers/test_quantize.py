"""llama.cpp quantizes as the target says; a refusal is told."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from kt_resources.errors import QuantizeError
from kt_resources.quantizers.config import GgufTarget
from kt_resources.quantizers.quantize import quantize_gguf

GATE = "blk.0.ffn_gate.weight"


def types(file: Path) -> Counter:
    return Counter(tensor.tensor_type.name for tensor in gguf.GGUFReader(file).tensors)


def weights(file: Path, name: str = GATE) -> np.ndarray:
    tensor = next(tensor for tensor in gguf.GGUFReader(file).tensors if tensor.name == name)
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)


@pytest.mark.parametrize(
    ("quant", "expected"),
    [
        ("Q8_0", {"Q8_0": 15, "F32": 5}),  # 2 layers of 7 matrices, the embeddings; 2 norms a layer, the last one
        ("Q4_0", {"Q4_0": 14, "Q8_0": 1, "F32": 5}),  # embeddings that serve as output head stay wider
        ("Q4_K_M", {"Q5_0": 12, "Q8_0": 3, "F32": 5}),  # 64 columns fill no block of 256: the fallback types
    ],
)
def test_types_of_a_target(loud_gguf: Path, tmp_path: Path, quant: str, expected: dict[str, int]) -> None:
    quantize_gguf(loud_gguf, tmp_path / "m.gguf", GgufTarget(quant=quant), tmp_path / "log")
    assert types(tmp_path / "m.gguf") == expected


def test_full_precision_keeps_the_export(loud_gguf: Path, tmp_path: Path) -> None:
    quantize_gguf(loud_gguf, tmp_path / "m.gguf", GgufTarget(quant="F16"), tmp_path / "log")
    assert (tmp_path / "m.gguf").read_bytes() == loud_gguf.read_bytes()


def test_embeddings_take_a_type_of_their_own(loud_gguf: Path, tmp_path: Path) -> None:
    target = GgufTarget(quant="Q4_0", token_embedding_type="F16")
    quantize_gguf(loud_gguf, tmp_path / "m.gguf", target, tmp_path / "log")
    assert types(tmp_path / "m.gguf") == {"Q4_0": 14, "F16": 1, "F32": 5}


@pytest.mark.parametrize("option", ["token_embedding_type", "output_tensor_type"])
def test_a_type_of_their_own_that_does_not_fit_is_refused(loud_gguf: Path, tmp_path: Path, option: str) -> None:
    """64 columns fill no block of 256; llama.cpp would end the process, or take another type."""
    target = GgufTarget.model_validate({"quant": "Q4_K_M", option: "Q6_K"})
    with pytest.raises(QuantizeError) as raised:
        quantize_gguf(loud_gguf, tmp_path / "m.gguf", target, tmp_path / "log")
    assert raised.value.what == "Q6_K needs rows of a multiple of 256 weights; those of token_embd.weight have 64"
    assert raised.value.where == f"quantize.targets: {option}"
    assert not list(tmp_path.iterdir())


def test_tied_embeddings_take_the_heads_type(loud_gguf: Path, tmp_path: Path) -> None:
    target = GgufTarget(quant="Q4_0", output_tensor_type="F16")
    quantize_gguf(loud_gguf, tmp_path / "m.gguf", target, tmp_path / "log")
    assert types(tmp_path / "m.gguf") == {"Q4_0": 14, "F16": 1, "F32": 5}


def test_full_precision_with_quantized_embeddings(loud_gguf: Path, tmp_path: Path) -> None:
    target = GgufTarget(quant="F16", token_embedding_type="Q8_0")
    quantize_gguf(loud_gguf, tmp_path / "m.gguf", target, tmp_path / "log")
    assert types(tmp_path / "m.gguf") == {"F16": 14, "Q8_0": 1, "F32": 5}


def test_tensors_take_types_by_their_names(loud_gguf: Path, tmp_path: Path) -> None:
    target = GgufTarget(quant="Q4_0", tensor_types={"ffn_down": "Q8_0", r"blk\.0\.attn_": "F16"})
    quantize_gguf(loud_gguf, tmp_path / "m.gguf", target, tmp_path / "log")
    found = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    assert found["blk.1.ffn_down.weight"] == "Q8_0" and found["blk.1.attn_q.weight"] == "Q4_0"
    assert found["blk.0.attn_q.weight"] == "F16" and found["blk.0.attn_norm.weight"] == "F32"


@pytest.mark.parametrize(
    ("pattern", "kind", "told"),
    [
        ("attn_q", "Q6_K", "Q6_K needs rows of a multiple of 256 weights; those of blk.0.attn_q.weight have 64"),
        ("ffn_downs", "Q8_0", "no tensor's name has 'ffn_downs'"),
    ],
)
def test_types_by_name_that_name_nothing_or_do_not_fit_are_refused(
    loud_gguf: Path, tmp_path: Path, pattern: str, kind: str, told: str
) -> None:
    target = GgufTarget.model_validate({"quant": "Q4_0", "tensor_types": {pattern: kind}})
    with pytest.raises(QuantizeError) as raised:
        quantize_gguf(loud_gguf, tmp_path / "m.gguf", target, tmp_path / "log")
    assert raised.value.what == told
    assert not list(tmp_path.iterdir())


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        GgufTarget(tensor_types={"ffn_(down": "Q8_0"})


def test_an_importance_matrix_moves_the_error_off_the_columns_that_matter(loud_gguf: Path, tmp_path: Path) -> None:
    importance = np.full(64, 1e-4, np.float32)
    importance[::8] = 1.0
    matrix = {GATE: importance}
    for name, given in (("plain", None), ("weighed", matrix)):
        quantize_gguf(loud_gguf, tmp_path / name, GgufTarget(quant="Q4_0"), tmp_path / "log", given)

    def error(name: str) -> float:
        """Σ_j importance_j · (w_ij − q_ij)², the sum that llama.cpp lessens."""
        return float(((weights(loud_gguf) - weights(tmp_path / name)) ** 2 * importance).sum())

    assert error("weighed") < 0.8 * error("plain")
    other = "blk.1.ffn_gate.weight"
    assert np.array_equal(weights(tmp_path / "weighed", other), weights(tmp_path / "plain", other))


def test_an_importance_matrix_of_another_width_is_refused(loud_gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(QuantizeError) as raised:
        matrix = {GATE: np.ones(32, np.float32)}
        quantize_gguf(loud_gguf, tmp_path / "m.gguf", GgufTarget(quant="Q4_0"), tmp_path / "log", matrix)
    assert "imatrix size 32 is different from tensor size 64" in raised.value.what


def test_a_source_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"not a model")
    with pytest.raises(QuantizeError) as raised:
        quantize_gguf(tmp_path / "source", tmp_path / "m.gguf", GgufTarget(quant="Q8_0"), tmp_path / "log")
    assert "fail" in raised.value.what
    assert (raised.value.where, raised.value.mend) == (
        "quantize.targets: Q8_0",
        "see run/log; Q8_0 fits every model",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "source"]


def test_log_goes_to_the_file_alone_and_tells_progress(
    loud_gguf: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[int, int]] = []
    target = GgufTarget(quant="Q8_0")
    quantize_gguf(
        loud_gguf, tmp_path / "m.gguf", target, tmp_path / "log", on_tensor=lambda *counts: told.append(counts)
    )
    assert told == [(index, 20) for index in range(1, 21)]
    assert "blk.1.ffn_up.weight" in (tmp_path / "log").read_text()
    before = (tmp_path / "log").stat().st_size
    load_again(tmp_path / "m.gguf")
    assert (tmp_path / "log").stat().st_size == before
    assert capfd.readouterr() == ("", "")


def load_again(file: Path) -> Any:
    from kt_resources.generators.gguf_model import GgufModel

    with GgufModel(file) as model:
        return model.vocab_size


def test_quantizing_twice_gives_the_same_bytes(loud_gguf: Path, tmp_path: Path) -> None:
    shutil.copyfile(loud_gguf, tmp_path / "elsewhere.gguf")
    for source, name in ((loud_gguf, "one"), (tmp_path / "elsewhere.gguf", "two")):
        quantize_gguf(source, tmp_path / name, GgufTarget(quant="Q4_K_M"), tmp_path / "log")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
