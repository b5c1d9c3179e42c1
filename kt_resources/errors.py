"""One error class for each boundary that data crosses.

A message says what was wrong, where (file, row, field) and what to do. Extension code (a person's own
reward function, a library) raises plain exceptions; the boundary that called it wraps them here.
"""


class KtError(Exception):
    """A mistake that a person can mend, told as *what*, *where* and *mend*.

    Args:
        what: what was wrong, in one sentence.
        where: the place: ``file:line``, a row id, a recipe field, an asset.
        mend: what to do about it.
    """

    boundary = "post-training"

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        self.what, self.where, self.mend = what, where, mend
        super().__init__(self.__str__())

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        mend = f"\n  → {self.mend}" if self.mend else ""
        return f"[{self.boundary}] {place}{self.what}{mend}"


class RecipeError(KtError):
    boundary = "recipe"


class DataError(KtError):
    boundary = "data"


class ContractError(KtError):
    boundary = "contract"


class ComputeError(KtError):
    boundary = "compute"


class TrainingError(KtError):
    boundary = "training"


class GenerationError(KtError):
    boundary = "generation"


class MergeError(KtError):
    boundary = "merge"


class QuantizeError(KtError):
    boundary = "quantize"


class EvaluateError(KtError):
    boundary = "evaluate"


class StoreError(KtError):
    boundary = "store"
