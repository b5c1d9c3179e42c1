"""A start model with an adapter on it that is not merged: how it is loaded, and what it answers.

With prompt tuning PEFT puts virtual tokens before the others, and the model's outputs begin with theirs; everybody who
reads outputs (losses, log-probabilities, probes) counts positions from the first true token.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import peft
    from transformers import PreTrainedModel

PER_POSITION = ("logits", "log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1", "label_mask")
"""The fields of a model's output, and of TRL's fused head's, that have a position as their second dimension."""


def load_adapted(start: "PreTrainedModel", adapter_dir: Path) -> "peft.PeftModel":
    """``start`` with the saved adapter on it, its outputs at the tokens alone."""
    from peft import PeftModel

    model = PeftModel.from_pretrained(start, str(adapter_dir))
    leave_out_virtual_tokens(model)
    return model


def leave_out_virtual_tokens(model: "peft.PeftModel") -> None:
    """Cut the virtual tokens' positions off every output; nothing to cut where an adapter or a scorer has none."""
    config = model.active_peft_config
    if config.peft_type != "PROMPT_TUNING" or config.task_type != "CAUSAL_LM":
        return

    def cut(_: Any, __: Any, output: Any) -> Any:
        for name in PER_POSITION:
            if getattr(output, name, None) is not None:
                output[name] = output[name][:, config.num_virtual_tokens :]
        return output

    model.register_forward_hook(cut)
