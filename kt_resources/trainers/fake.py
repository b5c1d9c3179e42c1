"""A trainer that trains nothing: it writes a real, tiny artifact, so that an asset's test asserts what can fail."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kt_resources.compute.devices import Device, fake_devices
from kt_resources.compute.fake import EIGHT_OF_80_GB
from kt_resources.compute.needs import Needs
from kt_resources.compute.program import write_json
from kt_resources.trainers.facts import Facts
from kt_resources.trainers.preference import accuracy_facts
from kt_resources.trainers.saving import copy_all_but_weights, save_trained_rows
from kt_resources.trainers.spec import TrainSpec

HEALTHY = Facts(
    objective="sft",
    update="lora",
    steps=4,
    best_step=4,
    num_trained_rows=0,
    start_eval_loss=2.0,
    final_eval_loss=1.0,
    tokenizer_identical=True,
    chat_template_identical=True,
    eos_token_id_identical=True,
    vocab_size_identical=True,
    tied_embeddings_survive=True,
    finite=True,
    has_nan=False,
    delta_norm_relative=0.01,
    num_changed_tensors=1,
    num_tensors=1,
    adapter_merged_max_logit_diff=1e-6,
    adapter_merged_mean_kl=1e-9,
    kl_to_start=0.1,
    stops_rate=1.0,
    num_probes=4,
)


@dataclass
class FakeTrainer:
    """Obeys :class:`kt_resources.trainers.Trainer` without torch.

    Attributes:
        facts: values that differ from :data:`HEALTHY`, for tests of checks: ``{"stops_rate": 0.0}``.
        error: raised instead of training, for tests of failures.
        specs: every spec that it was given, in order.
        described_devices: the machine, in the words of ``KT_FAKE_DEVICES``.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    specs: list[TrainSpec] = field(default_factory=list)
    described_devices: str = EIGHT_OF_80_GB

    def devices(self) -> list[Device]:
        """The faked devices."""
        return fake_devices(self.described_devices)

    def train(self, spec: TrainSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Write the artifact of ``spec`` as the program would, with weights made from its name and rows."""
        self.specs.append(spec)
        if self.error is not None:
            raise self.error
        ids = _row_ids(spec.train_file)
        facts = self._facts(spec, len(ids))
        _write_weights(spec, ids)
        save_trained_rows(ids, spec.out_dir / "trained_rows.parquet")
        write_json(spec.out_dir / "facts.json", facts)
        return _write_run(spec, facts)

    def _facts(self, spec: TrainSpec, num_rows: int) -> dict[str, Any]:
        axes = {"objective": spec.objective.type, "update": spec.update.type, "num_trained_rows": num_rows}
        reward = {"start_eval_reward": 0.2, "final_eval_reward": 0.4, "start_eval_loss": None, "final_eval_loss": None}
        metric = spec.objective.metric
        accuracy = {f"start_{metric}": 0.5, f"final_{metric}": 0.9} if metric == "eval_reward_accuracy" else {}
        figures = reward if metric == "eval_reward" else accuracy
        answers_pairs = spec.objective.rows == "preference_pairs" and spec.objective.makes == "language_model"
        preference = accuracy_facts([-1.0, 1.0], [1.0, 1.0]) if answers_pairs else {}
        adapter: dict[str, Any] = {}
        if not (spec.update.has_adapter and spec.update.mergeable):
            adapter |= {"adapter_merged_max_logit_diff": None, "adapter_merged_mean_kl": None}
        if not spec.update.mergeable:
            adapter |= {"adapter_only": True, "delta_norm_relative": None, "num_changed_tensors": 0}
        told = {**axes, **figures, **preference, **adapter, **self.facts}
        return Facts(**{**HEALTHY.model_dump(), **told}).model_dump()


def _row_ids(file: Path) -> list[str]:
    import pyarrow.parquet as pq

    return pq.read_table(file, columns=["id"]).column("id").to_pylist()


def _write_weights(spec: TrainSpec, ids: list[str]) -> None:
    """``model/`` where one is left and ``adapter/`` likewise: four numbers that depend on step and rows."""
    import numpy as np
    from safetensors.numpy import save_file

    seed = hashlib.sha256(json.dumps([spec.name, spec.objective.type, ids]).encode()).digest()[:16]
    numbers = np.frombuffer(seed, dtype=np.uint8).astype(np.float32).reshape(4, 4)
    model_dir, adapter_dir = spec.out_dir / "model", spec.out_dir / "adapter"
    if spec.update.mergeable:
        model_dir.mkdir(parents=True, exist_ok=True)
        if spec.model_dir.is_dir():
            copy_all_but_weights(spec.model_dir, model_dir)
        save_file({"model.embed_tokens.weight": numbers}, model_dir / "model.safetensors", metadata={"format": "pt"})
    if spec.update.has_adapter:
        adapter_dir.mkdir(parents=True, exist_ok=True)
        save_file({"lora_A.weight": numbers}, adapter_dir / "adapter_model.safetensors")
        write_json(adapter_dir / "adapter_config.json", {"peft_type": "LORA", "r": 1})


def _write_run(spec: TrainSpec, facts: dict[str, Any]) -> dict[str, Any]:
    """``run/``: a curve of two steps, samples, the result."""
    run = spec.out_dir / "run"
    run.mkdir(exist_ok=True)
    metric = spec.objective.metric
    rows = [
        {"step": 0, metric: facts[f"start_{metric}"]},
        {"step": 2, "loss": 1.5, "learning_rate": spec.learning_rate, "tokens": 64},
        {"step": 4, "loss": 1.0, "learning_rate": 0.0, "tokens": 128},
        {"step": 4, metric: facts[f"final_{metric}"]},
    ]
    (run / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    samples = [{**sample.model_dump(), "before": "?", "after": sample.answer} for sample in spec.sample_prompts]
    write_json(run / "samples.json", samples)
    result = {
        "name": spec.name,
        "steps": facts["steps"],
        "best_step": facts["best_step"],
        "num_trained_rows": facts["num_trained_rows"],
        "tokens": 128,
        "tokens_per_s": 64.0,
        "peak_memory_gb": 0.1,
        "peaks_gb": {"imports": 0.05, "load": 0.1, "train": 0.1, "save": 0.1, "measure": 0.1},
        "device": "cpu",
        "processes": 1,
        "precision": spec.precision,
        "learning_rate": spec.learning_rate,
        "seconds": {"imports": 0.0, "load": 0.0, "train": 2.0, "evaluate": 0.0, "save": 0.0, "measure": 0.0},
        "cpu_seconds": {"imports": 0.0, "load": 0.0, "train": 2.0, "save": 0.0, "measure": 0.0},
        "facts": facts,
    }
    write_json(run / "result.json", result)
    return result
