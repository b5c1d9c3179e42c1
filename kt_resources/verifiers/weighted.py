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
    def truth(self) -> str | None:
        """The first column that a part needs."""
        return next((part.verifier.truth for part in self.parts if part.verifier.truth), None)

    def scorer(self) -> Score:
        scorers = [
            (part.weight, with_marker(part.verifier.scorer(), part.verifier.answer_marker)) for part in self.parts
        ]
        total = sum(weight for weight, _ in scorers)

        def score(completion: str, row: Row) -> float:
            return sum(weight * verify(completion, row) for weight, verify in scorers) / total

        return score
