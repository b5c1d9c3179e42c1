"""(IA)³: keys, values and the MLP's inner activations, each multiplied by a trained vector (arXiv:2205.05638, §3.3).

``softmax(Q (l_k ⊙ K)ᵀ / √d) (l_v ⊙ V)`` and ``W₂ (l_ff ⊙ γ(W₁ x))``; the vectors begin with 1.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from kt_resources.compute.needs import Precision
from kt_resources.trainers.updates.base import UpdateStrategy
from kt_resources.trainers.updates.targets import keys_and_values, last_of_mlp

if TYPE_CHECKING:
    import peft
    import torch
    from transformers import PreTrainedModel


class Ia3(UpdateStrategy):
    """Three vectors a block: the fewest trained numbers of all adapters, at a high learning rate (3e-3 in the paper).

    Where a model fuses queries, keys and values into one layer, its vector scales all three.
    """

    type: Literal["ia3"] = "ia3"
    learning_rate_scale: ClassVar[float] = 15.0

    def peft_config(self, model: "PreTrainedModel", total_steps: int) -> "peft.PeftConfig":
        """The (IA)³ that PEFT puts on the model."""
        from peft import IA3Config

        inner = last_of_mlp(model)
        return IA3Config(
            task_type="CAUSAL_LM", target_modules=[*keys_and_values(model), *inner], feedforward_modules=inner
        )

    def trainable_dtype(self, name: str, precision: Precision) -> "torch.dtype":
        """float32: bfloat16 numbers near 1 stand 0.008 apart."""
        import torch

        return torch.float32
