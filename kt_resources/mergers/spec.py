"""The merge program's spec."""

from pathlib import Path

from pydantic import Field, model_validator

from kt_resources.compute.program import ProgramSpec
from kt_resources.mergers.methods import MergeMethod, problem_with_inputs
from kt_resources.strict import Strict
from kt_resources.trainers.spec import Message


class MergeInput(Strict):
    """One expert: its name in the recipe and its checkpoint folder."""

    name: str
    dir: Path


class MergeSpec(ProgramSpec):
    """Merge ``inputs``, which share ``base_dir`` as their ancestor, into ``out_dir/model``.

    Attributes:
        probe_prompts: conversations that the merged model is asked, to see that it stops.
        max_new_tokens: how long a greedy answer may be before it counts as endless.
    """

    base_dir: Path
    inputs: tuple[MergeInput, ...] = Field(min_length=2)
    method: MergeMethod
    probe_prompts: tuple[tuple[Message, ...], ...] = ()
    max_new_tokens: int = Field(default=64, ge=1)

    @model_validator(mode="after")
    def _method_takes_these_inputs(self) -> "MergeSpec":
        if problem := problem_with_inputs(self.method, [one.name for one in self.inputs]):
            raise ValueError(problem)
        return self
