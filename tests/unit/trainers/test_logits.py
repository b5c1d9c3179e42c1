"""Logits at labelled positions only: the same loss and gradients, fewer rows through the output head."""

from pathlib import Path
from typing import Any

import torch


def _loss_and_head_rows(model_dir: Path, batch: dict[str, Any]) -> tuple[float, torch.Tensor, int]:
    """TRL's fused loss on ``batch``, the gradient of a middle layer, and the rows its head projected."""
    from transformers import AutoModelForCausalLM
    from trl.kernels import ChunkedLogProbFunction
    from trl.trainer import utils

    rows = []

    class Counting:
        @staticmethod
        def apply(hidden: torch.Tensor, *rest: Any) -> Any:
            rows.append(hidden.shape[0])
            return ChunkedLogProbFunction.apply(hidden, *rest)

    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    utils.add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    original, utils._ChunkedLogProbFunction = utils._ChunkedLogProbFunction, Counting
    try:
        outputs = model(**batch, fused_lm_head=True)
    finally:
        utils._ChunkedLogProbFunction = original
    outputs.loss.backward()
    return outputs.loss.item(), model.model.layers[0].mlp.up_proj.weight.grad, rows[0]


def test_loss_and_gradient_equal_trls_and_only_labelled_rows_reach_the_head(tiny_model_dir: Path) -> None:
    from trl.kernels.chunked_logprob import _use_triton
    from trl.trainer import utils

    from kt_resources.trainers.logits import score_labelled_positions_only

    ids = torch.arange(5, 5 + 24).reshape(2, 12)
    labels = ids.clone()
    labels[0, :9], labels[1, :6] = -100, -100  # 3 + 6 labelled of 2 · 11 predicted positions
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    patched = utils._use_triton
    try:
        utils._use_triton = _use_triton
        loss, gradient, all_rows = _loss_and_head_rows(tiny_model_dir, batch)
        score_labelled_positions_only()
        compact_loss, compact_gradient, rows = _loss_and_head_rows(tiny_model_dir, batch)
    finally:
        utils._use_triton = patched
    assert (all_rows, rows) == (22, 9)
    assert abs(loss - compact_loss) < 1e-5
    assert torch.allclose(gradient, compact_gradient, atol=1e-6)


def test_it_equals_the_plain_cross_entropy_of_the_model(tiny_model_dir: Path) -> None:
    from transformers import AutoModelForCausalLM

    from kt_resources.trainers.logits import score_labelled_positions_only

    score_labelled_positions_only()
    ids = torch.arange(5, 5 + 12).reshape(1, 12)
    labels = ids.clone()
    labels[0, :9] = -100
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    expected = model(input_ids=ids, labels=labels).loss.item()
    loss, _, _ = _loss_and_head_rows(tiny_model_dir, {"input_ids": ids, "labels": labels})
    assert abs(loss - expected) < 1e-5
