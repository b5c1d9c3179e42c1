"""``docs/speed.md`` from the contests' result."""

from collections.abc import Mapping
from typing import Any

from benchmarks.trainers.figures import Ratio, speed_ratio

AIMS = {"TRL": 2.0, "LLaMA-Factory": 1.6}
"""How many times as fast as each SFT should be."""

LOSS_TOLERANCE = 0.1
"""Nats by which held-out losses of one objective may differ: the contestants see the rows in orders of their own."""

NAMES = {"sft": "SFT", "dpo": "DPO", "grpo": "GRPO"}
SPEEDS = {"sft": "tokens/s", "dpo": "tokens/s", "grpo": "completion tokens/s"}
HEAD = """# Speed

Made by `make bench-trainers` on {date}: {cpu}, {cores} cores (load over the last 15 minutes: {load}), in
{minutes:.0f} minutes.

The 135M model learns the same rows in our training program, in TRL as it comes and in LLaMA-Factory. All run at once
and take turns, an optimizer step each, so that a noisy machine hits all alike; a step is everything from its first
forward pass to the update, rollouts included. Speeds are of non-padding tokens. *Times as fast* is the other's seconds
over ours, with a 95 % bootstrap interval over rounds. Memory is the most that the process held until its last step.
"""
EQUAL = """## What is equal, what is not
Equal: start model, rows and (for SFT) their very tokens, rows of a step, steps (each row once), LoRA r = {rank},
α = {alpha}, no dropout, on all linear layers, AdamW without weight decay, learning rate, cosine schedule, {warmup}
warm-up step, clipping at 1, seed, {precision}. DPO and GRPO start from what our SFT made; GRPO samples {group}
completions a prompt of at most {longest} tokens, DPO has β = {beta}.

Left as each has it: the order of rows (ours sorts rows of similar length into a step, the others shuffle), gradient
checkpointing (TRL and LLaMA-Factory switch it on, ours leaves it off where memory allows),{types} where logits are
computed, the attention kernel, GRPO's rollouts, a prompt that ours computes once for all its answers, and the C
library's caches, which ours switches off.

LLaMA-Factory's environment is its own (`benchmarks/trainers/environment.py`): its pip packages of torchvision and
torchaudio are built for CUDA and do not load beside a CPU build of torch, so the first is taken out and of the second
the compiled part.
"""
TYPES = """ the type of weights and
adapters (TRL: float32 under autocast; LLaMA-Factory: bfloat16 under autocast with adapters in float32; ours: bfloat16
throughout with float32 copies in the optimizer),"""
"""Said where the CPU computes in bfloat16; elsewhere all are float32."""


def page(result: Mapping[str, Any]) -> str:
    """Markdown: a table a contest, its losses, what was equal, the versions."""
    machine, contests = result["machine"], result["contests"]
    load = machine["load_15_min"]
    parts = [
        HEAD.format(
            date=result["date"], cpu=machine["cpu"], cores=machine["cores"], load=load, minutes=result["minutes"]
        )
    ]
    parts += [_contest(name, told) for name, told in contests.items()]
    parts.append(EQUAL.format(**_constants(next(iter(contests.values()))["job"])))
    listed = [
        f"- {who}: " + ", ".join(f"{library} {version}" for library, version in told.items())
        for who, told in result["versions"].items()
    ]
    return "\n".join([*parts, "## Versions", *listed]) + "\n"


