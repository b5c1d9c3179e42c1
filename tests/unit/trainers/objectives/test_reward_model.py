"""Reward model: Bradley and Terry's loss, a head that is trained and saved, and a loss that begins at ln 2."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kt_resources.errors import TrainingError
from kt_resources.trainers.kinds import load_model, scores, write_reward_model
from kt_resources.trainers.saving import tensors
from kt_resources.trainers.spec import TrainSpec


def test_it_begins_at_ln_2_and_orders_the_pairs(make_spec: Callable[..., TrainSpec], run: Any) -> None:
    """The head is zero: every answer scores 0, every pair is a tie, and −log σ(0) = ln 2."""
    facts = run(make_spec("reward_model"))["facts"]
    assert facts["start_eval_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert facts["start_eval_reward_accuracy"] == 0.5
    assert facts["final_eval_reward_accuracy"] > 0.9
    assert facts["adapter_merged_max_logit_diff"] < 1e-5
    assert facts["stops_rate"] is None and facts["kl_to_start"] is None


@pytest.mark.parametrize("centering", [0.0, 0.1])
def test_the_loss_is_bradley_and_terrys(make_spec: Any, build: Any, centering: float) -> None:
    """−log σ(r_c − r_r) + c (r_c + r_r)², the rewards from the body's last hidden state before the stop token."""
    import torch

    objective = {"type": "reward_model", "centering": centering}
    trainer = build(TrainSpec.model_validate(make_spec("reward_model").model_dump() | {"objective": objective}))
    torch.manual_seed(0)
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.5)
    trainer.model.eval()
    row = trainer.train_dataset[0]
    head = next(p for name, p in trainer.model.named_parameters() if "score" in name and p.requires_grad)

    def reward(side: str) -> float:
        *text, stop = row[f"{side}_ids"]
        assert stop == trainer.processing_class.eos_token_id
        with torch.no_grad():
            hidden = trainer.model.base_model.model.model(input_ids=torch.tensor([text])).last_hidden_state
        return (hidden[0, -1] @ head[0]).item()

    chosen, rejected = reward("chosen"), reward("rejected")
    assert abs(chosen - rejected) > 1e-3
    expected = math.log1p(math.exp(rejected - chosen)) + centering * (chosen + rejected) ** 2
    batch = trainer.data_collator([{name: row[name] for name in ("chosen_ids", "rejected_ids")}])
    assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("update", ["full", "qlora"])
def test_the_head_is_saved_and_read_again(make_spec: Any, run: Any, update: str) -> None:
    spec = make_spec("reward_model", update)
    facts = run(spec)["facts"]
    saved = load_model(spec.out_dir / "model")
    assert type(saved).__name__ == "LlamaForSequenceClassification"
    assert saved.score.weight.shape == (1, 64) and saved.score.weight.abs().max() > 0
    assert facts["tied_embeddings_survive"] and facts["eos_token_id_identical"] and facts["vocab_size_identical"]
    if update == "full":
        assert facts["trained_saved_max_logit_diff"] < 1e-5
    samples = json.loads((spec.out_dir / "run" / "samples.json").read_text())
    assert samples == []


def test_the_start_is_the_language_models_body(tiny_model_dir: Path, tmp_path: Path) -> None:
    import torch

    folder = write_reward_model(tiny_model_dir, tmp_path / "start")
    assert scores(folder) and not scores(tiny_model_dir)
    assert (folder / "tokenizer.json").read_bytes() == (tiny_model_dir / "tokenizer.json").read_bytes()
    ids = torch.tensor([[5, 6, 7]])
    bodies = [load_model(path).model(input_ids=ids).last_hidden_state for path in (folder, tiny_model_dir)]
    assert bodies[0].equal(bodies[1])
    assert load_model(folder)(input_ids=ids).logits.tolist() == [[0.0]]
    written = (folder / "model.safetensors").stat().st_mtime_ns
    write_reward_model(tiny_model_dir, folder)
    assert (folder / "model.safetensors").stat().st_mtime_ns == written


def test_it_is_read_at_the_token_it_was_trained_on(
    make_spec: Any, build: Any, tiny_model_dir: Path, tmp_path: Path
) -> None:
    """The config names no pad token and the tokenizer another one than the stop token, as Qwen2.5's do."""
    import shutil

    from transformers import AutoTokenizer

    start = tmp_path / "padded"
    shutil.copytree(tiny_model_dir, start)
    tokenizer = AutoTokenizer.from_pretrained(start)
    tokenizer.pad_token = next(t for t in tokenizer.all_special_tokens if t != tokenizer.eos_token)
    tokenizer.save_pretrained(start)
    config = json.loads((start / "config.json").read_text())
    (start / "config.json").write_text(json.dumps(config | {"pad_token_id": None}))
    written = json.loads((write_reward_model(start, tmp_path / "start") / "config.json").read_text())
    trained = build(make_spec("reward_model", model_dir=start)).model.config
    assert written["pad_token_id"] == trained.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id


def test_a_language_models_head_is_left_out_whatever_it_is_called(make_family: Any, tmp_path: Path) -> None:
    language_model = make_family("gpt_neox")
    folder = write_reward_model(language_model, tmp_path / "start")
    assert tensors(language_model).keys() - tensors(folder).keys() == {"embed_out.weight"}
    assert tensors(folder).keys() - tensors(language_model).keys() == {"score.weight"}


def test_a_family_without_such_a_head_is_refused(tiny_model_dir: Path, tmp_path: Path) -> None:
    import shutil

    other = tmp_path / "other"
    shutil.copytree(tiny_model_dir, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "granite"}))
    with pytest.raises(TrainingError, match="granite has no head that scores"):
        write_reward_model(other, tmp_path / "start")
