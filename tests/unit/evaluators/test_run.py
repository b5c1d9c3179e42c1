import datetime
import json
import shutil
from pathlib import Path

import pytest

from kt_assets.evaluate.general_ability import probe_items, write_probe
from kt_assets.evaluate.tasks import write_tasks
from kt_resources.compute.needs import Needs
from kt_resources.compute.program import Progress
from kt_resources.errors import EvaluateError
from kt_resources.evaluators import run
from kt_resources.evaluators.adapter import EngineLM, cut
from kt_resources.evaluators.answers import AnswerCache
from kt_resources.evaluators.config import Evaluation, Gate
from kt_resources.evaluators.fake import FakeEvaluator
from kt_resources.evaluators.known import KEPT, Known, asked_by
from kt_resources.evaluators.protocol import Evaluator
from kt_resources.evaluators.results import facts, read_results
from kt_resources.evaluators.spec import EvaluatedModel, EvaluateSpec, Example
from kt_resources.generators.engine import Completion
from kt_resources.store.schemas import example_row
from kt_resources.verifiers import Exact

TEXT = "Once upon a time there was a little village beside the river. " * 12


def held_out(num: int = 3) -> list[dict]:
    return [
        example_row(
            [{"role": "user", "content": f"{family} question {index}?"}],
            None,
            source="held_out",
            family=family,
            answer=str(index),
        )
        for family in ("chain_sum", "gcd")
        for index in range(num)
    ]


EXAMPLES = tuple(
    Example(id=f"row {index}", question=f"gcd example {index}?", completion=f"#### {index}") for index in range(2)
)


def spec_for(folder: Path, model: Path, **config) -> EvaluateSpec:
    write_tasks(held_out(), Exact(type="exact"), folder / "tasks", 64)
    write_probe(folder / "general_ability")
    (folder / "general.txt").write_text(f"{TEXT}\n\n{TEXT}\n")
    models = tuple(
        EvaluatedModel(asset=f"{step}_model", step=step, data_version=step, path=model, tokenizer_dir=model)
        for step in ("base", "sft")
    )
    return EvaluateSpec(
        out_dir=folder / "out",
        scratch_dir=folder / "scratch",
        models=models,
        tasks_dir=folder / "tasks",
        general_text=folder / "general.txt",
        ability_dir=folder / "general_ability",
        examples={"gcd": EXAMPLES},
        config=Evaluation(**{"max_new_tokens": 6, "batch_size": 2, **config}),
    )


def evaluated(spec: EvaluateSpec) -> dict:
    run.work(spec, Progress(spec.out_dir))
    return read_results(spec.out_dir)


@pytest.fixture(scope="module")
def done(tmp_path_factory, tiny_model_dir) -> EvaluateSpec:
    spec = spec_for(tmp_path_factory.mktemp("evaluated"), tiny_model_dir, answer_perplexity=True)
    evaluated(spec)
    return spec


def test_one_model_twice_gives_the_same_figures(done):
    base, sft = read_results(done.out_dir)["models"]
    assert (base["asset"], sft["asset"]) == ("base_model", "sft_model")
    assert base["metrics"] == sft["metrics"]
    assert base["metrics"]["accuracy"]["n"] == 6
    assert base["metrics"]["accuracy/gcd"]["n"] == 3


def test_a_random_model_is_near_the_perplexity_of_guessing(done):
    # About 1,000 tokens, all nearly equally likely.
    value = read_results(done.out_dir)["models"][0]["metrics"]["token_perplexity"]["value"]
    assert 600 < value < 1500


def test_how_likely_the_held_out_answers_are_is_what_the_model_itself_says(done, tiny_model_dir):
    import math

    import pyarrow.parquet as pq
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32).eval()
    rows = pq.read_table(done.out_dir / "samples.parquet", filters=[("model", "=", "sft_model")]).to_pylist()
    nll, count = 0.0, 0
    for row in rows:
        head, tail = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (row["prompt"], row["answer"]))
        with torch.no_grad():
            log_probs = model(input_ids=torch.tensor([head + tail])).logits[0].log_softmax(-1)
        nll -= sum(log_probs[len(head) + place - 1, token].item() for place, token in enumerate(tail))
        count += len(tail)
    found = read_results(done.out_dir)["models"][1]["metrics"]["answer_perplexity"]
    # llama.cpp keeps attention in half precision
    assert (found["value"], found["n"]) == (pytest.approx(math.exp(nll / count), rel=0.02), count)
    facts = json.loads((done.out_dir / "facts.json").read_text())
    assert facts["answer_perplexity_ratio_to_base"] == pytest.approx(1.0)


