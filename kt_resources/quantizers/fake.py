"""A quantizer for unit tests of assets: it writes a real, tiny GGUF, and facts that obey the contract."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kt_resources.compute.needs import Needs
from kt_resources.compute.program import write_json
from kt_resources.quantizers.model_card import model_card
from kt_resources.quantizers.ollama import chatml, modelfile
from kt_resources.quantizers.program import target_facts
from kt_resources.quantizers.spec import QuantizeSpec

HEALTHY: dict[str, Any] = {
    "file_size_mb": 0.1,
    "bits_per_weight": 4.5,
    "num_weights": 32,
    "tensor_types": "F32:1",
    "tokenizes_identically": True,
    "tokenization_mismatches": 0,
    "chat_template_identical": True,
    "eos_id_identical": True,
    "missing_stop_tokens": 0,
    "finite": True,
    "mean_kl_to_checkpoint": 0.02,
    "max_kl_to_checkpoint": 0.1,
    "top1_agreement": 0.95,
    "num_compared_tokens": 512,
    "f16_mean_kl": 0.0001,
    "num_probes": 8,
    "stops_rate": 1.0,
    "same_answers_rate": 0.75,
}


@dataclass
class FakeQuantizer:
    """Obeys :class:`kt_resources.quantizers.protocol.Quantizer` without torch or llama.cpp.

    Attributes:
        facts: values that differ from :data:`HEALTHY`, for tests of checks: ``{"stops_rate": 0.0}``.
        error: raised instead of quantizing, for tests of failures.
        specs: every spec that it was given, in order.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    specs: list[QuantizeSpec] = field(default_factory=list)

    def quantize(self, spec: QuantizeSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Write the artifact of ``spec`` as the program would, with one tensor made from its weights and target."""
        self.specs.append(spec)
        if self.error is not None:
            raise self.error
        facts = target_facts(spec.target) | HEALTHY | self.facts
        spec.out_dir.mkdir(parents=True, exist_ok=True)
        template = spec.model_dir / "chat_template.jinja"
        jinja = template.read_text() if template.is_file() else ""
        _write_gguf(spec, spec.out_dir / "model.gguf", jinja)
        write_json(spec.out_dir / "facts.json", facts)
        (spec.out_dir / "chat_template.jinja").write_text(jinja)
        (spec.out_dir / "Modelfile").write_text(modelfile(chatml().text, ["<|im_end|>"], spec.card.get("system")))
        (spec.out_dir / "README.md").write_text(model_card(spec.name, spec.card, facts))
        return facts | {"compute": {"wall_s": 0.0}}


def _write_gguf(spec: QuantizeSpec, file: Path, jinja: str) -> None:
    """A GGUF file of 32 numbers that depend on weights and target."""
    import gguf
    import numpy as np

    digest = hashlib.sha256(spec.target.model_dump_json().encode())
    for weights in sorted(spec.model_dir.glob("*.safetensors")):
        digest.update(weights.read_bytes())
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_chat_template(jinja)
    writer.add_tensor("token_embd.weight", np.frombuffer(digest.digest(), np.uint8).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
