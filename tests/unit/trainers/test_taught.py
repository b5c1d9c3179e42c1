"""Completions without an advantage are left out of GRPO's loss, and the gradient is what it was."""

from typing import Any

import pytest
import torch

ADVANTAGES = [0.0, 0.0, 0.0, 0.0, 1.5, -0.5, 0.0, -1.0]


@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo"])
def test_the_gradient_is_that_of_all_completions(
    make_spec: Any, monkeypatch: pytest.MonkeyPatch, loss_type: str
) -> None:
    from kt_resources.compute.program import Progress
    from kt_resources.trainers.taught import TaughtOnly
    from kt_resources.trainers.training import train

    seen: list[tuple[int, float, float]] = []
    left_out = TaughtOnly._compute_loss

    def both(trainer: Any, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        if not trainer.model.training:
            return left_out(trainer, model, inputs)
        inputs = inputs | {"advantages": torch.tensor(ADVANTAGES)}
        weights = [weight for weight in trainer.model.parameters() if weight.requires_grad]
        whole = super(TaughtOnly, trainer)._compute_loss(model, inputs)
        expected = torch.autograd.grad(whole, weights)
        loss = left_out(trainer, model, inputs)
        found = torch.autograd.grad(loss, weights, retain_graph=True)
        apart = max((one - other).abs().max().item() for one, other in zip(expected, found, strict=True))
        size = max(one.abs().max().item() for one in expected)
        seen.append((len(trainer._taught(inputs)), apart, size))
        torch.testing.assert_close(loss, whole)
        return loss

    monkeypatch.setattr(TaughtOnly, "_compute_loss", both)
    spec = make_spec("grpo")
    spec = spec.model_copy(update={"objective": spec.objective.model_copy(update={"loss_type": loss_type})})
    spec.out_dir.mkdir(parents=True)
    train(spec, Progress(spec.out_dir))
    assert len(seen) == 3
    for count, apart, size in seen:
        assert count == 3 and size > 1e-4 and apart < 1e-5 * max(1.0, size)


def test_one_completion_stays_where_none_teaches_and_all_where_a_kl_term_counts() -> None:
    from types import SimpleNamespace

    from kt_resources.trainers.taught import TaughtOnly

    def taught(advantages: list[float], elsewhere: int = 0, **options: Any) -> Any:
        def gather(count: torch.Tensor) -> torch.Tensor:
            return torch.cat([count, count.new_tensor([elsewhere])])

        plain = {"beta": 0, "top_entropy_quantile": 1, "_entropy_bonus_enabled": False, "aux_loss_enabled": False}
        asked = (
            {"loss_type": "dapo", "model": SimpleNamespace(training=True)}
            | plain
            | {"accelerator": SimpleNamespace(gather=gather)}
            | options
        )
        found = TaughtOnly._taught(SimpleNamespace(**asked), {"advantages": torch.tensor(advantages)})
        return None if found is None else found.tolist()

    assert taught([0.0, 1.0, 0.0, -1.0]) == [1, 3]
    assert taught([0.0, 0.0]) == [0]
    assert taught([1.0, -1.0]) is None
    # another process has three: as many go through here, since TRL gathers a figure of each
    assert taught([0.0, 1.0, 0.0, -1.0], elsewhere=3) == [1, 3, 0]
    assert taught([0.0, 1.0, 0.0, -1.0], elsewhere=4) is None
    assert taught([0.0, 1.0], beta=0.04) is None
    assert taught([0.0, 1.0], loss_type="bnpo") is None
