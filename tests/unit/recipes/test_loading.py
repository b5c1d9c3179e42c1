"""A bad recipe is refused with file, line, what was given and what is allowed."""

from pathlib import Path

import pytest

from kt_resources.errors import RecipeError
from kt_resources.recipes.loading import find_recipes, load_recipe

GOOD = """\
line: mine
base_model: {random: llama}
verifier: {type: reasoning_gym}
data:
  sources:
    - {name: train, type: reasoning_gym, num_rows: 20, seed: 1}
    - {name: pairs, type: reasoning_gym, purpose: preference, num_rows: 20, seed: 2}
datasets:
  mix: {type: mix, weights: {train: 1.0}}
  pairs: {type: on_policy_pairs, policy: sft}
training:
  - {name: sft, data: mix, objective: {type: sft}, update: {type: lora}}
  - {name: dpo, start: sft, data: pairs, objective: {type: dpo}, update: {type: lora}}
"""


def write(folder: Path, text: str, line: str = "mine") -> Path:
    path = folder / line / "recipe.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_a_sparse_recipe_gets_every_default(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, GOOD))
    assert recipe.step("sft").update.r == 16
    assert recipe.quantize.targets[0].quant == "Q4_K_M"
    assert recipe.shipped == "dpo_model"
    assert list(recipe.quantize.assets) == ["gguf_model"]


