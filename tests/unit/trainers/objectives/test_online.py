"""Online objectives: each reward and advantage is its paper's, and equal groups are drawn again."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kt_resources.errors import TrainingError
from kt_resources.trainers.arguments import total_steps
from kt_resources.trainers.objectives.dynamic_sampling import equal_groups
from kt_resources.trainers.objectives.reinforce_pp import batch_advantages
from kt_resources.trainers.objectives.rewards import ModelReward, length_rewards
from kt_resources.trainers.spec import TrainSpec

ONLINE = {"num_generations": 4, "max_completion_length": 6}


def curve(spec: TrainSpec) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (spec.out_dir / "run" / "curve.jsonl").read_text().splitlines()]


def changed(spec: TrainSpec, **objective: Any) -> TrainSpec:
    given = spec.objective.model_dump() | objective
    return TrainSpec.model_validate(spec.model_dump() | {"objective": given})


def generated(trainer: Any) -> dict[str, Any]:
    """A generated batch of two groups of four, of the first two rows."""
    rows = [row for row in trainer.train_dataset.to_list()[:2] for _ in range(4)]
    trainer.model.train()
    return trainer._generate_and_score_completions(rows)


def test_reinforce_pp_normalizes_over_the_batch() -> None:
    """Rewards 1, 0 | 1, 1: mean 3/4, std ½ (of a sample of four), so advantages ½, −3/2, ½, ½ but for TRL's 1e-4.

    With the groups' means taken off first: ½, −½ | 0, 0, std √(½/3) = 0.4082.
    """
    import torch

    rewards = torch.tensor([1.0, 0.0, 1.0, 1.0])
    assert batch_advantages(rewards, 2, "none").tolist() == pytest.approx([0.5, -1.5, 0.5, 0.5], abs=1e-3)
    based = batch_advantages(rewards, 2, "group").tolist()
    assert based == pytest.approx([0.5 / 0.4082, -0.5 / 0.4082, 0, 0], abs=1e-3)


@pytest.mark.parametrize("baseline", ["none", "group"])
def test_reinforce_pp_trains_with_those_advantages(make_spec: Any, build: Any, baseline: str) -> None:
    trainer = build(changed(make_spec("reinforce_pp"), baseline=baseline))
    output = generated(trainer)
    expected = batch_advantages(trainer._rewards, 4, baseline)
    assert output["advantages"].tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert trainer._rewards.std() > 0


def test_rloo_compares_with_the_others_of_the_group(make_spec: Any, build: Any) -> None:
    """Aᵢ = rᵢ − mean of the three others = (4/3) (rᵢ − mean of all four)."""
    trainer = build(changed(make_spec("rloo"), beta=0.0))
    rewards: list[Any] = []
    original = trainer._calculate_rewards
    trainer._calculate_rewards = lambda *args: rewards.append(original(*args)) or rewards[-1]
    advantages = generated(trainer)["advantages"].view(2, 4)
    groups = rewards[0][:, 0].view(2, 4)
    expected = (groups - groups.mean(1, keepdim=True)) * 4 / 3
    assert advantages.flatten().tolist() == pytest.approx(expected.flatten().tolist(), abs=1e-6)


def test_the_clip_range_of_dapo_is_wider_above(make_spec: Any, build: Any) -> None:
    """One completion of four tokens, ratios 0.5, 1.1, 1.25, 1.5, advantage 1: −(0.5 + 1.1 + 1.25 + 1.28) / 4.

    With advantage −1 the ratio is held from below at 0.8: (0.8 + 1.1 + 1.25 + 1.5) / 4.
    """
    import torch

    trainer = build(make_spec("dapo"))
    ratios = torch.tensor([[0.5, 1.1, 1.25, 1.5]])
    trainer._get_per_token_logps_and_entropies = lambda *args, **kwargs: (ratios.log(), torch.zeros(1, 4), None)
    ones = torch.ones(1, 4, dtype=torch.long)
    batch = {name: ones for name in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")}
    batch |= {"old_per_token_logps": torch.zeros(1, 4), "num_items_in_batch": torch.tensor(4.0)}
    trainer.model.eval()
    losses = [trainer._compute_loss(None, batch | {"advantages": torch.tensor([sign])}).item() for sign in (1.0, -1.0)]
    assert losses == pytest.approx([-(0.5 + 1.1 + 1.25 + 1.28) / 4, (0.8 + 1.1 + 1.25 + 1.5) / 4], rel=1e-6)


@pytest.mark.parametrize("objective", ["grpo", "dapo", "reinforce_pp", "grpo_length", "rloo"])
def test_completions_learned_from_twice_are_clipped(make_spec: Any, run: Any, objective: str) -> None:
    """In the first step on them the ratio is 1, whatever ε; in the second the policy has moved."""
    optimization = {"micro_batch_size": 8, "max_steps": 4, "learning_rate": 5e-2, "lr_scheduler": "constant"}
    tight = {"epsilon": 1e-4, "beta": 0.0} | ({"max_redraws": 0} if objective == "dapo" else {})
    spec = changed(make_spec(objective, optimization=optimization), num_iterations=2, **tight)
    run(spec)
    clipped = [row["clip_fraction"] for row in curve(spec) if "clip_fraction" in row]
    assert clipped[0] == clipped[2] == 0 < min(clipped[1], clipped[3])


def test_completions_as_long_as_a_row_may_be_are_refused(make_spec: Any) -> None:
    spec = make_spec("grpo", optimization={"micro_batch_size": 8, "max_steps": 1, "max_seq_len": 64})
    with pytest.raises(ValidationError, match="max_completion_length: 64 leaves no room for a prompt"):
        changed(spec, max_completion_length=64)


@pytest.mark.parametrize("iterations", [1, 2])
def test_the_steps_of_an_epoch_are_known_beforehand(make_spec: Any, run: Any, iterations: int) -> None:
    """24 prompts, 10 of them a step: two steps an epoch, four prompts left over; AdaLoRA's schedule goes by it."""
    optimization = {"micro_batch_size": 40, "num_epochs": 1, "learning_rate": 1e-3, "num_evals": 1}
    spec = changed(make_spec("grpo", optimization=optimization), num_iterations=iterations)
    run(spec)
    assert max(row["step"] for row in curve(spec)) == total_steps(spec, 24) == 2 * iterations


