"""Full fine-tuning: every weight of the model changes."""

from typing import ClassVar, Literal

from kt_resources.trainers.updates.base import UpdateStrategy


class Full(UpdateStrategy):
    """All weights; no adapter. About 16 bytes a parameter with AdamW."""

    type: Literal["full"] = "full"
    has_adapter: ClassVar[bool] = False