MISTAKES = {
    "unknown key": ("line: mine\n", "line: mine\ncolour: red\n", 2, "colour: no such key"),
    "unknown nested key": ("seed: 1}", "seed: 1, rows: 3}", 6, "no such key"),
    "wrong type": ("num_rows: 20, seed: 1", "num_rows: many, seed: 1", 6, "given 'many'"),
    "out of bounds": ("num_rows: 20, seed: 1", "num_rows: 0, seed: 1", 6, "greater than or equal to 1"),
    "unknown objective": ("objective: {type: sft}", "objective: {type: sfd}", 12, "did you mean 'sft'"),
    "unknown verifier": ("type: reasoning_gym}\ndata", "type: magic}\ndata", 3, "'magic' is none of"),
    "missing key": ("base_model: {random: llama}\n", "", 1, "base_model: is required"),
    "unknown start": ("start: sft, data: pairs", "start: sftt, data: pairs", 13, "start 'sftt' is no earlier step"),
    "unknown data": ("name: sft, data: mix", "name: sft, data: mixx", 12, "data 'mixx' is no dataset"),
    "unknown source": ("weights: {train: 1.0}", "weights: {trains: 1.0}", 9, "'trains' is no source"),
    "unknown policy": ("policy: sft", "policy: grpo", 10, "policy 'grpo' is no step"),
    "wrong rows": (
        "data: pairs, objective: {type: dpo}",
        "data: mix, objective: {type: dpo}",
        13,
        "learns from preference_pairs",
    ),
    "labels where pairs are needed": (
        "type: on_policy_pairs",
        "type: on_policy_labels",
        13,
        "learns from preference_pairs, pairs holds labels; a label says of one answer",
    ),
    "kto one row at a time": (
        "objective: {type: dpo}",
        "objective: {type: kto}, optimization: {micro_batch_size: 1}",
        13,
        "micro_batch_size of 2 or more",
    ),
    "two steps of a name": ("name: dpo", "name: sft", 13, "two steps have this name"),
    "same seed": ("num_rows: 20, seed: 2", "num_rows: 20, seed: 1", 4, "seed 1"),
    "evaluation's seed": ("num_rows: 20, seed: 2", "num_rows: 20, seed: 1000", 1, "evaluation"),
    "unpinned hub model": ("{random: llama}", "{hub: a/b, revision: main}", 2, "base_model"),
    "no kind of base model": ("{random: llama}", "{path: x}", 2, "name one of: package"),
    "merge of an unknown step": (
        "training:",
        "merge: {method: ties, inputs: [sft, x]}\ntraining:",
        11,
        "'x' is no step",
    ),
    "merge over no ancestor": (
        "training:",
        "merge: {method: ties, inputs: [sft, dpo], base: dpo}\ntraining:",
        11,
        "'dpo' is no ancestor of 'sft'; it comes from base_model",
    ),
    "slerp of three": ("training:", "merge: {method: slerp, inputs: [sft, dpo, sft]}\ntraining:", 11, "exactly 2"),
    "unknown quant": ("training:", "quantize: {targets: [{quant: Q9_Z}]}\ntraining:", 11, "Q9_Z"),
    "gate on no model": (
        "training:",
        "evaluate: {gates: [{name: g, model: rl, min: 0}]}\ntraining:",
        11,
        "no model of the line",
    ),
    "cron of four fields": ("training:", 'retrain: {cron: "0 3 * *"}\ntraining:', 11, "five fields"),
    "cron of no such time": ("training:", 'retrain: {cron: "99 99 * * 1"}\ntraining:', 11, "'99 99 * * 1' is no time"),
    "no such timezone": (
        "training:",
        'retrain: {cron: "0 3 * * 1", timezone: Mars/City}\ntraining:',
        11,
        "'Mars/City' is no timezone",
    ),
    "a step called as the GGUF": ("name: dpo", "name: gguf", 13, "the asset gguf_model is another"),
    "a step called as the merge": ("name: dpo", "name: merged", 13, "the asset merged_model is another"),
    "a step called as the base": ("name: dpo", "name: base", 13, "the asset base_model is another"),
    "a dataset called as an asset": (
        "  pairs: {type",
        "  raw_examples: {type",
        10,
        "the asset raw_examples is another",
    ),
    "a dataset called as a step's model": (
        "  pairs: {type",
        "  dpo_model: {type",
        13,
        "the asset dpo_model is another",
    ),
    "a teacher called as the GGUF": ("training:", "teachers: {gguf: {random: llama}}\ntraining:", 11, "is another"),
    "two GGUFs of one name": (
        "training:",
        "quantize: {targets: [{quant: Q8_0}, {quant: Q4_0}, {quant: Q4_0, imatrix: true}]}\ntraining:",
        11,
        "two targets beside the first have one quant type",
    ),
    "gate on a merge that is none": (
        "training:",
        "evaluate: {gates: [{name: g, model: merged_model, min: 0}]}\ntraining:",
        11,
        "no model of the line",
    ),
    "a name where names are wanted": (
        "update: {type: lora}}\n  - {name: dpo",
        "update: {type: lora, target_modules: q_proj}}\n  - {name: dpo",
        12,
        "training.0.update.target_modules: a list is wanted, as in [one, two]",
    ),
    "nothing where options are wanted": (
        "training:",
        "evaluate: {forgetting: null}\ntraining:",
        11,
        "evaluate.forgetting: a mapping is wanted",
    ),
    "unknown teacher": (
        "objective: {type: sft}",
        "objective: {type: distillation, teacher: big}",
        12,
        "teacher 'big' is no earlier step or teacher; there are base_model",
    ),
    "a teacher with a step's name": ("training:", "teachers: {sft: {random: llama}}\ntraining:", 11, "'sft' is taken"),
    "synthetic rows of no teacher": (
        "datasets:",
        "  synthetic: {teacher: big, prompts: {type: curated, num_prompts: 4}}\ndatasets:",
        8,
        "'big' is no teacher; there are base_model",
    ),
    "a line with a dash": ("line: mine", "line: my-line", 1, "given 'my-line'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_names_its_line_and_what_is_allowed(mistake: str, tmp_path: Path) -> None:
    old, new, line, told = MISTAKES[mistake]
    assert GOOD.count(old) >= 1
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(RecipeError) as error:
        load_recipe(path)
    assert told in str(error.value)
    assert f"{path}:{line}:" in str(error.value)


WITH_SCORER = GOOD.replace(
    "  - {name: dpo,",
    "  - {name: judge, start: sft, data: pairs, objective: {type: reward_model}, update: {type: lora}}\n"
    "  - {name: dpo,",
)
UNFIT = {
    "a start": ("start: sft, data: pairs, objective: {type: dpo}", "start: judge, data: pairs, objective: {type: dpo}"),
    "a policy": ("policy: sft", "policy: judge"),
    "an input of a merge": ("training:", "merge: {method: ties, inputs: [sft, judge]}\ntraining:"),
    "an export": ("training:", "quantize: {input: judge}\ntraining:"),
    "a teacher": ("{type: dpo}", "{type: distillation, teacher: judge}"),
}


@pytest.mark.parametrize("use", UNFIT)
def test_a_reward_model_is_refused_as(use: str, tmp_path: Path) -> None:
    old, new = UNFIT[use]
    assert old in WITH_SCORER
    with pytest.raises(RecipeError, match="'judge' makes a reward model, which scores answers and gives none"):
        load_recipe(write(tmp_path, WITH_SCORER.replace(old, new, 1)))


def test_a_mix_of_longer_rows_than_its_step_takes_is_refused_at_the_steps_limit(tmp_path: Path) -> None:
    """A mix drops rows of more than 512 tokens unless told otherwise; a step never cuts one."""
    short = GOOD.replace("update: {type: lora}}", "update: {type: lora}, optimization: {max_seq_len: 256}}", 1)
    with pytest.raises(RecipeError, match="rows of mix may have 512 tokens, this step takes 256") as refused:
        load_recipe(write(tmp_path, short))
    assert "recipe.yaml:12: training.0.optimization.max_seq_len" in str(refused.value)
    both = short.replace("weights: {train: 1.0}", "weights: {train: 1.0}, max_seq_len: 256")
    assert load_recipe(write(tmp_path, both, "both")).step("sft").optimization.max_seq_len == 256
    curated = short.replace("data:\n", "data:\n  curation: {max_tokens: 256}\n")
    assert load_recipe(write(tmp_path, curated, "curated")).step("sft").optimization.max_seq_len == 256
    replayed = curated.replace("weights: {train: 1.0}", "weights: {train: 1.0, replay: 0.1}")
    with pytest.raises(RecipeError, match="rows of mix may have 512 tokens, this step takes 256"):
        load_recipe(write(tmp_path, replayed.replace("  curation", "  replay: {}\n  curation"), "replayed"))


def test_a_reward_model_is_neither_shipped_nor_gated(tmp_path: Path) -> None:
    last = GOOD.replace("name: dpo", "name: judge").replace("{type: dpo}", "{type: reward_model}")
    assert load_recipe(write(tmp_path, last)).shipped == "sft_model"
    gate = "evaluate: {gates: [{name: g, model: judge, min: 0}]}\ntraining:"
    with pytest.raises(RecipeError, match="'judge' is no model of the line"):
        load_recipe(write(tmp_path, last.replace("training:", gate), "other"))


def test_a_place_is_named_as_it_stands_in_the_file(tmp_path: Path) -> None:
    wrong = GOOD.replace("policy: sft", "policy: sft, num_samples: 1")
    with pytest.raises(RecipeError, match=r":10: datasets\.pairs: one completion a prompt"):
        load_recipe(write(tmp_path, wrong))
    without = GOOD.replace("objective: {type: sft}, ", "")
    with pytest.raises(RecipeError, match=r":12: training\.0\.objective: is required"):
        load_recipe(write(tmp_path, without, "other"))
    negative = GOOD.replace("objective: {type: dpo}", "objective: {type: dpo, beta: -1}")
    with pytest.raises(RecipeError, match=r":13: training\.1\.objective\.beta: "):
        load_recipe(write(tmp_path, negative, "third"))
    moving = GOOD.replace("{random: llama}", "{hub: Owner/Model, revision: main}")
    with pytest.raises(RecipeError, match=r":2: base_model\.revision: "):
        load_recipe(write(tmp_path, moving, "fourth"))


def test_a_list_whose_only_item_is_refused_is_not_told_to_be_empty(tmp_path: Path) -> None:
    text = "\n".join(GOOD.split("\n")[:-2]) + "\n"  # without the second step
    text = text.replace("objective: {type: sft}", "objective: {type: sfd}").replace("policy: sft", "policy: base_model")
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, text))
    assert "'sfd' is none of" in str(caught.value) and "at least" not in str(caught.value)


