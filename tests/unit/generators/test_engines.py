"""All engines over one tiny model: equal answers, equal scores."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kt_resources.errors import GenerationError
from kt_resources.generators import batching
from kt_resources.generators.checkpoint import CheckpointEngine
from kt_resources.generators.config import Sampling
from kt_resources.generators.engine import Completion, ScoringEngine
from kt_resources.generators.open_engine import (
    answered_in,
    choose_engine,
    export_precision,
    exported,
    open_engine,
    slot_precision,
)
from kt_resources.generators.tokenizers import FolderTokenizer
from kt_resources.generators.transformers import TransformersEngine

CHATS = [[{"role": "user", "content": f"What is {number} plus 3?"}] for number in range(5)]
GREEDY = Sampling(temperature=0, max_new_tokens=6)
WARM = Sampling(temperature=1, max_new_tokens=6, seed=7)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def llama(tiny_model_dir: Path, scratch: Path) -> Iterator[ScoringEngine]:
    engine = open_engine(tiny_model_dir, "llama_cpp", scratch_dir=scratch, batch_size=3)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def slots(tiny_model_dir: Path) -> ScoringEngine:
    return CheckpointEngine(tiny_model_dir, "F32", batch_size=3)


@pytest.fixture(scope="module")
def torch_engine(tiny_model_dir: Path) -> ScoringEngine:
    return TransformersEngine(tiny_model_dir, batch_size=3)


def texts(answers: list[list[Completion]]) -> list[list[str]]:
    return [[answer.text for answer in some] for some in answers]


def test_engines_agree_greedily(llama: ScoringEngine, slots: ScoringEngine, torch_engine: ScoringEngine) -> None:
    found = llama.generate(CHATS, 1, GREEDY)
    assert found == torch_engine.generate(CHATS, 1, GREEDY) == slots.generate(CHATS, 1, GREEDY)
    assert all(answer.num_tokens == 6 and not answer.finished for [answer] in found)  # a random model never stops


def test_scores_are_the_checkpoints(llama: ScoringEngine, slots: ScoringEngine, torch_engine: ScoringEngine) -> None:
    ids = llama.tokenizer.encode_chat(CHATS[0])
    expected = torch_engine.logits(ids)
    for engine in (llama, slots):
        np.testing.assert_allclose(engine.logits(ids), expected, atol=1e-5)
    shifted = expected - np.log(np.exp(expected).sum(axis=1, keepdims=True))
    by_hand = [shifted[place, token] for place, token in enumerate(ids[1:])]
    for engine in (torch_engine, llama, slots):
        np.testing.assert_allclose(engine.token_logprobs(ids), by_hand, atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "slots", "torch_engine"])
def test_many_short_texts_are_scored_as_one_by_one(name: str, request: pytest.FixtureRequest) -> None:
    engine: ScoringEngine = request.getfixturevalue(name)
    texts = [
        list(range(place, place + length)) for place, length in ((5, 7), (90, 1), (40, 600), (9, 300), (7, 212), (3, 1))
    ]
    starts = [2, 0, 597, 299, 0, 0]
    found = list(engine.logits_each(list(zip(texts, starts, strict=True))))
    assert [len(rows) for rows in found] == [5, 1, 3, 1, 212, 1]
    for ids, start, rows in zip(texts, starts, found, strict=True):
        np.testing.assert_allclose(rows, engine.logits(ids)[start:], atol=1e-5)


@pytest.mark.parametrize(
    ("megabytes", "instructions", "gains", "precision"),
    [
        (1, "AVX512_BF16", True, "F32"),
        (500, "AVX512_BF16", True, "BF16"),
        (500, "AVX512_BF16", False, "F32"),
        (500, "AVX512", False, "F32"),
        (500, "AVX512", True, "F32"),
        (5000, "AVX512", False, "F16"),
    ],
)
def test_precision_follows_the_processor(
    megabytes: int, instructions: str, gains: bool, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(megabytes * 1_000_000)
    monkeypatch.setattr("kt_resources.generators.gguf_model.computes_in", lambda name: name == instructions)
    monkeypatch.setattr("kt_resources.compute.precision.cpu_gains_from_bf16", lambda tiles: gains and not tiles)
    assert export_precision(tmp_path) == precision


@pytest.mark.parametrize("name", ["llama", "slots", "torch_engine"])
def test_draws_do_not_depend_on_the_order_of_work(name: str, request: pytest.FixtureRequest) -> None:
    engine: ScoringEngine = request.getfixturevalue(name)
    together = texts(engine.generate(CHATS, 3, WARM))
    alone = [texts(engine.generate([chat], 3, WARM, first_index=place))[0] for place, chat in enumerate(CHATS)]
    same = sum(one == other for some in zip(together, alone, strict=True) for one, other in zip(*some, strict=True))
    assert same >= 14  # of 15; rounding may flip a draw
    assert len({text for some in together for text in some}) > 10
    assert texts(engine.generate(CHATS, 3, WARM.model_copy(update={"seed": 8}))) != together


def test_token_ids_are_prompts_too(llama: ScoringEngine) -> None:
    ids = llama.tokenizer.encode_chat(CHATS[1])
    assert llama.generate([ids], 1, GREEDY) == llama.generate([CHATS[1]], 1, GREEDY)


def test_grammar_is_obeyed(llama: ScoringEngine, slots: ScoringEngine, torch_engine: ScoringEngine) -> None:
    sampling = WARM.model_copy(update={"grammar": 'root ::= "yes" | "no"'})
    answers = llama.generate(CHATS, 2, sampling)
    assert {text for some in texts(answers) for text in some} <= {"yes", "no"}
    with pytest.raises(GenerationError, match="cannot parse the grammar"):
        llama.generate(CHATS, 1, WARM.model_copy(update={"grammar": "not a grammar"}))
    for engine in (slots, torch_engine):
        with pytest.raises(GenerationError, match="knows no grammars"):
            engine.generate(CHATS, 1, sampling)


@pytest.mark.parametrize("name", ["llama", "slots", "torch_engine"])
def test_answers_end_at_a_stop_token(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = request.getfixturevalue(name)
    [[whole]] = engine.generate(CHATS[:1], 1, WARM)
    assert whole.token_ids[2] not in whole.token_ids[:2]
    monkeypatch.setitem(engine.tokenizer.__dict__, "stop_ids", engine.tokenizer.stop_ids | {whole.token_ids[2]})
    [[cut]] = engine.generate(CHATS[:1], 1, WARM)
    assert (cut.token_ids, cut.finished, cut.num_tokens) == (whole.token_ids[:2], True, 3)


def test_a_prompt_without_room_is_refused(llama: ScoringEngine, slots: ScoringEngine) -> None:
    for engine in (llama, slots):
        with pytest.raises(GenerationError, match="a prompt of 2045 tokens and an answer of 6 exceed 2048"):
            engine.generate([[5] * 2045], 1, GREEDY)
        with pytest.raises(GenerationError, match="no tokens"):
            engine.generate([[]], 1, GREEDY)


def test_little_memory_for_keys_and_values_means_fewer_at_once(
    slots: ScoringEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kt_resources.generators import checkpoint

    opened = []
    monkeypatch.setattr(checkpoint, "Scheduler", lambda *given: opened.append(given[-1]) or batching.Scheduler(*given))
    whole = slots.generate(CHATS, 1, GREEDY)
    monkeypatch.setattr(checkpoint, "MOST_BYTES", 1)
    assert slots.generate(CHATS, 1, GREEDY) == whole
    assert opened == [3, 1]


def test_gguf_alone_reads_and_renders_as_its_folder(tiny_model_dir: Path, scratch: Path) -> None:
    file = exported(tiny_model_dir, scratch)
    alone = open_engine(file)
    folder = FolderTokenizer(tiny_model_dir)
    chat = [{"role": "system", "content": "Be brief."}, *CHATS[0]]
    for messages in (CHATS[0], chat):
        assert alone.tokenizer.encode_chat(messages) == folder.encode_chat(messages)
    ids = folder.encode("sum of 12 and the rest")
    assert alone.tokenizer.decode(ids) == folder.decode(ids) == "sum of 12 and the rest"
    assert folder.stop_ids <= alone.tokenizer.stop_ids
    alone.close()


def test_export_is_found_again_and_each_model_has_its_own(tiny_model_dir: Path, tmp_path: Path) -> None:
    from kt_resources.trainers.tiny import make_tiny_model

    other = tmp_path / "other"
    make_tiny_model(other, seed=1)
    first, second = exported(tiny_model_dir, tmp_path), exported(other, tmp_path)
    assert first != second
    written = first.stat().st_mtime_ns
    assert exported(tiny_model_dir, tmp_path) == first and first.stat().st_mtime_ns == written


def test_which_engine(tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KT_DEVICE_KIND", "cpu")
    assert answered_in(tiny_model_dir, "auto") == answered_in(tiny_model_dir, "transformers") == ("transformers", "F32")
    assert answered_in(tiny_model_dir, "llama_cpp") == ("llama_cpp", "F32")
    for name, engine in {"Falcon": "transformers", "Gemma2": "llama_cpp"}.items():
        (tmp_path / "config.json").write_text(json.dumps({"architectures": [f"{name}ForCausalLM"]}))
        assert choose_engine(tmp_path, "auto") == engine
    monkeypatch.setenv("KT_DEVICE_KIND", "cuda")
    assert answered_in(tiny_model_dir, "auto") == ("transformers", None)
    assert choose_engine(tmp_path / "model.gguf", "auto") == "llama_cpp"
    for model, engine in ((tmp_path / "model.gguf", "transformers"), (tiny_model_dir, "openai")):
        with pytest.raises(GenerationError):
            choose_engine(model, engine)  # type: ignore[arg-type]
    with pytest.raises(GenerationError, match="no such model"):
        open_engine(tmp_path / "nothing")


def test_a_file_that_is_no_gguf_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF but not really")
    with pytest.raises(GenerationError, match="cannot load it"):
        open_engine(tmp_path / "model.gguf")


def test_an_adapter_that_is_not_merged_answers_and_scores(tiny_model_dir: Path, tmp_path: Path) -> None:
    """Under prompt tuning a prompt of n tokens has n rows of scores, and greedy answers are the adapted model's own."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    from kt_resources.generators.open_engine import open_adapted
    from kt_resources.trainers.updates.prompt_tuning import PromptTuning

    torch.manual_seed(0)
    model, strategy = AutoModelForCausalLM.from_pretrained(tiny_model_dir), PromptTuning()
    adapted = get_peft_model(model, strategy.peft_config(model, 1))
    adapted.prompt_encoder.default.embedding.weight.data.normal_()
    adapted.save_pretrained(tmp_path)
    strategy.attach(adapted.eval())
    engine = open_adapted(tiny_model_dir, tmp_path, batch_size=3)
    ids = engine.tokenizer.encode_chat(CHATS[0])
    expected = adapted(input_ids=torch.tensor([ids])).logits[0].detach().numpy()
    np.testing.assert_allclose(engine.logits(ids), expected, atol=1e-5)
    ((answer,),) = engine.generate([ids], 1, Sampling(temperature=0, max_new_tokens=1))
    assert answer.finished or answer.token_ids == (expected[-1].argmax(),)