def test_fewer_prompts_than_a_step_answers_are_refused(make_spec: Any, build: Any) -> None:
    """24 prompts, four completions each: a step of 104 would need 26."""
    with pytest.raises(TrainingError, match="answers 26 prompts") as told:
        build(make_spec("grpo", optimization={"micro_batch_size": 104, "max_steps": 1}))
    assert "at most 96 completions" in str(told.value)


def test_overlong_answers_are_punished_softly(make_spec: Any, build: Any) -> None:
    """At most 10 tokens, a soft end of 4: 0 up to 6, then (6 − length) / 4, −1 at 10."""
    trainer = build(changed(make_spec("dapo"), max_completion_length=10, overlong_share=0.4))
    punish = trainer.reward_funcs[1]
    assert punish(completion_ids=[[1] * length for length in (3, 6, 7, 9, 10)]) == [0, 0, -0.25, -0.75, -1.0]
    assert len(build(changed(make_spec("dapo"), overlong_share=0.0)).reward_funcs) == 1


def test_equal_groups() -> None:
    assert equal_groups([0, 0, 0.5, 0.5, 0, 1], 2) == [0, 1]


PICKY = "def score(completion, row):\n    return float(row['answer'] in '{}') * min(1.0, completion.count('e') / 4)\n"


def test_groups_of_equal_rewards_are_drawn_again(make_spec: Any, run: Any, build: Any, tmp_path: Path) -> None:
    """Only rows whose answer is 1 earn anything: the others' groups are all 0, and give way to other prompts."""
    (tmp_path / "picky.py").write_text(PICKY.format("1"))
    verifier = {"type": "python", "path": f"{tmp_path / 'picky.py'}:score", "answer_marker": None}
    spec = changed(make_spec("dapo", verifier=verifier), max_redraws=6, overlong_share=0.0)
    result = run(spec)
    rows = [row for row in curve(spec) if "redrawn_groups" in row]
    assert sum(row["redrawn_groups"] for row in rows) == result["facts"]["redrawn_groups"] > 0
    notes = [json.loads(line) for line in (spec.scratch_dir / "drawn-0.jsonl").read_text().splitlines()]
    assert [note["step"] for note in notes] == [1, 2, 3]
    assert sum(len(note["ids"]) for note in notes) == result["facts"]["redrawn_groups"]
    assert result["num_trained_rows"] > 6  # three steps of two prompts, and those that took their place
    earned = [row["frac_reward_zero_std"] for row in rows]
    assert all(share <= row["equal_groups"] / 2 for share, row in zip(earned, rows, strict=True))


def test_without_hope_a_step_ends_all_the_same(make_spec: Any, run: Any, tmp_path: Path) -> None:
    """No answer earns anything: two groups, drawn again twice, stay equal; the adapter stays as it was."""
    (tmp_path / "flat.py").write_text("def score(completion, row):\n    return 0.5\n")
    verifier = {"type": "python", "path": f"{tmp_path / 'flat.py'}:score", "answer_marker": None}
    spec = changed(make_spec("dapo", verifier=verifier), max_redraws=2, overlong_share=0.0)
    facts = run(spec)["facts"]
    assert [(row["redrawn_groups"], row["equal_groups"]) for row in curve(spec) if "equal_groups" in row] == [
        (4, 2)
    ] * 3
    assert facts["redrawn_groups"] == 12 and facts["delta_norm_relative"] == 0.0


def test_length_alone_teaches_nothing_where_the_verifier_tells_none_apart(make_spec: Any, build: Any) -> None:
    """All score ½, and are punished by their lengths: redrawn in vain, their advantages are 0."""
    import torch

    spec = changed(make_spec("dapo"), max_redraws=1, overlong_share=1.0)
    for equal, taught in ((True, False), (False, True)):
        trainer = build(spec)
        lengths = torch.tensor([[0.5, -0.1 * (number % 4)] for number in range(8)])
        trainer._calculate_rewards = lambda *args, rewards=lengths: rewards
        trainer._judged = lambda rows, found, equal=equal: [0.5 if equal else float(n % 2) for n in range(len(rows))]
        assert generated(trainer)["advantages"].any().item() is taught


