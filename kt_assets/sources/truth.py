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
    found = dict(row) | {"answer": reference_answer(row, verifier.answer_marker)}
    if verifier.truth is None or found[verifier.truth]:
        return found
    mend = f"give it '{verifier.truth}', or choose a verifier that needs none"
    if verifier.type == "json_schema":
        mend = "give the verifier a `json_schema` for all rows, or each row its 'verification'"
    if verifier.truth == "answer" and row["completion"] and verifier.answer_marker:
        mend = f"its completion has no {verifier.answer_marker!r}; give it 'answer', or set verifier.answer_marker"
    what = f"the row has no '{verifier.truth}', which answers are compared with (verifier: {verifier.type})"
    raise DataError(what, where=where, mend=mend)
