"""What a stage may ask of an evaluator."""

from typing import Any, Protocol, runtime_checkable

from kt_resources.compute.needs import Needs
from kt_resources.evaluators.spec import EvaluateSpec


@runtime_checkable
class Evaluator(Protocol):
    """Evaluates models."""

    def evaluate(self, spec: EvaluateSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Write ``results.json``, ``facts.json`` and ``samples.parquet`` under ``spec.out_dir``; the facts.

        Raises:
            EvaluateError: a task or a gate that names what is not there.
        """
        ...
