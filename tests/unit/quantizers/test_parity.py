"""Each fact of a GGUF file, on a faithful export and on one that is broken in that respect alone."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kt_resources.errors import QuantizeError
from kt_resources.quantizers.parity import ParityProbes, kl_divergence, measure, text_windows
from kt_resources.quantizers.quantize import quantize_gguf

TEXT = "The capital of France is Paris, 1,234.\n\nnaïve café 日本語 🙂  and\ttabs;   blanks.\n\nA <|im_end|> third."
PROMPTS = (
    [{"role": "user", "content": "What is 2 + 2?"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How many days?"}],
)
PROBES = ParityProbes(TEXT, 64, PROMPTS, 8)

Breaking = Callable[[Callable[[Any], None]], Path]


@pytest.fixture
def facts(loud_model_dir: Path, loud_gguf: Path) -> Callable[..., dict[str, Any]]:
    def of(file: Path, probes: ParityProbes = PROBES) -> dict[str, Any]:
        return measure(loud_model_dir, file, loud_gguf, probes)

    return of


def test_a_faithful_export(facts: Callable[..., dict[str, Any]], loud_gguf: Path) -> None:
    found = facts(loud_gguf)
    assert {name: found[name] for name in FAITHFUL} == FAITHFUL
    assert abs(found["mean_kl_to_checkpoint"]) < 1e-3
    assert found["f16_mean_kl"] == found["mean_kl_to_checkpoint"]
    assert found["top1_agreement"] > 0.95
    assert found["file_size_mb"] == round(loud_gguf.stat().st_size / 1e6, 3)
    assert found["bits_per_weight"] == pytest.approx((16 * (158_336 - 320) + 32 * 320) / 158_336, abs=1e-3)


FAITHFUL = {
    "tokenizes_identically": True,
    "tokenization_mismatches": 0,
    "chat_template_identical": True,
    "eos_id_identical": True,
    "missing_stop_tokens": 0,
    "finite": True,
    "stops_rate": 0.0,
    "same_answers_rate": 1.0,
    "num_probes": 2,
    "num_weights": 158_336,
    "tensor_types": "F16:15 F32:5",
}
"""A random model never stops; its 5 norms of 64 stay in float32."""


def test_quantization_is_told_from_export(
    facts: Callable[..., dict[str, Any]], loud_gguf: Path, tmp_path: Path
) -> None:
    from kt_resources.quantizers.config import GgufTarget

    quantize_gguf(loud_gguf, tmp_path / "q4.gguf", GgufTarget(quant="Q4_0"), tmp_path / "log")
    found = facts(tmp_path / "q4.gguf")
    assert found["mean_kl_to_checkpoint"] > 10 * abs(found["f16_mean_kl"])
    assert found["tokenizes_identically"] and found["finite"]


def test_another_eos_id(facts: Callable[..., dict[str, Any]], broken: Breaking) -> None:
    found = facts(broken(lambda reader: set_scalar(reader, "tokenizer.ggml.eos_token_id", 0)))
    assert found["eos_id_identical"] is False
    assert found["missing_stop_tokens"] == 0  # llama.cpp knows <|im_end|> by its text
    assert found["tokenizes_identically"] and found["chat_template_identical"]


def test_a_stop_token_that_llama_cpp_does_not_know(facts: Callable[..., dict[str, Any]], broken: Breaking) -> None:
    def change(reader: Any) -> None:
        set_scalar(reader, "tokenizer.ggml.eos_token_id", 0)
        token_text(reader, 2)[:] = np.frombuffer(b"<|im_fnd|>", np.uint8)

    found = facts(broken(change))
    assert found["missing_stop_tokens"] == 1
    assert found["tokenizes_identically"] is False


def test_another_template(facts: Callable[..., dict[str, Any]], broken: Breaking) -> None:
    def change(reader: Any) -> None:
        field = reader.fields["tokenizer.chat_template"]
        field.parts[field.data[0]][10] = ord("X")

    found = facts(broken(change))
    assert found["chat_template_identical"] is False
    assert found["tokenizes_identically"] and found["eos_id_identical"]


def test_two_tokens_in_each_others_place(facts: Callable[..., dict[str, Any]], broken: Breaking) -> None:
    def change(reader: Any) -> None:
        tokens = reader.fields["tokenizer.ggml.tokens"].contents()
        one, other = (token_text(reader, tokens.index(mark)) for mark in ",.")
        one[:], other[:] = other.copy(), one.copy()

    found = facts(broken(change))
    assert found["tokenizes_identically"] is False
    assert found["tokenization_mismatches"] >= 1


def test_a_shuffled_tensor(facts: Callable[..., dict[str, Any]], broken: Breaking) -> None:
    def change(reader: Any) -> None:
        data = next(tensor.data for tensor in reader.tensors if tensor.name == "blk.0.attn_v.weight")
        data[:] = data[::-1].copy()

    found = facts(broken(change))
    assert found["mean_kl_to_checkpoint"] > 0.01
    assert found["same_answers_rate"] < 1
    assert found["finite"] is True


def test_a_weight_that_is_no_number(facts: Callable[..., dict[str, Any]], broken: Breaking) -> None:
    def change(reader: Any) -> None:
        next(tensor.data for tensor in reader.tensors if tensor.name == "output_norm.weight")[0] = np.nan

    found = facts(broken(change))
    assert (found["finite"], found["mean_kl_to_checkpoint"]) == (False, None)


def test_answers_that_stop(facts: Callable[..., dict[str, Any]], loud_gguf: Path, broken: Breaking) -> None:
    """With the first token of the first greedy answer for eos, that answer stops, and is empty."""
    first = first_answer_token(loud_gguf)
    found = facts(
        broken(lambda reader: set_scalar(reader, "tokenizer.ggml.eos_token_id", first)),
        ParityProbes(TEXT, 64, PROMPTS[:1], 8),
    )
    assert (found["stops_rate"], found["same_answers_rate"]) == (1.0, 0.0)


def test_nothing_to_compare_on_is_not_measured(facts: Callable[..., dict[str, Any]], loud_gguf: Path) -> None:
    found = facts(loud_gguf, ParityProbes())
    names = ("finite", "mean_kl_to_checkpoint", "f16_mean_kl", "top1_agreement", "stops_rate", "same_answers_rate")
    assert {name: found[name] for name in names} == dict.fromkeys(names)


def test_prompts_stand_in_for_a_text(facts: Callable[..., dict[str, Any]], loud_gguf: Path) -> None:
    found = facts(loud_gguf, ParityProbes("", 64, PROMPTS, 1))
    assert found["num_compared_tokens"] > 20
    assert abs(found["mean_kl_to_checkpoint"]) < 1e-3


def test_prompts_without_a_template_are_refused(loud_model_dir: Path, loud_gguf: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(loud_model_dir, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(QuantizeError, match="no chat template"):
        measure(folder, loud_gguf, loud_gguf, PROBES)


def test_windows_end_at_the_number_of_tokens() -> None:
    """A tokenizer that begins every input with token 1 and gives each letter a token."""

    class Letters:
        def __call__(self, text: str, add_special_tokens: bool = True) -> Any:
            from types import SimpleNamespace

            return SimpleNamespace(input_ids=[1] * add_special_tokens + [ord(letter) for letter in text])

    text = "a" * 300 + "\n\n" + "b" * 100
    lengths = [(window[0], len(window)) for window in text_windows(Letters(), ParityProbes(text, 310))]
    assert lengths == [(1, 257), (1, 45), (1, 11)]  # 256 + 44 + 10 = 310, each with a 1 before it


def test_kl_by_hand() -> None:
    """KL((½, ½) ‖ (¼, ¾)) = ½ ln 2 + ½ ln ⅔ = 0.1438."""
    found = kl_divergence(np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]]))
    assert found == pytest.approx([0.5 * math.log(2) + 0.5 * math.log(2 / 3)])
    assert kl_divergence(np.array([[1.0, 2.0]]), np.array([[6.0, 7.0]])) == pytest.approx([0.0])  # a shift is nothing


def set_scalar(reader: Any, key: str, value: int) -> None:
    field = reader.fields[key]
    field.parts[field.data[0]][0] = value


def token_text(reader: Any, index: int) -> Any:
    """Bytes of a token's text, to be written to."""
    field = reader.fields["tokenizer.ggml.tokens"]
    return field.parts[field.data[index]]


def first_answer_token(file: Path) -> int:
    from kt_resources.generators.config import Sampling
    from kt_resources.generators.llama_cpp import LlamaCppEngine

    engine = LlamaCppEngine(file)
    try:
        [[answer]] = engine.generate(PROMPTS[:1], 1, Sampling(temperature=0, max_new_tokens=1))
    finally:
        engine.close()
    return answer.token_ids[0]
