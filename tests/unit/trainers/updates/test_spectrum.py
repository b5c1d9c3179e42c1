"""Spectrum: the ratio of known singular values, the choice of each kind, and that nothing else moves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kt_resources.trainers.spec import TrainSpec
from kt_resources.trainers.updates.spectrum import Spectrum, highest_of_each_kind, signal_to_noise, spectrum_ratio


def test_the_ratio_of_known_singular_values() -> None:
    """10, 4, 3, 2, 1 have quartiles 2 and 4, so σ̂ = 2 / 1.349 = 1.48. A square matrix (β = 1) has its edge at 2σ̂ =
    2.97: signal 17, noise 3, over the largest. A long one (β → 0) at σ̂: signal 19, noise 1."""
    values = torch.tensor([10.0, 4.0, 3.0, 2.0, 1.0])
    assert spectrum_ratio(values, 1.0) == pytest.approx(17 / 3 / 10)
    assert spectrum_ratio(values, 0.0) == pytest.approx(19 / 1 / 10)


def test_signal_above_noise_is_seen() -> None:
    """One direction of 20 above noise of singular values up to 1.7: 20 more of signal over the same noise."""
    torch.manual_seed(0)
    noise = torch.randn(32, 64) / 64**0.5
    direction = torch.zeros(32, 64)
    direction[0, 0] = 20.0
    values = [torch.linalg.svdvals(weight) for weight in (noise, noise + direction)]
    plain, signal = (spectrum_ratio(found, 0.5) * found[0].item() for found in values)
    assert signal > plain + 0.5
    assert signal_to_noise(noise.T) == pytest.approx(signal_to_noise(noise), rel=1e-5)


def test_one_of_each_kind_at_least() -> None:
    ratios = {"0.q.weight": 1.0, "1.q.weight": 2.0, "2.q.weight": 3.0, "0.v.weight": 5.0}
    assert set(highest_of_each_kind(ratios, 0.34)) == {"2.q.weight", "0.v.weight"}
    assert set(highest_of_each_kind(ratios, 1.0)) == set(ratios)


def test_only_the_chosen_matrices_move(make_spec: Callable[..., TrainSpec], run: Any) -> None:
    """Half of two blocks: one matrix of each of the seven kinds; with attention alone, of each of four."""
    from safetensors.torch import load_file

    for targets, kinds in (("all-linear", 7), ("attention", 4)):
        spec = make_spec("sft", "spectrum")
        own = {"out_dir": spec.out_dir / targets, "scratch_dir": spec.scratch_dir / targets}
        spec = spec.model_copy(update={"update": Spectrum(target_modules=targets), **own})
        assert run(spec)["facts"]["num_changed_tensors"] == kinds
        before = load_file(spec.model_dir / "model.safetensors")
        after = load_file(spec.out_dir / "model" / "model.safetensors")
        moved = [name.split(".")[-2] for name in before if not before[name].equal(after[name])]
        assert len(moved) == len(set(moved)) == kinds


def test_a_reward_models_head_is_trained_too(tiny_model_dir: Path, tmp_path: Path) -> None:
    """It begins at zero: were it frozen, no gradient would reach any matrix, and nothing would be learned."""
    from kt_resources.trainers.kinds import HEAD, load_model, write_reward_model

    model = load_model(write_reward_model(tiny_model_dir, tmp_path / "reward"))
    Spectrum().prepare(model)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert HEAD in trained and len(trained) == 8
    assert "model.embed_tokens.weight" not in trained