TOO_SHORT = {
    "no step at all": (GOOD.partition("training:")[0] + "training: []\n", "at least 1 item"),
    "one input, refused besides": (GOOD + "merge: {method: ties, inputs: [7]}\n", "at least 2 items"),
}


@pytest.mark.parametrize("case", TOO_SHORT)
def test_a_list_that_is_too_short_is_told(case: str, tmp_path: Path) -> None:
    text, told = TOO_SHORT[case]
    with pytest.raises(RecipeError, match=told):
        load_recipe(write(tmp_path, text))


def test_how_many_problems_are_left_is_told(tmp_path: Path) -> None:
    wrong = GOOD.replace("line: mine\n", "line: mine\n" + "".join(f"odd{number}: 1\n" for number in range(8)))
    with pytest.raises(RecipeError, match=r"odd5: no such key.*\n  and 2 more\n") as caught:
        load_recipe(write(tmp_path, wrong))
    assert "odd6" not in str(caught.value)


METRICS = {
    "accuracy/sums": "'sums' is no family of eval_tasks; there are chain_sum",
    "stops/chain_sum": "no such metric",
    "general_ability": "few_shot_base has no general_ability; compare with base_model",
    "answer_perplexity": "answer_perplexity is not measured: evaluate.answer_perplexity switches it off",
    "lenient_accuracy/chain_sum": None,
}


