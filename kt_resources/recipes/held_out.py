"""Where a line's held-out items come from: generated tasks, a file, or a split of the line's own rows."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from kt_resources.recipes.data import EvalData, FileSource, Name
from kt_resources.strict import Strict

EVALUATION = "evaluation"
"""What the source of items from a file or a generator is called."""


class FileTasks(Strict):
    """Held-out items in a file of a person's own; rows of one ``family`` are one evaluation task.

    Attributes:
        path: the file, relative to the recipe's folder; its ending tells what it is, as with a source.
        format: as with a source of type ``file``. The answer is the column ``answer``, else what the verifier's
            marker finds in the row's completion.
        system: system message for rows that have none; give what the sources give.
        num_items: the first so many rows; None takes all.
    """

    type: Literal["file"]
    path: str
    format: Literal["alpaca", "messages", "sharegpt", "preference", "prompts", "auto"] = "auto"
    license: str | None = None
    system: str | None = None
    num_items: int | None = Field(default=None, ge=1)
    on_bad_row: Literal["refuse", "set_aside"] = "refuse"

    @property
    def source(self) -> FileSource:
        """The file as a source that is read: its rows need no answer, as the model gives one."""
        told = self.model_dump(exclude={"type", "num_items"})
        return FileSource(type="file", name=EVALUATION, purpose="rl", **told)


class HeldOut(Strict):
    """A seeded split of the line's own sources: these prompts, and what is nearly the same, never reach training.

    Attributes:
        sources: where the items come from; None takes every source of purpose ``train``, or all where there is none.
        fraction: share of the distinct prompts of each source.
        num_items: at most so many of each source.
        seed: another seed holds other prompts out. Prompts are ordered by a hash, so that new rows move few across.
    """

    type: Literal["held_out"]
    sources: list[Name] | None = None
    fraction: float = Field(default=0.1, gt=0, lt=1)
    num_items: int = Field(default=200, ge=1)
    seed: int = 0


def _type(value: Any) -> Any:
    """The type that is named; generated tasks where none is."""
    return value.get("type", "reasoning_gym") if isinstance(value, dict) else getattr(value, "type", None)


EvalTasks = Annotated[
    Annotated[EvalData, Tag("reasoning_gym")] | Annotated[FileTasks, Tag("file")] | Annotated[HeldOut, Tag("held_out")],
    Discriminator(_type),
]
