"""A base loader for unit tests of assets: always the tiny random model."""

from dataclasses import dataclass, field
from typing import Any

from kt_resources.bases.spec import BaseSpec
from kt_resources.compute.needs import Needs
from kt_resources.compute.program import write_json
from kt_resources.trainers.tiny import make_tiny_model

HEALTHY: dict[str, Any] = {
    "architecture": "LlamaForCausalLM",
    "num_parameters": 158336,
    "vocab_size": 1024,
    "dtype": "float32",
    "tied_embeddings": True,
    "has_chat_template": True,
    "eos_token": "<|im_end|>",
    "has_eos_token": True,
    "logits_finite": True,
    "probe": "What is the capital of France?",
    "answer": "Paris.",
    "num_answer_tokens": 3,
    "license": "Apache-2.0",
}


@dataclass
class FakeBaseLoader:
    """Obeys :class:`kt_resources.bases.protocol.BaseLoader` without torch.

    Attributes:
        facts: values that differ from :data:`HEALTHY`, for tests of checks.
    """

    facts: dict[str, Any] = field(default_factory=dict)

    def load(self, spec: BaseSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Write the tiny model."""
        make_tiny_model(spec.out_dir / "model")
        facts = HEALTHY | self.facts
        write_json(spec.out_dir / "facts.json", facts)
        return facts | {"compute": {"wall_s": 0.0}}
