"""No verifier: the line has no stage that needs one."""

from typing import Literal

from kt_resources.errors import GenerationError
from kt_resources.verifiers.base import Score, VerifierConfig


class NoVerifier(VerifierConfig):
    """Nothing can be verified; stages that score completions are absent from the line."""

    type: Literal["none"] = "none"
    answer_marker: None = None

    def scorer(self) -> Score:
        mend = "give the recipe a verifier: exact, numeric, math, json_schema, code, python, reasoning_gym"
        raise GenerationError("this line has no verifier", where="verifier", mend=mend)
