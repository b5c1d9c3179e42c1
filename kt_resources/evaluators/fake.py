"""An evaluator for unit tests: it asks no model, and writes the same files as the real one."""

import hashlib
import json
import math
from typing import Any

from kt_resources.compute.needs import Needs
from kt_resources.compute.program import write_json
from kt_resources.evaluators.gates import FEW_SHOT_BASE
from kt_resources.evaluators.results import results_of, sample_rows, write_results
from kt_resources.evaluators.run import task_names
from kt_resources.evaluators.spec import EvaluatedModel, EvaluateSpec


class FakeEvaluator:
    """Answers every held-out item at random but for good: the same model and item give the same answer.

    Args:
        accuracy: share of right answers by asset (``few_shot_base`` among them); 0.5 where it is not given.
        forgot: share of the probe's items that a model no longer knows, by asset, and by which its perplexity rose.
    """

    def __init__(self, accuracy: dict[str, float] | None = None, forgot: dict[str, float] | None = None) -> None:
        self.accuracy, self.forgot = accuracy or {}, forgot or {}
        self.calls: list[EvaluateSpec] = []

    def evaluate(self, spec: EvaluateSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """As :meth:`kt_resources.evaluators.protocol.Evaluator.evaluate`, without a model."""
        self.calls.append(spec)
        measured = [
            {
                "items": self._items(spec, model),
                "few_shot": self._few_shot(spec, model),
                "ability": self._ability(spec, model),
                "general": self._general(spec, model),
                "references": self._references(spec, model),
            }
            for model in spec.models
        ]
        results = results_of(spec.models, measured, spec.config)
        write_results(spec.out_dir, results, sample_rows(spec.models, measured))
        write_json(spec.out_dir / "run" / "result.json", results["facts"])
        return results["facts"]

    def _few_shot(self, spec: EvaluateSpec, model: EvaluatedModel) -> list[dict[str, Any]] | None:
        asked = model.model_copy(update={"asset": FEW_SHOT_BASE})
        return self._items(spec, asked) if spec.examples and model == spec.models[0] else None

    def _items(self, spec: EvaluateSpec, model: EvaluatedModel) -> list[dict[str, Any]]:
        return [
            self._item(model, name, json.loads(line))
            for name in task_names(spec)
            for line in (spec.tasks_dir / name / "items.jsonl").read_text().splitlines()[: spec.config.num_items]
        ]

    def _item(self, model: EvaluatedModel, task: str, item: dict[str, Any]) -> dict[str, Any]:
        draw = int(hashlib.sha256(f"{model.asset} {item['id']}".encode()).hexdigest()[:8], 16) / 16**8
        right = draw < self.accuracy.get(model.asset, 0.5)
        answer = item["answer"]
        return {
            "task": task,
            "id": item["id"],
            "family": item["family"],
            "question": item["question"],
            "prompt": item["question"],
            "completion": answer if right else f"not {answer}",
            "answer": answer,
            "score": float(right),
            "lenient_score": float(right),
            "stopped": True,
            "num_tokens": 1 + len(answer),
        }

    def _ability(self, spec: EvaluateSpec, model: EvaluatedModel) -> dict[str, float] | None:
        if spec.ability_dir is None or not spec.config.general_ability:
            return None
        num_forgotten = round(100 * self.forgot.get(model.asset, 0.0))
        return {f"{index:03d}": float(index >= num_forgotten) for index in range(100)}

    def _general(self, spec: EvaluateSpec, model: EvaluatedModel) -> dict[str, list[float]] | None:
        if spec.general_text is None or not spec.config.perplexity.enabled:
            return None
        rise = math.log1p(self.forgot.get(model.asset, 0.0))
        return {"nll": [300.0 + 70 * rise, 330.0 + 70 * rise], "tokens": [100, 100], "words": [70, 70]}

    def _references(self, spec: EvaluateSpec, model: EvaluatedModel) -> dict[str, list[float]] | None:
        if not spec.config.answer_perplexity:
            return None
        wrong = 1 - self.accuracy.get(model.asset, 0.5)
        return {"nll": [10 * wrong, 12 * wrong], "tokens": [5, 6]}