def _contest(name: str, told: Mapping[str, Any]) -> str:
    job, ran = told["job"], told["ran"]
    ours = ran["ours"]
    rows = [f"| {NAMES[name]} | s a step | {SPEEDS[name]} | ours is times as fast | peak GB | {_loss_head(name)} |"]
    rows.append("|---|---:|---:|---:|---:|---:|")
    for who, one in ran.items():
        if one["error"]:
            rows.append(f"| {who} | did not finish | | | | |")
            continue
        seconds = sum(one["seconds"]) / len(one["seconds"])
        ratio = "" if who == "ours" or ours["error"] else _compared(name, who, ours, one)
        cells = [who, f"{seconds:.2f}", f"{_speed(name, told, one):.0f}", ratio, f"{one['peak_memory_gb']:.1f}"]
        rows.append(f"| {' | '.join([*cells, _loss(name, told, who)])} |")
    unit = "completions" if name == "grpo" else "pairs" if name == "dpo" else "rows"
    head = f"## {NAMES[name]}\n{job['steps']} steps of {job['batch']} {unit}, learning rate {job['learning_rate']:g}.\n"
    return "\n".join([head, *rows, "", *_said(name, told)])


def _compared(name: str, who: str, ours: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    if name != "grpo":
        return str(speed_ratio(ours["seconds"], other["seconds"]))
    # Completions differ in length: what counts is the time of a token.
    mine, theirs = ([seconds / one["tokens"] for seconds in one["seconds"]] for one in map(_with_tokens, (ours, other)))
    return str(speed_ratio(mine, theirs))


def _with_tokens(one: Mapping[str, Any]) -> dict[str, Any]:
    lengths = [row["completions/mean_length"] for row in one["logs"] if "completions/mean_length" in row]
    return {**one, "tokens": sum(lengths) / max(len(lengths), 1)}


def _speed(name: str, told: Mapping[str, Any], one: Mapping[str, Any]) -> float:
    if name == "grpo":
        return _with_tokens(one)["tokens"] * told["job"]["batch"] * len(one["seconds"]) / sum(one["seconds"])
    return float(told["tokens"]) / sum(one["seconds"])


def _loss_head(name: str) -> str:
    return "mean reward, tokens a completion" if name == "grpo" else "held-out loss"


def _loss(name: str, told: Mapping[str, Any], who: str) -> str:
    if name != "grpo":
        return f"{told['held_out'][who]:.3f}"
    rewards = [row["reward"] for row in told["ran"][who]["logs"] if "reward" in row]
    mean = sum(rewards) / max(len(rewards), 1)
    return f"{mean:.2f}, {_with_tokens(told['ran'][who])['tokens']:.0f}"


def _said(name: str, told: Mapping[str, Any]) -> list[str]:
    """What the figures come to: the losses against the tolerance, SFT's speed against the aim."""
    if name == "grpo":
        return ["Each samples completions of its own, so rewards are no comparison; they show that both train.", ""]
    held = told["held_out"]
    losses = [held[who] for who in held if who != "start"]
    apart = max(losses) - min(losses)
    judged = "within" if apart <= LOSS_TOLERANCE else "**not within**"
    said = [
        f"Held-out loss of the start model: {held['start']:.3f}. After training the contestants lie {apart:.3f} nats "
        f"apart, {judged} the tolerance of {LOSS_TOLERANCE:g}."
    ]
    ours = told["ran"]["ours"]
    if name == "sft" and not ours["error"]:
        for who, aim in AIMS.items():
            other = told["ran"].get(who)
            if other and not other["error"]:
                said.append(f"Aim against {who}: {aim:g} times. {_judged(aim, ours, other)}")
    return [*said, ""]


def _judged(aim: float, ours: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    ratio: Ratio = speed_ratio(ours["seconds"], other["seconds"])
    if ratio.low >= aim:
        return "Met, with the whole interval."
    return "Met by the mean." if ratio.value >= aim else "Not met."


def _constants(job: Mapping[str, Any]) -> dict[str, Any]:
    from dataclasses import fields

    from benchmarks.trainers.job import Job

    told = {field.name: field.default for field in fields(Job)}
    return {
        "rank": told["rank"],
        "alpha": told["alpha"],
        "warmup": told["warmup_steps"],
        "group": told["num_generations"],
        "longest": told["max_completion_length"],
        "beta": told["beta"],
        "types": TYPES if job["bf16"] else "",
        "precision": "bfloat16 products" if job["bf16"] else "float32 (this CPU gains nothing from bfloat16)",
    }
