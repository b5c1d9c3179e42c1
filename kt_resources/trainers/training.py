"""The training program's work: load, train, save, measure. One function a phase."""

import contextlib
import ctypes
import gc
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kt_resources.compute.program import Progress, write_json
from kt_resources.errors import TrainingError
from kt_resources.trainers.arguments import checkpoint_dir, common_arguments, total_steps
from kt_resources.trainers.clock import Clock
from kt_resources.trainers.facts import Facts
from kt_resources.trainers.keeper import Keeper
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


def train(spec: TrainSpec, progress: Progress) -> dict[str, Any]:
    """Train as ``spec`` says; the artifact stands in ``spec.out_dir`` when this returns.

    Runs on every process under ``accelerate launch``; only the first one writes.

    Raises:
        TrainingError: rows or options that cannot be trained with.
    """
    clock = Clock()
    with clock.phase("imports"):
        _import_libraries()
    spec = _at_its_start(usable(spec))
    with clock.phase("load"):
        model, tokenizer = _load(spec)
        before = _sample_answers(spec, model, tokenizer) if _is_first_process() else []
        trainer = _build(spec, model, tokenizer, progress)
    with clock.phase("train"):
        _run(trainer, spec)
    if not _is_first_process():
        return {}
    with clock.phase("measure"):
        trained = _trained(spec, trainer)
    del model, trainer
    _give_memory_back()
    return _finish(spec, trained, clock, before)


def is_sharded() -> bool:
    """Whether ``accelerate launch`` shards the model (FSDP), which casts float32 weights by itself."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false") == "true"


def _import_libraries() -> None:
    if not is_sharded():
        # Weights are loaded in the type they are computed in; the launcher's autocast would only cost time.
        os.environ["ACCELERATE_MIXED_PRECISION"] = "no"
    import torch  # noqa: F401
    import transformers
    import trl  # noqa: F401

    from kt_resources.trainers.attention import multiply_short_attention
    from kt_resources.trainers.logits import score_labelled_positions_only
    from kt_resources.trainers.lora_product import add_lora_in_place

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    import datasets

    datasets.disable_progress_bars()
    score_labelled_positions_only()
    multiply_short_attention()
    add_lora_in_place()


def _is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def usable(spec: TrainSpec) -> TrainSpec:
    """``spec``, in float32 where it asks for bf16 of a CPU that has no such arithmetic.

    torch emulates the missing instructions: a matrix product takes five to eighty times as long as in float32.
    """
    import torch

    if spec.precision == "bf16" and not torch.cuda.is_available() and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return spec.model_copy(update={"precision": "fp32"})
    return spec


def load_dtype(spec: TrainSpec) -> "torch.dtype":
    """The type in which the start model's weights are loaded."""
    import torch

    if is_sharded():
        return torch.float32
    if spec.precision == "fp16":
        return torch.float16 if spec.update.has_adapter else torch.float32
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[spec.precision]


def _at_its_start(spec: TrainSpec) -> TrainSpec:
    """``spec``, its start a model of the class that the objective trains."""
    if not (spec.model_dir / "config.json").is_file():
        raise TrainingError("there is no checkpoint to start from", where=str(spec.model_dir))
    return spec.model_copy(update={"model_dir": spec.objective.start(spec.model_dir, spec.scratch_dir)})


def _load(spec: TrainSpec) -> tuple[Any, Any]:
    from transformers import AutoTokenizer

    from kt_resources.trainers.kinds import load_model

    tokenizer = AutoTokenizer.from_pretrained(spec.model_dir)
    if tokenizer.eos_token_id is None or not tokenizer.chat_template:
        lacks = "stop token (eos)" if tokenizer.eos_token_id is None else "chat template"
        raise TrainingError(f"the start model has no {lacks}", where=str(spec.model_dir))
    arguments = spec.update.load_arguments(spec.precision)
    return load_model(spec.model_dir, dtype=load_dtype(spec), **arguments), tokenizer


def _sample_answers(spec: TrainSpec, model: Any, tokenizer: Any) -> list[str]:
    """Answers to the sample prompts; empty where the model scores and cannot answer."""
    from kt_resources.trainers.answers import greedy_answers

    if spec.objective.makes != "language_model":
        return [""] * len(spec.sample_prompts)
    prompts = [[message.model_dump() for message in sample.prompt] for sample in spec.sample_prompts]
    return [answer.text for answer in greedy_answers(model, tokenizer, prompts, spec.sample_tokens)]