def test_answers_are_not_scored_where_nobody_asked(tiny_model_dir, tmp_path):
    found = evaluated(spec_for(tmp_path, tiny_model_dir, num_items=1, general_ability=False))
    assert "answer_perplexity" not in found["models"][0]["metrics"]


def test_facts_say_that_all_were_asked_the_same(done):
    row = json.loads((done.out_dir / "facts.json").read_text())
    assert row["num_models"] == 2
    assert row["num_items"] == 6
    assert row["all_models_evaluated"] is row["same_items_for_all"] is row["same_prompts_for_all"] is True
    assert row["shipped_gain"] == 0.0
    assert row["perplexity_ratio_to_base"] == pytest.approx(1.0)
    assert row["general_ability_change"] == 0.0


def test_a_random_model_guesses_in_the_probe_of_general_ability(done):
    # A quarter of 100 by chance, with a standard error of 0.043.
    ability = read_results(done.out_dir)["models"][0]["metrics"]["general_ability"]
    assert ability["n"] == len(probe_items())
    assert 0.1 < ability["value"] < 0.4


def test_the_prompt_is_the_models_own_template(done):
    import pyarrow.parquet as pq

    rows = pq.read_table(done.out_dir / "samples.parquet").to_pylist()
    assert len(rows) == 18  # six items, asked of two models, and of the base again after examples
    assert rows[0]["prompt"].startswith("<|im_start|>system\n")
    assert rows[0]["prompt"].endswith("chain_sum question 0?<|im_end|>\n<|im_start|>assistant\n")


def test_the_base_is_asked_again_after_examples_and_nobody_else(done):
    import pyarrow.parquet as pq

    rows = pq.read_table(done.out_dir / "samples.parquet").to_pylist()
    again = [row for row in rows if row["model"] == "few_shot_base"]
    assert {(row["task"], row["id"]) for row in again} == {(row["task"], row["id"]) for row in rows}
    turns = again[-1]["prompt"].split("<|im_start|>")
    assert turns[-6:-1] == [
        "user\ngcd example 0?<|im_end|>\n",
        "assistant\n#### 0<|im_end|>\n",
        "user\ngcd example 1?<|im_end|>\n",
        "assistant\n#### 1<|im_end|>\n",
        "user\ngcd question 2?<|im_end|>\n",
    ]
    # No example for chain_sum was given: its items are asked as they are.
    assert "example" not in next(row["prompt"] for row in again if row["task"] == "chain_sum")
    found = read_results(done.out_dir)
    assert found["baselines"]["few_shot_base"]["n"] == 6
    assert {"majority_answer/gcd", "lenient_base/gcd", "few_shot_base/gcd"} <= found["baselines"].keys()
    told = {(row["baseline"], row["metric"]) for row in found["comparisons"]}
    assert {("few_shot_base", "accuracy/gcd"), ("majority_answer", "accuracy"), ("base_model", "stops")} <= told


def test_other_examples_are_asked_anew_of_the_base_alone(done):
    names = run.task_names(done)
    other = done.model_copy(update={"examples": {"gcd": EXAMPLES[:1]}})
    base, sft = done.models
    assert run.evaluation_key(done, base, names) != run.evaluation_key(other, base, names)
    assert run.evaluation_key(done, sft, names) == run.evaluation_key(other, sft, names)


def test_a_text_too_short_for_an_interval_is_refused(tiny_model_dir, tmp_path):
    spec = spec_for(tmp_path, tiny_model_dir)
    spec.general_text.write_text("Only a few words. ")
    with pytest.raises(EvaluateError, match="two passages"):
        evaluated(spec)


def test_nothing_with_a_time_in_it_is_part_of_the_content(done, tiny_model_dir, tmp_path):
    again = spec_for(tmp_path, tiny_model_dir, answer_perplexity=True)
    evaluated(again)
    for name in ("results.json", "facts.json", "samples.parquet"):
        assert (again.out_dir / name).read_bytes() == (done.out_dir / name).read_bytes()


def test_transformers_and_llama_cpp_agree_on_general_text(done, tiny_model_dir, tmp_path):
    other = evaluated(spec_for(tmp_path, tiny_model_dir, engine="transformers"))
    pairs = zip(read_results(done.out_dir)["models"], other["models"], strict=True)
    for one, two in pairs:
        key = "token_perplexity"
        assert one["metrics"][key]["value"] == pytest.approx(two["metrics"][key]["value"], rel=1e-3)


