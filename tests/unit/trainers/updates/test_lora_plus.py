"""LoRA+: B's learning rate is the ratio times A's."""

from typing import Any

import pytest

from kt_resources.trainers.optimizer import MasterAdamW


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_b_learns_at_the_ratio(make_spec: Any, run: Any, monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    """Rate 0.001, ratio 4: 0.001 for the 14 A, 0.004 for the 14 B; float32 copies stay under bf16."""
    from kt_resources.trainers import training

    monkeypatch.setattr("kt_resources.trainers.precision.usable", lambda spec: spec)
    seen, original = [], training._run
    monkeypatch.setattr(training, "_run", lambda trainer, spec: (original(trainer, spec), seen.append(trainer)))
    optimization = {"micro_batch_size": 8, "max_steps": 2, "learning_rate": 1e-3, "lr_scheduler": "constant"}
    run(make_spec(update="lora", precision=precision, optimization=optimization).model_copy(update={"update": _plus()}))
    optimizer = seen[0].optimizer.optimizer
    rates = {round(group["lr"], 9): len(group["params"]) for group in optimizer.param_groups if group["params"]}
    assert rates == {0.001: 14, 0.004: 14}
    assert isinstance(optimizer, MasterAdamW) == (precision == "bf16")


def _plus() -> Any:
    from kt_resources.trainers.updates.lora_plus import LoraPlus

    return LoraPlus(lr_ratio=4)
