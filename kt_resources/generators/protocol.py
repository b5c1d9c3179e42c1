"""What an asset knows of generation: prompts go in, completions stand in ``completions_file``."""

from typing import Any, Protocol, runtime_checkable

from kt_resources.compute.needs import Needs
from kt_resources.generators.spec import GenerateSpec


@runtime_checkable
class Generator(Protocol):
    """Generates as a :class:`GenerateSpec` says."""

    def generate(self, spec: GenerateSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Write ``spec.completions_file``; counts and speed, with ``compute`` for what it took.

        Raises:
            GenerationError: a prompt without room for an answer, a wrong grammar, a model that cannot be opened.
        """
        ...