def test_a_model_that_is_done_is_not_asked_again(done, monkeypatch):
    monkeypatch.setattr(run, "evaluate_model", lambda *_: pytest.fail("asked again"))
    before = read_results(done.out_dir)
    assert evaluated(done) == before


def test_another_data_version_or_question_is_asked_anew(done, tmp_path, tiny_model_dir):
    names = run.task_names(done)
    first = done.models[0]
    key = run.evaluation_key(done, first, names)
    assert key == run.evaluation_key(done, first, names)
    assert key != run.evaluation_key(done, first.model_copy(update={"data_version": "other"}), names)
    assert key != run.evaluation_key(done, first, names[:1])
    longer = done.model_copy(update={"config": done.config.model_copy(update={"max_new_tokens": 7})})
    assert key != run.evaluation_key(longer, first, names)
    gated = done.model_copy(update={"config": done.config.model_copy(update={"gates": (Gate(name="g", min=0.1),)})})
    assert key == run.evaluation_key(gated, first, names)


def test_the_next_report_asks_only_what_is_new(done, tmp_path, monkeypatch):
    """A new SFT model, and other examples for the base model: its plain answers are known."""
    base, sft = done.models
    later = done.model_copy(
        update={
            "out_dir": tmp_path / "out",
            "scratch_dir": tmp_path / "scratch",
            "known_dir": done.out_dir / KEPT,
            "models": (base, sft.model_copy(update={"data_version": "newer"})),
            "examples": {"gcd": EXAMPLES[:1]},
        }
    )
    asked, generate = [], EngineLM._answer

    def noted(self, group, *rest):
        asked.extend(one.prompt for one in group)
        return generate(self, group, *rest)

    monkeypatch.setattr(EngineLM, "_answer", noted)
    found = evaluated(later)
    of_sft = [prompt for prompt in asked if "example" not in prompt]
    assert len(of_sft) == 6 and len(asked) == 6 + 3
    assert found["models"][1]["metrics"] == read_results(done.out_dir)["models"][1]["metrics"]
    of_base, of_sft = json.loads((tmp_path / "out/run/timings.json").read_text())
    assert 0 < of_base["spared_s"] < of_base["answer_s"] and of_sft["spared_s"] == 0
    latest = later.model_copy(
        update={"out_dir": tmp_path / "third", "scratch_dir": tmp_path / "other", "known_dir": tmp_path / "out" / KEPT}
    )
    monkeypatch.setattr(run, "evaluate_model", lambda *_: pytest.fail("asked again"))
    evaluated(latest)
    for name in ("results.json", "facts.json", "samples.parquet"):
        assert (tmp_path / "third" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    for one, before in zip(
        json.loads((tmp_path / "third/run/timings.json").read_text()), (of_base, of_sft), strict=True
    ):
        whole = before["load_s"] + before["answer_s"] + before["general_s"]
        assert one == before | {"spared_s": pytest.approx(whole, abs=0.01)}
    answers = (tmp_path / "third" / KEPT).glob("*/answers.jsonl")
    assert sorted(len(file.read_text().splitlines()) for file in answers) == [6, 9]


DIFFERENCES = {
    "another version of a library": ("kt_resources.evaluators.known.versions_of", lambda _: {"transformers": "older"}),
    "another precision": ("kt_resources.generators.open_engine.slot_precision", lambda _: "BF16"),
    "another device": ("kt_resources.compute.precision.program_device", lambda: "cuda"),
    "another engine": ("kt_resources.generators.open_engine.choose_engine", lambda *_: "llama_cpp"),
}


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_what_was_asked_otherwise_is_not_known(done, tmp_path, monkeypatch, difference):
    names, model, engine = run.task_names(done), done.models[0], done.config.engine
    key = run.evaluation_key(done, model, names)
    before = Known(tmp_path, done.out_dir / KEPT, tmp_path / "out")
    assert before.folder(model, engine).is_dir()
    monkeypatch.setattr(*DIFFERENCES[difference])
    assert not before.folder(model, engine).exists()
    assert run.evaluation_key(done, model, names) != key


def test_another_template_is_asked_anew_and_one_with_a_date_every_day(done, tmp_path, tiny_model_dir, monkeypatch):
    shutil.copytree(tiny_model_dir, tmp_path / "other")
    model = done.models[0].model_copy(update={"tokenizer_dir": tmp_path / "other"})
    same = asked_by(done.models[0], "auto")
    assert asked_by(model, "auto") == same and same["day"] is None
    template = tmp_path / "other" / "chat_template.jinja"
    template.write_text("{{ strftime_now('%d %b %Y') }}" + template.read_text())
    today = asked_by(model, "auto")
    assert today["written with"] != same["written with"]
    assert today["day"] == datetime.date.today().isoformat()


def test_a_copy_of_the_last_report_that_was_cut_off_is_made_anew(done, tmp_path, monkeypatch):
    known = Known(tmp_path, done.out_dir / KEPT, tmp_path / "out")

    def half(source, target):
        target.mkdir(parents=True)
        (target / "cut.json").write_text('{"items": [')
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copytree", half)
        with pytest.raises(KeyboardInterrupt):
            known.folder(done.models[0], "auto")
    names = {file.name for file in known.folder(done.models[0], "auto").iterdir()}
    assert "answers.jsonl" in names and "cut.json" not in names


def test_whoever_asks_all_anew_does_not_find_what_an_ordinary_attempt_took_over(done, tmp_path):
    assert Known(tmp_path, done.out_dir / KEPT, tmp_path / "out").folder(done.models[0], "auto").is_dir()
    assert not Known(tmp_path, None, tmp_path / "out").folder(done.models[0], "auto").exists()


def test_a_task_that_is_not_there_is_named(done):
    spec = done.model_copy(update={"config": done.config.model_copy(update={"tasks": ("gcd", "poetry")})})
    with pytest.raises(EvaluateError, match=r"no held-out task poetry(.|\n)*chain_sum, gcd"):
        run.task_names(spec)


def test_a_limit_takes_the_first_items(tiny_model_dir, tmp_path):
    spec = spec_for(tmp_path, tiny_model_dir, num_items=2, tasks=("gcd",), perplexity={"enabled": False})
    metrics = evaluated(spec)["models"][0]["metrics"]
    assert metrics["accuracy"]["n"] == 2
    assert set(metrics) == {
        "accuracy",
        "accuracy/gcd",
        "lenient_accuracy",
        "lenient_accuracy/gcd",
        "stops",
        "general_ability",
    }


class Counting:
    """An engine that says how many prompts it was asked, and dies after ``lasts`` calls."""

    def __init__(self, lasts: int = 99) -> None:
        self.lasts, self.asked = lasts, 0

    def generate(self, prompts, n, sampling, first_index=0, on_progress=None):
        if self.lasts == 0:
            raise KeyboardInterrupt
        self.lasts -= 1
        self.asked += len(prompts)
        return [[Completion("#### 1 and on", (1, 2), False, 2)] for _ in prompts]


class Request:
    task_name = "gcd"

    def __init__(self, text: str, until=()) -> None:
        self.args = (text, {"until": until, "max_gen_toks": 4})


class Letters:
    bos_token_id, eos_token_id = None, 0

    def __call__(self, text, add_special_tokens):
        return {"input_ids": [ord(letter) for letter in text]}


def test_a_killed_evaluation_asks_only_what_was_not_answered(tmp_path, monkeypatch):
    monkeypatch.setattr(EngineLM, "batches_kept", 2)
    requests = [Request(f"question {index}") for index in range(10)]
    # Kept after every two batches of two: the engine dies when it is asked for items 5 to 8.
    dying = Counting(lasts=1)
    with pytest.raises(KeyboardInterrupt):
        EngineLM(dying, Letters(), AnswerCache(tmp_path / "a.jsonl"), batch_size=2).generate_until(requests)
    resumed = Counting()
    lm = EngineLM(resumed, Letters(), AnswerCache(tmp_path / "a.jsonl"), batch_size=2)
    told = []
    lm.on_progress = lambda done, total: told.append((done, total))
    assert lm.generate_until(requests) == ["#### 1 and on"] * 10
    assert (dying.asked, resumed.asked) == (4, 6)
    assert told == [(8, 10), (10, 10)]


def test_the_same_prompt_is_asked_once(tmp_path):
    engine = Counting()
    EngineLM(engine, Letters(), AnswerCache(tmp_path / "a.jsonl"), 2).generate_until([Request("same"), Request("same")])
    assert engine.asked == 1


@pytest.mark.parametrize(
    ("until", "text", "stopped"),
    [((), "one\n\ntwo END three", False), (("END", "\n\n"), "one", True), (("absent",), "one\n\ntwo END three", False)],
)
def test_an_answer_is_cut_at_the_first_of_until(until, text, stopped):
    answer = cut(Completion("one\n\ntwo END three", (1,), False, 9), until)
    assert (answer.text, answer.stopped, answer.num_tokens) == (text, stopped, 9)


def test_loglikelihood_is_the_sum_over_the_continuation(tiny_model_dir, tmp_path):
    from kt_resources.generators.open_engine import open_engine
    from kt_resources.generators.tokenizers import FolderTokenizer

    engine = open_engine(tiny_model_dir, "transformers")
    try:
        lm = EngineLM(engine, FolderTokenizer(tiny_model_dir).hf, AnswerCache(tmp_path / "a.jsonl"), 2)
        head, tail = "The capital of France", " is Paris."
        request = type("R", (), {"args": (head, tail)})()
        ((total, _),) = lm.loglikelihood([request])
        num = len(lm.encode(head + tail)) - len(lm.encode(head))
        assert total == pytest.approx(float(engine.token_logprobs(lm.encode(head + tail))[-num:].sum()), abs=1e-3)
        (rolling,) = lm.loglikelihood_rolling([type("R", (), {"args": (head,)})()])
        ((from_empty, _),) = lm.loglikelihood([type("R", (), {"args": ("", head)})()])
        assert rolling == pytest.approx(from_empty, abs=1e-3)
    finally:
        engine.close()


class Bigrams:
    """Says ``b`` after ``a`` and, a little less likely, ``c``; counts how often it is asked for logits."""

    asked: tuple[int, ...] = ()

    def logits_each(self, asked):
        import numpy as np

        for ids, start in asked:
            self.asked += (start,)
            logits = np.zeros((len(ids) - start, 256), dtype=np.float32)
            logits[:, ord("b")], logits[:, ord("c")] = 2.0, 1.0
            yield logits


def test_choices_of_one_token_are_read_from_the_same_logits(tmp_path):
    engine = Bigrams()
    lm = EngineLM(engine, Letters(), AnswerCache(tmp_path / "a.jsonl"), 2)
    choices = [type("R", (), {"args": ("aaa", choice)})() for choice in ("b", "c", "d", "bb")]
    (b, greedy), (c, _), (d, _), (bb, _) = lm.loglikelihood(choices)
    assert (b - c, c - d, greedy) == (pytest.approx(1.0), pytest.approx(1.0), True)
    assert bb == pytest.approx(2 * b)
    assert engine.asked == (2, 2)  # after "aaa" once for three choices, and after "aaab", from the third token on


def test_the_fake_writes_what_the_real_one_writes(tmp_path, done):
    spec = spec_for(tmp_path, tmp_path / "no_model", answer_perplexity=True)
    fake = FakeEvaluator({"base_model": 0.0, "sft_model": 1.0})
    assert isinstance(fake, Evaluator)
    row = fake.evaluate(spec, Needs())
    assert row["shipped_gain"] == 1.0
    real, made = read_results(done.out_dir), read_results(spec.out_dir)
    assert real.keys() == made.keys()
    assert real["models"][0]["metrics"].keys() == made["models"][0]["metrics"].keys()
    assert json.loads((done.out_dir / "facts.json").read_text()).keys() == row.keys()
    assert (spec.out_dir / "samples.parquet").exists()


def test_facts_notice_a_model_that_was_asked_otherwise(tmp_path):
    from kt_resources.evaluators.metrics import Gains
    from kt_resources.evaluators.results import results_of

    spec = spec_for(tmp_path, tmp_path / "no_model")
    fake = FakeEvaluator()
    measured = [{"items": fake._items(spec, model), "general": None} for model in spec.models]
    results = results_of(spec.models, measured, spec.config)
    gains = Gains(
        results["models"], {m.asset: s for m, s in zip(spec.models, measured, strict=True)}, spec.config.bootstrap
    )
    measured[1]["items"][0]["prompt"] = "Another system prompt. " + measured[1]["items"][0]["prompt"]
    assert facts(results, measured, gains)["same_prompts_for_all"] is False
    assert facts(results, measured, gains)["same_items_for_all"] is True
    measured[1]["items"][0]["id"] = "other"
    assert facts(results, measured, gains)["same_items_for_all"] is False
    measured[1]["items"][0]["score"] = 1.5
    assert facts(results, measured, gains)["all_scores_in_range"] is False


def test_the_config_imports_neither_torch_nor_dagster():
    import subprocess
    import sys

    code = "import sys, kt_resources.evaluators.config, kt_resources.evaluators.spec, kt_resources.evaluators.fake;"
    code += "print([name for name in ('torch', 'dagster', 'transformers', 'lm_eval') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