PLAIN = {"architectures": ["Qwen2ForCausalLM"], "sliding_window": 4096, "use_sliding_window": False}


@pytest.mark.parametrize(
    ("config", "megabytes", "gains", "precision"),
    [
        (PLAIN, 1, True, "F32"),
        (PLAIN, 500, True, "BF16"),
        (PLAIN, 500, False, "F32"),
        (PLAIN, 5000, True, "BF16"),
        (PLAIN, 5000, False, None),
        (PLAIN | {"use_sliding_window": True}, 1, False, None),
        (PLAIN | {"architectures": ["Gemma2ForCausalLM"]}, 1, False, None),
        (PLAIN | {"layer_types": ["full_attention", "sliding_attention"]}, 1, False, None),
        ({"architectures": ["MistralForCausalLM"], "sliding_window": 4096}, 1, False, None),
        ({"architectures": ["MistralForCausalLM"], "sliding_window": None}, 1, False, "F32"),
    ],
)
def test_what_goes_into_slots(
    config: dict, megabytes: int, gains: bool, precision: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KT_DEVICE_KIND", "cpu")
    monkeypatch.setattr("kt_resources.compute.precision.cpu_gains_from_bf16", lambda: gains)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(megabytes * 1_000_000)
    assert slot_precision(tmp_path) == precision


def test_the_engine_of_a_checkpoint_follows_the_device(tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KT_DEVICE_KIND", "cpu")
    assert isinstance(open_engine(tiny_model_dir), CheckpointEngine)
    monkeypatch.setenv("KT_DEVICE_KIND", "mps")
    assert isinstance(open_engine(tiny_model_dir), TransformersEngine)
