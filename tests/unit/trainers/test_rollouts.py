"""Rollouts: the folded model is the adapter's, completions are what ``generate`` gives, draws follow the logits."""

from pathlib import Path
from typing import Any

import pytest
import torch

from kt_resources.compute.memory.shape import published, shape_of_folder
from kt_resources.trainers.memory import update_memory
from kt_resources.trainers.updates import UPDATES


@pytest.fixture
def adapted(tiny_model_dir: Path) -> Any:
    """The tiny model under a LoRA whose B is not zero."""
    return _adapted(tiny_model_dir)


def _adapted(model_dir: Path, **options: Any) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear", **options)
    torch.manual_seed(0)
    adapted = get_peft_model(model, config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return adapted.train()


PROMPTS = [[5, 6, 7, 8, 9], [5, 6, 7, 8, 9], [11, 12, 13], [5, 6, 7, 8, 9], [11, 12, 13]]


@pytest.mark.parametrize("dora", [False, True])
def test_folding_gives_the_adapters_logits_and_leaves_the_model_as_it_was(tiny_model_dir: Path, dora: bool) -> None:
    from kt_resources.trainers.rollouts import folded

    adapted = _adapted(tiny_model_dir, use_dora=dora)
    ids = torch.arange(5, 17)[None]
    before, modules = adapted(input_ids=ids).logits, dict(adapted.named_modules())
    with folded(adapted) as plain:
        inside = plain(input_ids=ids).logits
        assert not any("lora" in name for name, _ in plain.named_modules())
    assert torch.allclose(inside, before, atol=1e-5)
    assert dict(adapted.named_modules()) == modules and adapted.training
    assert torch.equal(adapted(input_ids=ids).logits, before)


ADAPTERS = [name for name, kind in UPDATES.items() if kind.has_adapter and "quant_type" not in kind.model_fields]


@pytest.mark.parametrize("name", ADAPTERS)
def test_what_is_folded_is_what_the_plan_takes_for_folded(tiny_model_dir: Path, name: str) -> None:
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    from kt_resources.trainers.rollouts import can_fold

    strategy = UPDATES[name].model_validate({"type": name})
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    shape = shape_of_folder(tiny_model_dir)
    assert can_fold(model)
    made = get_peft_model(model, strategy.peft_config(model, 100))
    strategy.attach(made)
    assert can_fold(made) == update_memory(strategy, shape).folds


def test_weights_in_four_bits_are_not_folded() -> None:
    assert not update_memory(UPDATES["qdora"].model_validate({"type": "qdora"}), published("smollm2-135m")).folds


def test_cold_draws_are_the_greedy_completions_of_generate(adapted: Any) -> None:
    from kt_resources.trainers.rollouts import Drawing, folded, sample

    greedy = []
    for prompt in PROMPTS:
        output = adapted.generate(
            input_ids=torch.tensor([prompt]), max_new_tokens=6, do_sample=False, eos_token_id=None
        )
        greedy.append(output[0, len(prompt) :].tolist())
    with folded(adapted) as plain:
        assert sample(plain, PROMPTS, Drawing(6, temperature=1e-6)) == greedy


def test_a_completion_ends_with_its_stop_token_and_the_others_go_on(adapted: Any) -> None:
    from kt_resources.trainers.rollouts import Drawing, folded, sample

    with folded(adapted) as plain:
        free = sample(plain, PROMPTS, Drawing(6, temperature=1e-6))
        stop = free[0][2]  # what the first prompt's completion says third
        ended = sample(plain, PROMPTS, Drawing(6, temperature=1e-6, stops=(stop,)))
    for whole, cut in zip(free, ended, strict=True):
        expected = whole[: whole.index(stop) + 1] if stop in whole else whole
        assert cut == expected


def test_draws_follow_the_probabilities_and_the_temperature() -> None:
    from kt_resources.trainers.rollouts import draw

    torch.manual_seed(0)
    logits = torch.tensor([0.6, 0.3, 0.1]).log().expand(20_000, 3)
    shares = torch.bincount(draw(logits, 1.0), minlength=3) / 20_000
    assert torch.allclose(shares, torch.tensor([0.6, 0.3, 0.1]), atol=0.015)
    # at temperature 0.5 probabilities are squared: 0.36, 0.09, 0.01 of 0.46
    shares = torch.bincount(draw(logits, 0.5), minlength=3) / 20_000
    assert torch.allclose(shares, torch.tensor([0.36, 0.09, 0.01]) / 0.46, atol=0.015)


def test_a_nucleus_holds_the_fewest_tokens_that_reach_its_mass() -> None:
    from kt_resources.trainers.rollouts import draw

    torch.manual_seed(0)
    logits = torch.tensor([0.1, 0.6, 0.3]).log().expand(5_000, 3)
    counts = torch.bincount(draw(logits, 1.0, top_p=0.7), minlength=3)  # 0.6 alone does not reach 0.7, 0.9 does
    assert counts[0] == 0
    assert abs(counts[1] / 5_000 - 2 / 3) < 0.03


def test_draws_by_blocks_are_those_of_one_long_sum() -> None:
    from kt_resources.trainers.rollouts import BLOCK, draw

    torch.manual_seed(0)
    logits = torch.randn(64, 4 * BLOCK + 37) * 3
    found = [draw(logits, 1.0) for _ in range(20)]
    torch.manual_seed(0)
    torch.randn(64, 4 * BLOCK + 37)
    sums = logits.softmax(-1).double().cumsum(-1)
    for tokens in found:
        places = torch.rand(64, 1, dtype=torch.double) * sums[:, -1:]
        assert (tokens == torch.searchsorted(sums, places, right=True).squeeze(-1)).float().mean() > 0.98
    alone = torch.full((500, 3 * BLOCK), -1e9)
    alone[:, BLOCK + 7] = 0
    assert (draw(alone, 1.0) == BLOCK + 7).all()  # never the padding or the end of a block


def test_grpo_trains_on_these_rollouts(make_spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from kt_resources.compute.program import Progress
    from kt_resources.trainers import rollouts
    from kt_resources.trainers.training import train

    asked = []
    original = rollouts.sample
    monkeypatch.setattr(
        rollouts,
        "sample",
        lambda model, prompts, drawing: asked.append(len(prompts)) or original(model, prompts, drawing),
    )
    spec = make_spec("grpo")
    spec.out_dir.mkdir(parents=True)
    train(spec, Progress(spec.out_dir))
    assert asked == [8, 8, 8]  # three steps of eight completions
