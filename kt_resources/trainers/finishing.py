"""What a training does once the model itself is let go: save it, read it back, and say what it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kt_resources.compute.program import write_json
from kt_resources.trainers.clock import Clock
from kt_resources.trainers.facts import Facts
from kt_resources.trainers.precision import load_dtype
from kt_resources.trainers.spec import TrainSpec

if TYPE_CHECKING:
    import torch

NUM_PROBES = 4
"""Prompts taken from the rows where the spec names no sample prompts."""


@dataclass(frozen=True)
class Trained:
    """What is told of a finished training once the model itself is let go.

    Attributes:
        kept, start: ``{step, metrics}`` of the kept weights, and the start model's held-out figures.
        logits: what the model in memory answered to the probes, where the saved one should answer just so.
        rows: ids of the rows that the kept weights learned from.
    """

    tokenizer: Any
    folder: Path
    kept: dict[str, Any]
    start: dict[str, float]
    logits: "list[torch.Tensor] | None"
    rows: list[str]
    curve: list[dict[str, Any]]
    steps: int
    evaluate_s: float
    device: str
    num_processes: int


def sample_answers(spec: TrainSpec, model: Any, tokenizer: Any) -> list[str]:
    """Answers to the sample prompts; empty where the model scores and cannot answer."""
    from kt_resources.trainers.answers import greedy_answers

    if spec.objective.makes != "language_model":
        return [""] * len(spec.sample_prompts)
    prompts = [[message.model_dump() for message in sample.prompt] for sample in spec.sample_prompts]
    return [answer.text for answer in greedy_answers(model, tokenizer, prompts, spec.sample_tokens)]


def finish(spec: TrainSpec, trained: Trained, clock: Clock, before: Sequence[str]) -> dict[str, Any]:
    """Save, read back, measure; what the program leaves as its result."""
    from kt_resources.trainers.saving import save_trained_rows

    with clock.phase("save"):
        _save(spec, trained.folder)
        save_trained_rows(trained.rows, spec.out_dir / "trained_rows.parquet")
    with clock.phase("measure"):
        facts = _facts(spec, trained)
        write_json(spec.out_dir / "facts.json", facts)
        _write_samples(spec, before, trained.tokenizer)
    return _result(spec, trained, clock, facts)


def _save(spec: TrainSpec, kept: Path) -> None:
    from kt_resources.trainers.saving import merged_weights, moved_weights, save_adapter, save_model

    if spec.update.has_adapter:
        adapter, config = spec.update.saved_adapter(kept)
        save_adapter(adapter, config, spec.out_dir / "adapter")
        if not spec.update.mergeable:
            return
        weights = merged_weights(spec.model_dir, spec.out_dir / "adapter")
    else:
        weights = moved_weights(spec.model_dir, kept, load_dtype(spec))
    save_model(weights, spec.model_dir, spec.out_dir / "model")


def _facts(spec: TrainSpec, trained: Trained) -> dict[str, Any]:
    from kt_resources.trainers.curve import total_redrawn
    from kt_resources.trainers.measure import Probes, measure
    from kt_resources.trainers.preference import preference_facts

    figures = trained.kept["metrics"]
    probes = Probes(probe_prompts(spec), spec.sample_tokens, trained.logits or None)
    facts = Facts(
        objective=spec.objective.type,
        update=spec.update.type,
        steps=trained.steps,
        best_step=trained.kept["step"],
        num_trained_rows=len(trained.rows),
        start_eval_loss=trained.start.get("eval_loss"),
        final_eval_loss=figures.get("eval_loss"),
        start_eval_reward=trained.start.get("eval_reward"),
        final_eval_reward=figures.get("eval_reward"),
        start_eval_reward_accuracy=trained.start.get("eval_reward_accuracy"),
        final_eval_reward_accuracy=figures.get("eval_reward_accuracy"),
        redrawn_groups=total_redrawn(trained.curve),
        **measure(spec.model_dir, spec.out_dir, probes),
        **preference_facts(spec.model_dir, spec.out_dir, spec.validation_file, load_dtype(spec)),
    )
    return facts.model_dump()


def probe_prompts(spec: TrainSpec) -> list[list[dict[str, str]]]:
    """The sample prompts, or the first prompts of the rows where there are none."""
    if spec.sample_prompts:
        return [[message.model_dump() for message in sample.prompt] for sample in spec.sample_prompts]
    import pyarrow.parquet as pq

    file = spec.validation_file or spec.train_file
    if "prompt" not in pq.read_schema(file).names:
        return []
    rows = pq.read_table(file, columns=["prompt"]).slice(0, NUM_PROBES).to_pylist()
    return [[dict(message) for message in row["prompt"]] for row in rows if row["prompt"]]


def _write_samples(spec: TrainSpec, before: Sequence[str], tokenizer: Any) -> None:
    """The start model's and the saved model's answers to the same prompts, side by side."""
    after = sample_answers(spec, _load_saved(spec), tokenizer)
    samples = [
        {**sample.model_dump(), "before": old, "after": new}
        for sample, old, new in zip(spec.sample_prompts, before, after, strict=True)
    ]
    write_json(spec.out_dir / "run" / "samples.json", samples)


def _load_saved(spec: TrainSpec) -> Any:
    from kt_resources.trainers.adapted import load_adapted
    from kt_resources.trainers.kinds import load_model

    if spec.update.mergeable:
        return load_model(spec.out_dir / "model", dtype=load_dtype(spec))
    return load_adapted(load_model(spec.model_dir, dtype=load_dtype(spec)), spec.out_dir / "adapter")


def _result(spec: TrainSpec, trained: Trained, clock: Clock, facts: dict[str, Any]) -> dict[str, Any]:
    from kt_resources.trainers.curve import total_tokens

    here = max((int(row.get("tokens", 0)) for row in trained.curve), default=0)
    training_s = max(clock.seconds["train"] - trained.evaluate_s, 1e-9)
    seconds = clock.seconds | {"evaluate": trained.evaluate_s, "train": training_s}
    return {
        "name": spec.name,
        "steps": trained.steps,
        "best_step": facts["best_step"],
        "num_trained_rows": facts["num_trained_rows"],
        "tokens": total_tokens(trained.curve),
        "tokens_per_s": round(here / training_s, 1),
        "peak_memory_gb": round(clock.peak_gb, 3),
        "peaks_gb": {phase: round(peak, 3) for phase, peak in clock.peaks_gb.items()},
        "device": trained.device,
        "processes": trained.num_processes,
        "precision": spec.precision,
        "learning_rate": spec.learning_rate,
        "seconds": {phase: round(value, 2) for phase, value in seconds.items()},
        "cpu_seconds": {phase: round(value, 2) for phase, value in clock.cpu_seconds.items()},
        "facts": facts,
    }
