"""Several verifiers at once: the weighted mean of their scores."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, TypeAdapter, ValidationInfo

from kt_resources.strict import Strict
from kt_resources.verifiers.base import Row, Score, VerifierConfig, with_marker


def _any_verifier(value: Any, info: ValidationInfo) -> Any:
    """A part is any verifier of the registry, which this module stands in itself."""
    from kt_resources.verifiers import Verifier

    return TypeAdapter(Verifier).validate_python(value, context=info.context)


class Part(Strict):
    """A verifier and its share of the score."""

    weight: float = Field(default=1.0, gt=0)
    verifier: Annotated[SerializeAsAny[VerifierConfig], BeforeValidator(_any_verifier)]


class Weighted(VerifierConfig):
    """Σ wᵢ sᵢ / Σ wᵢ: the right answer for the most part, say, and its form for the rest.

    Each part reads the whole completion, and its answer behind its own marker.
    """

    type: Literal["weighted"]
    answer_marker: None = None
    parts: tuple[Part, ...] = Field(min_length=2)

    @property
    def truths(self) -> tuple[str, ...]:
        """Every column that a part needs, each once."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.verifier.truths))

    @property
    def reference_marker(self) -> str | None:
        """That of the first part that compares with ``answer``; where none does, the first marker that a part has."""
        parts = [part.verifier for part in self.parts]
        comparing = [part.reference_marker for part in parts if "answer" in part.truths]
        return (comparing or [part.reference_marker for part in parts if part.reference_marker] or [None])[0]

    def scorer(self) -> Score:
        scorers = [
            (part.weight, with_marker(part.verifier.scorer(), part.verifier.answer_marker)) for part in self.parts
        ]
        total = sum(weight for weight, _ in scorers)

        def score(completion: str, row: Row) -> float:
            return sum(weight * verify(completion, row) for weight, verify in scorers) / total

        return score
