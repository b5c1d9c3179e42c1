"""The fake quantizer obeys the real one's contract: same files, same facts, and content that follows its input."""

from pathlib import Path

import gguf
import pytest

from kt_resources.compute.needs import Needs
from kt_resources.errors import QuantizeError
from kt_resources.quantizers.config import GgufTarget
from kt_resources.quantizers.fake import HEALTHY, FakeQuantizer
from kt_resources.quantizers.parity import ParityProbes, measure
from kt_resources.quantizers.program import target_facts
from kt_resources.quantizers.protocol import Quantizer
from kt_resources.quantizers.spec import QuantizeSpec


def spec(folder: Path, model_dir: Path, quant: str = "Q4_0") -> QuantizeSpec:
    target = GgufTarget(quant=quant)
    return QuantizeSpec(out_dir=folder, scratch_dir=folder / "scratch", model_dir=model_dir, target=target)


def test_artifact(tmp_path: Path, tiny_model_dir: Path) -> None:
    fake: Quantizer = FakeQuantizer(facts={"stops_rate": 0.0})
    facts = fake.quantize(spec(tmp_path, tiny_model_dir), Needs())
    assert {file.name for file in tmp_path.iterdir()} == {
        "model.gguf", "Modelfile", "chat_template.jinja", "README.md", "facts.json",
    }  # fmt: skip
    assert (facts["stops_rate"], facts["quant"]) == (0.0, "Q4_0")
    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    assert reader.fields["tokenizer.chat_template"].contents() == (tiny_model_dir / "chat_template.jinja").read_text()


def test_facts_are_those_of_the_real_one(loud_model_dir: Path, loud_gguf: Path) -> None:
    real = measure(loud_model_dir, loud_gguf, loud_gguf, ParityProbes())
    assert HEALTHY.keys() == real.keys()
    assert not HEALTHY.keys() & target_facts(GgufTarget()).keys()


def test_another_target_is_another_file(tmp_path: Path, tiny_model_dir: Path) -> None:
    fake = FakeQuantizer()
    for quant in ("Q4_0", "Q8_0"):
        fake.quantize(spec(tmp_path / quant, tiny_model_dir, quant), Needs())
    files = [(tmp_path / quant / "model.gguf").read_bytes() for quant in ("Q4_0", "Q8_0")]
    assert files[0] != files[1]
    assert [one.target.quant for one in fake.specs] == ["Q4_0", "Q8_0"]


def test_failure(tmp_path: Path, tiny_model_dir: Path) -> None:
    fake = FakeQuantizer(error=QuantizeError("no"))
    with pytest.raises(QuantizeError, match="no"):
        fake.quantize(spec(tmp_path, tiny_model_dir), Needs())
    assert len(fake.specs) == 1 and not list(tmp_path.iterdir())
