"""LoftQ: refused without a GPU; what its start does to the 4-bit model, computed here on the CPU."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from kt_resources.trainers.updates.loftq import Loftq


def test_without_a_gpu_it_is_refused_when_it_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KT_FAKE_DEVICES", "cpu:1x16")
    with pytest.raises(ValidationError, match="runs on a GPU only"):
        Loftq()
    monkeypatch.setenv("KT_FAKE_DEVICES", "cuda:1x24")
    assert Loftq().r == 16
    with pytest.raises(ValidationError, match="scale 1"):
        Loftq(r=8, alpha=16)


def test_it_begins_nearer_to_the_start_and_is_saved_over_it(
    make_spec: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PEFT's own few lines with its device, the GPU, taken for this CPU. At rank 16 of 32 to 64 a good part of the
    rounding comes back: the held-out loss of the start is nearer to the unrounded model's than QLoRA's is."""
    from peft.utils import loftq_utils

    monkeypatch.setenv("KT_FAKE_DEVICES", "cuda:1x24")
    to = torch.Tensor.to

    def on_this_cpu(tensor: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        return to(tensor, *args, **{**options, "device": "cpu"} if options.get("device") == "cuda" else options)

    monkeypatch.setattr(torch.Tensor, "to", on_this_cpu)
    monkeypatch.setattr(loftq_utils, "clear_device_cache", lambda: None)
    loss = {}
    for update in ("lora", "qlora", "loftq"):
        spec = make_spec("sft", update)
        own = {"out_dir": spec.out_dir / update, "scratch_dir": spec.scratch_dir / update}
        facts = run(spec.model_copy(update=own))["facts"]
        loss[update] = facts["start_eval_loss"]
        assert facts["final_eval_loss"] < facts["start_eval_loss"]
    assert abs(loss["loftq"] - loss["lora"]) < abs(loss["qlora"] - loss["lora"])
    assert facts["adapter_merged_max_logit_diff"] < 1e-5
