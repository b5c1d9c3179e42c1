"""Which models ``kt chat`` talks to, and how it opens an adapter that has no model of its own."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kt_assets.cli.chat import _engine, _model
from kt_resources.errors import StoreError
from kt_resources.generators.config import Sampling
from kt_resources.home import Home
from kt_resources.store.store import Store

CHAT = [{"role": "user", "content": "What is 1 plus 3?"}]


def line() -> SimpleNamespace:
    training = [SimpleNamespace(name=name, asset=f"{name}_model") for name in ("sft", "judge")]
    recipe = SimpleNamespace(training=training, makes_scorer=lambda name: name == "judge")
    stages = {name: SimpleNamespace(asset=f"mine/{name}") for name in ("sft_model", "judge_model", "eval_tasks")}
    return SimpleNamespace(name="mine", stages=stages, recipe=recipe)


@pytest.mark.parametrize(
    ("asset", "words"),
    [
        ("judge_model", "'judge_model' is a reward model: it scores answers and gives none"),
        ("eval_tasks", "'eval_tasks' is no model of the line"),
        ("nothing", "'nothing' is no model of the line"),
    ],
)
def test_what_gives_no_answers_is_refused(tmp_path: Path, asset: str, words: str) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        _model(line(), Store(tmp_path), asset)  # type: ignore[arg-type]
    assert "there are: sft_model" in str(caught.value)


def test_an_adapter_without_a_model_answers_on_its_start(tmp_path: Path, tiny_model_dir: Path) -> None:
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    home = Home(tmp_path)
    store = Store(home.store)
    with store.making("mine/base_model", {}, {}, "1") as making:
        shutil.copytree(tiny_model_dir, making.out / "model")
        base = store.commit(making, {})
    with store.making("mine/soft_model", {}, {"start": base}, "1") as making:
        soft = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
        get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model_dir), soft).save_pretrained(
            making.out / "adapter"
        )
        alone = store.commit(making, {"adapter_only": True})
    engines = [_engine(home, store, artifact) for artifact in (base, alone)]
    assert all(engine.generate([CHAT], 1, Sampling(temperature=0, max_new_tokens=3)) for engine in engines)
    plain, soft_logits = (engine.logits(engine.tokenizer.encode_chat(CHAT))[-1] for engine in engines)
    assert np.abs(plain - soft_logits).max() > 1e-3, "the adapter has no part in the answers"