@pytest.mark.parametrize("objective", ["dapo", "grpo_length"])
def test_each_process_holds_whole_groups(make_spec: Any, build: Any, objective: str, monkeypatch: Any) -> None:
    """Two processes of six completions are three groups of four between them, and none of them whole on its own."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match="whole groups of 4"):
        build(make_spec(objective, optimization={"micro_batch_size": 6, "max_steps": 1}))


def test_the_length_reward_is_kimis() -> None:
    """Lengths 2, 4, 6 of right answers: λ = ½, 0, −½; a wrong answer gets no more than 0."""
    assert length_rewards([2, 4, 6], [True, True, True]) == [0.5, 0.0, -0.5]
    assert length_rewards([2, 4, 6], [False, False, False]) == [0.0, 0.0, -0.5]
    assert length_rewards([3, 3], [True, False]) == [0.0, 0.0]


def test_lengths_are_compared_within_their_group(make_spec: Any, build: Any) -> None:
    trainer = build(changed(make_spec("grpo_length"), length_weight=0.5))
    verifier, length = trainer.reward_funcs
    verifier.last = [1.0, 1.0, 1.0, 0.0] + [1.0] * 4
    ids = [[1] * size for size in (2, 4, 6, 2, 3, 3, 3, 5)]
    assert length(completions=[""] * 8, completion_ids=ids) == [0.25, 0.0, -0.25, 0.0, 0.25, 0.25, 0.25, -0.25]


def test_held_out_answers_may_be_drawn(make_spec: Any, build: Any) -> None:
    """Eight prompts, sixteen draws each; the same every time, and the sampler's own draws go on undisturbed."""
    import torch

    trainer = build(changed(make_spec("grpo"), held_out_samples=16))
    state = torch.random.get_rng_state()
    first, second = trainer.held_out_metrics(), trainer.held_out_metrics()
    assert first == second and 0 < first["eval_reward"] < 1
    assert torch.random.get_rng_state().equal(state)


@pytest.fixture(scope="module")
def judge_dir(tiny_model_dir: Path, rows_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model of a few steps: answers that begin with #### are good."""
    from kt_resources.compute.program import Progress
    from kt_resources.trainers.training import train

    folder = tmp_path_factory.mktemp("judge")
    spec = TrainSpec(
        out_dir=folder / "out",
        scratch_dir=folder / "scratch",
        model_dir=tiny_model_dir,
        train_file=rows_dir / "preference_pairs" / "train.parquet",
        objective={"type": "reward_model"},
        update={"type": "full"},
        optimization={"micro_batch_size": 8, "max_steps": 6, "learning_rate": 3e-3},
    )
    spec.out_dir.mkdir()
    train(spec, Progress(spec.out_dir))
    return spec.out_dir / "model"


def test_a_reward_model_scores_as_it_was_trained(judge_dir: Path) -> None:
    """Each answer under the template up to its stop token, alone or beside longer ones."""
    import torch
    from transformers import AutoTokenizer

    from kt_resources.trainers.kinds import load_model

    reward = ModelReward(judge_dir, torch.float32)
    prompt = [{"role": "user", "content": "What is 1 + 2?"}]
    answers = ["#### 3", "I am not sure.", [{"role": "assistant", "content": "#### 5"}]]
    scores = reward(completions=answers, prompts=[prompt] * 3)
    assert scores[0] > scores[1] < scores[2]
    tokenizer, model = AutoTokenizer.from_pretrained(judge_dir), load_model(judge_dir).eval()
    text = tokenizer.apply_chat_template([*prompt, {"role": "assistant", "content": "#### 3"}], tokenize=False)
    ids = tokenizer(text.removesuffix("<|im_end|>\n"))["input_ids"]
    with torch.no_grad():
        assert model(input_ids=torch.tensor([ids])).logits.item() == pytest.approx(scores[0], abs=1e-5)


def test_rlhf_raises_the_reward_models_figure(make_spec: Any, run: Any, judge_dir: Path) -> None:
    """RLOO against the reward model, judged by it; no verifier takes part."""
    fields = make_spec("rloo").model_dump() | {"verifier": {"type": "none"}, "companions": {"reward_model": judge_dir}}
    objective = {"type": "rloo", "reward_model": "judge", "held_out_samples": 8, **ONLINE}
    optimization = {"micro_batch_size": 32, "max_steps": 6, "learning_rate": 1e-2, "num_evals": 1}
    spec = TrainSpec.model_validate(fields | {"objective": objective, "optimization": optimization})
    facts = run(spec)["facts"]
    assert facts["final_eval_reward"] > facts["start_eval_reward"]
    assert any("kl" in row for row in curve(spec))


def test_a_language_model_is_no_reward_model(tiny_model_dir: Path) -> None:
    import torch

    with pytest.raises(TrainingError, match="no reward model"):
        ModelReward(tiny_model_dir, torch.float32)
