"""What a verifier compares with, in rows that a model will answer."""

from collections.abc import Mapping
from typing import Any

from kt_resources.errors import DataError
from kt_resources.store.schemas import Row
from kt_resources.verifiers import NoVerifier, VerifierConfig, reference_answer

UNJUDGED = NoVerifier()


def with_truth(row: Mapping[str, Any], verifier: VerifierConfig, where: str) -> Row:
    """``row`` with the ``answer`` that its model's answers are compared with: its own, or the one in its completion.

    Raises:
        DataError: the verifier compares, and the row has nothing to compare with.
    """
    found = dict(row) | {"answer": reference_answer(row, verifier.reference_marker)}
    missing = next((name for name in verifier.truths if not found[name]), None)
    if missing is None:
        return found
    mend, marker = f"give it '{missing}', or choose a verifier that needs none", verifier.reference_marker
    if verifier.type == "json_schema":
        mend = "give the verifier a `json_schema` for all rows, or each row its 'verification'"
    if missing == "answer" and row["completion"] and marker:
        mend = f"its completion has no {marker!r}; give it 'answer', or set verifier.answer_marker"
    what = f"the row has no '{missing}', which answers are compared with (verifier: {verifier.type})"
    raise DataError(what, where=where, mend=mend)