@pytest.mark.parametrize("metric", METRICS)
def test_a_gate_asks_for_what_is_measured(metric: str, tmp_path: Path) -> None:
    gates = f"gates: [{{name: g, metric: {metric}, baseline: few_shot_base, min_gain: 0}}]"
    tasks = "eval_tasks: {families: {chain_sum: {}}}\n"
    text = GOOD.replace("training:", f"{tasks}evaluate: {{answer_perplexity: false, {gates}}}\ntraining:")
    if (refused := METRICS[metric]) is None:
        assert load_recipe(write(tmp_path, text)).evaluate.gates[0].metric == metric
    else:
        with pytest.raises(RecipeError, match=refused):
            load_recipe(write(tmp_path, text))


def test_a_family_that_is_not_evaluated_is_refused_with_its_place(tmp_path: Path) -> None:
    tasks = "eval_tasks: {families: {chain_sum: {}, gcd: {}}}\n"
    wrong = GOOD.replace("training:", f"{tasks}evaluate: {{tasks: [gdc]}}\ntraining:")
    with pytest.raises(RecipeError, match=r"evaluate\.tasks\.0: 'gdc' is no family .* chain_sum, gcd"):
        load_recipe(write(tmp_path, wrong))
    gate = "gates: [{name: g, metric: accuracy/gcd, min: 0}]"
    unasked = GOOD.replace("training:", f"{tasks}evaluate: {{tasks: [chain_sum], {gate}}}\ntraining:")
    with pytest.raises(RecipeError, match=r"'gcd' is not evaluated; evaluate\.tasks names chain_sum"):
        load_recipe(write(tmp_path, unasked, "other"))


def test_a_line_of_reward_models_alone_is_refused(tmp_path: Path) -> None:
    text = GOOD.replace("policy: sft", "policy: base_model").replace(
        "data: mix, objective: {type: sft}", "data: pairs, objective: {type: reward_model}"
    )
    text = text.replace("{type: dpo}", "{type: reward_model}").replace("start: sft, ", "")
    with pytest.raises(RecipeError, match="nothing is left to ship"):
        load_recipe(write(tmp_path, text))


@pytest.mark.parametrize("dataset", ["on_policy_pairs", "on_policy_labels"])
def test_kto_learns_from_labels_and_from_pairs(dataset: str, tmp_path: Path) -> None:
    text = GOOD.replace("type: on_policy_pairs", f"type: {dataset}").replace("{type: dpo}", "{type: kto}")
    assert load_recipe(write(tmp_path, text)).step("dpo").objective.type == "kto"


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "is empty"), (b"a: [1", "is not YAML"), (b"\xff\xfe\x00", "UTF-8"), (b"- 1\n- 2\n", "is no mapping")],
)
def test_a_file_that_is_no_recipe_says_so(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=told):
        load_recipe(path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such recipe"):
        load_recipe(tmp_path / "recipe.yaml")


def test_a_broken_recipe_leaves_the_others(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "good")
    write(tmp_path, "line: 3", "bad")
    files = {file.line: file for file in find_recipes([tmp_path])}
    assert files["mine"].recipe is not None
    assert files["bad"].recipe is None and files["bad"].error is not None


def test_two_recipes_of_one_line_are_refused(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "a"), write(tmp_path, GOOD, "b")
    first, second = find_recipes([tmp_path])
    assert first.recipe is not None and first.path.parent.name == "a"
    assert second.recipe is None and "also made by" in str(second.error)