def _build(spec: TrainSpec, model: Any, tokenizer: Any, progress: Progress) -> Any:
    from kt_resources.trainers.curve import Curve, Pace
    from kt_resources.trainers.objectives.base import Ingredients

    objective, limit = spec.objective, spec.optimization.max_seq_len
    rows = objective.load(spec.train_file, tokenizer, limit)
    held_out = objective.load(spec.validation_file, tokenizer, limit) if spec.validation_file else None
    keeper = Keeper(spec.scratch_dir / "kept", objective.metric, objective.greater_is_better)
    arguments = common_arguments(spec, len(rows))
    arguments["eval_on_start"] = held_out is not None and keeper.start is None
    spec.update.prepare(model)
    trained_in = "fp32" if is_sharded() else spec.precision
    ingredients = Ingredients(
        model=model,
        tokenizer=tokenizer,
        train=rows,
        validation=held_out,
        arguments=arguments,
        peft_config=spec.update.peft_config(model, total_steps(spec, len(rows))),
        loop={
            "keeper": keeper,
            "trainable_dtype": lambda name: spec.update.trainable_dtype(name, trained_in),
            "update": spec.update,
            "callbacks": [
                *spec.update.callbacks(),
                Curve(spec.out_dir / "run" / "curve.jsonl", progress, spec.name),
                Pace(spec.optimization, evaluates=held_out is not None),
            ],
        },
        verifier=spec.verifier,
        max_seq_len=limit,
        companions=spec.companions,
    )
    return objective.build(ingredients)


def _run(trainer: Any, spec: TrainSpec) -> None:
    """Train from the newest complete checkpoint; hold the last weights where no held-out figure chose others."""
    from transformers.trainer_callback import PrinterCallback

    from kt_resources.trainers.checkpoints import newest_complete, remove_after

    trainer.remove_callback(PrinterCallback)
    checkpoint = newest_complete(checkpoint_dir(spec))
    if _is_first_process():
        remove_after(checkpoint_dir(spec), checkpoint)
    trainer.accelerator.wait_for_everyone()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.eval_dataset is None:
        trainer.keep({})
    trainer.accelerator.wait_for_everyone()


def _kept(trainer: Any) -> dict[str, Any]:
    kept = trainer.keeper.kept
    if kept is None:
        raise TrainingError("the run ended before a single step was judged", mend="train for at least one step")
    return kept


def _trained(spec: TrainSpec, trainer: Any) -> Trained:
    from kt_resources.trainers.curve import Curve

    curve = next(callback for callback in trainer.callback_handler.callbacks if isinstance(callback, Curve))
    kept = _kept(trainer)
    return Trained(
        tokenizer=trainer.processing_class,
        folder=trainer.keeper.folder,
        kept=kept,
        start=trainer.keeper.start or {},
        logits=_trained_logits(spec, trainer),
        rows=trainer.rows_trained(kept["step"]),
        curve=curve.rows,
        steps=trainer.state.global_step,
        evaluate_s=trainer.evaluate_seconds,
        device=str(trainer.args.device),
        num_processes=trainer.args.world_size,
    )


def _give_memory_back() -> None:
    """Let go of the trained model, its optimizer and its gradients: saving and measuring read the files alone.

    glibc keeps freed memory until it is told otherwise: without that a run that trained in 3.3 GB measured in 3.9.
    """
    import torch

    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _finish(spec: TrainSpec, trained: Trained, clock: Clock, before: Sequence[str]) -> dict[str, Any]:
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


def _trained_logits(spec: TrainSpec, trainer: Any) -> "list[torch.Tensor] | None":
    """What the model in memory answers to the probes, where the saved one should answer just so."""
    from kt_resources.trainers.measure import probe_logits

    model = trainer.accelerator.unwrap_model(trainer.model).eval()
    rounded = spec.precision != "fp32" or is_sharded() or hasattr(model.config, "quantization_config")
    if rounded or _kept(trainer)["step"] != trainer.state.global_step:
        return None
    return probe_logits(model, trainer.processing_class, _probe_prompts(spec))


def _facts(spec: TrainSpec, trained: Trained) -> dict[str, Any]:
    from kt_resources.trainers.curve import total_redrawn
    from kt_resources.trainers.measure import Probes, measure
    from kt_resources.trainers.preference import preference_facts

    figures = trained.kept["metrics"]
    probes = Probes(_probe_prompts(spec), spec.sample_tokens, trained.logits or None)
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
        **preference_facts(spec.model_dir, spec.out_dir, spec.validation_file),
    )
    return facts.model_dump()


def _probe_prompts(spec: TrainSpec) -> list[list[dict[str, str]]]:
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
    after = _sample_answers(spec, _load_saved(spec), tokenizer)
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
