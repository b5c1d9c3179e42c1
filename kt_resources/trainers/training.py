"""The training program's work: load and train, one function a phase; what follows is in ``finishing``."""

import os
from typing import TYPE_CHECKING, Any

from kt_resources.compute.program import Progress, is_rank_zero
from kt_resources.errors import TrainingError
from kt_resources.trainers.arguments import checkpoint_dir, common_arguments, total_steps
from kt_resources.trainers.clock import Clock
from kt_resources.trainers.finishing import Trained, finish, probe_prompts, sample_answers
from kt_resources.trainers.keeper import Keeper
from kt_resources.trainers.precision import is_sharded, load_dtype, settled
from kt_resources.trainers.release import give_memory_back
from kt_resources.trainers.spec import TrainSpec

if TYPE_CHECKING:
    import torch


def train(spec: TrainSpec, progress: Progress) -> dict[str, Any]:
    """Train as ``spec`` says; the artifact stands in ``spec.out_dir`` when this returns.

    Runs on every process under ``accelerate launch``; only the first one writes.

    Raises:
        TrainingError: rows or options that cannot be trained with.
    """
    clock = Clock()
    with clock.phase("imports"):
        _import_libraries()
    spec = _at_its_start(settled(spec))
    with clock.phase("load"):
        model, tokenizer = _load(spec)
        before = sample_answers(spec, model, tokenizer) if is_rank_zero() else []
        trainer = _build(spec, model, tokenizer, progress)
    with clock.phase("train"):
        _run(trainer, spec)
    if not is_rank_zero():
        return {}
    with clock.phase("measure"):
        trained = _trained(spec, trainer)
    del model, trainer
    give_memory_back()
    return finish(spec, trained, clock, before)


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


def _at_its_start(spec: TrainSpec) -> TrainSpec:
    """``spec``, its start a model of the class that the objective trains."""
    if not (spec.model_dir / "config.json").is_file():
        raise TrainingError("there is no checkpoint to start from", where=str(spec.model_dir))
    return spec.model_copy(update={"model_dir": spec.objective.start(spec.model_dir, spec.scratch_dir)})


def _load(spec: TrainSpec) -> tuple[Any, Any]:
    from transformers import AutoTokenizer

    from kt_resources.trainers.kinds import load_model
    from kt_resources.trainers.saving import tensors
    from kt_resources.trainers.stored import require_names
    from kt_resources.trainers.updates.targets import NO_ADAPTER_ON_EXPERTS, has_fused_experts

    tokenizer = AutoTokenizer.from_pretrained(spec.model_dir)
    if tokenizer.eos_token_id is None or not tokenizer.chat_template:
        lacks = "stop token (eos)" if tokenizer.eos_token_id is None else "chat template"
        raise TrainingError(f"the start model has no {lacks}", where=str(spec.model_dir))
    arguments = spec.update.load_arguments(spec.precision)
    model = load_model(spec.model_dir, dtype=load_dtype(spec), **arguments)
    require_names(model, tensors(spec.model_dir).keys(), str(spec.model_dir))
    if spec.update.has_adapter and has_fused_experts(model) and is_rank_zero():
        print(NO_ADAPTER_ON_EXPERTS, flush=True)
    spec.update.prepare(model)
    return model, tokenizer


def _build(spec: TrainSpec, model: Any, tokenizer: Any, progress: Progress) -> Any:
    from kt_resources.trainers.curve import Curve
    from kt_resources.trainers.objectives.base import Ingredients
    from kt_resources.trainers.pace import Pace

    objective, limit = spec.objective, spec.optimization.max_seq_len
    rows = objective.load(spec.train_file, tokenizer, limit)
    held_out = objective.load(spec.validation_file, tokenizer, limit) if spec.validation_file else None
    keeper = Keeper(spec.scratch_dir / "kept", objective.metric, objective.greater_is_better)
    arguments = common_arguments(spec, len(rows))
    arguments["eval_on_start"] = held_out is not None and keeper.start is None
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
            "pace": Pace(spec.optimization, evaluates=held_out is not None),
            "trainable_dtype": lambda name: spec.update.trainable_dtype(name, trained_in),
            "update": spec.update,
            "callbacks": [
                *spec.update.callbacks(),
                Curve(spec.out_dir / "run" / "curve.jsonl", progress, spec.name),
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
    if is_rank_zero():
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


def _trained_logits(spec: TrainSpec, trainer: Any) -> "list[torch.Tensor] | None":
    """What the model in memory answers to the probes, where the saved one should answer just so."""
    from kt_resources.trainers.measure import probe_logits

    model = trainer.accelerator.unwrap_model(trainer.model).eval()
    rounded = spec.precision != "fp32" or is_sharded() or hasattr(model.config, "quantization_config")
    if rounded or _kept(trainer)["step"] != trainer.state.global_step:
        return None
    return probe_logits(model, trainer.processing_class, probe_prompts(spec))
