"""Rewards as TRL calls them: columns of lists in, one number a completion out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kt_resources.errors import KtError, TrainingError

if TYPE_CHECKING:
    import torch

    from kt_resources.verifiers import VerifierConfig

SCORED_AT_ONCE = 32
NO_COLUMNS = {"prompts", "completion_ids", "environments"}
"""What TRL passes beside the rows' columns, in lists too."""


class Reward(Protocol):
    """A reward function: ``completions`` (text or messages) and the rows' columns, each a list of one length."""

    def __call__(self, completions: list[Any], **columns: Any) -> list[float]: ...


class VerifierReward:
    """The verifier's score of each completion.

    Attributes:
        last: the scores of the last call, for rewards that depend on them.
    """

    __name__ = "verifier"

    def __init__(self, verifier: "VerifierConfig") -> None:
        from kt_resources.verifiers import build_verifier

        self._score, self.last = build_verifier(verifier), [0.0]

    def __call__(self, completions: list[Any], **columns: Any) -> list[float]:
        """One score a completion; the verifier sees the row as everywhere, its ``prompt`` included.

        Raises:
            KtError: the verifier failed on a row, which is named.
        """
        fields = {key: values for key, values in columns.items() if isinstance(values, list) and key not in NO_COLUMNS}
        if "prompts" in columns:
            fields["prompt"] = columns["prompts"]
        rows = [{key: values[index] for key, values in fields.items()} for index in range(len(completions))]
        self.last = [
            _score(self._score, text_of(completion), row) for completion, row in zip(completions, rows, strict=True)
        ]
        return self.last


def _score(score: Callable[[str, dict[str, Any]], float], completion: str, row: dict[str, Any]) -> float:
    try:
        return float(score(completion, row))
    except KtError:
        raise
    except Exception as error:
        raise TrainingError(
            f"the verifier failed: {type(error).__name__}: {error}",
            where=f"row {row.get('id', '?')}",
            mend="make the verifier return a score between 0 and 1 for any completion",
        ) from error


def text_of(completion: Any) -> str:
    """The text of a completion, given as text or as a list of messages; a message without content has none."""
    return completion if isinstance(completion, str) else "".join(message["content"] or "" for message in completion)


class ModelReward:
    """A reward model's number for each answer, read as it was trained: under the template, up to the stop token.

    Args:
        folder: the reward model's checkpoint.
        dtype: the type it computes in.
    """

    __name__ = "reward_model"

    def __init__(self, folder: Path, dtype: "torch.dtype") -> None:
        from transformers import AutoTokenizer

        from kt_resources.trainers.kinds import load_model, scores

        if not scores(folder):
            raise TrainingError("this checkpoint is no reward model", where=str(folder))
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = load_model(folder, dtype=dtype).eval().requires_grad_(False)

    def to(self, device: "torch.device") -> None:
        """Move the model to where the policy is trained."""
        self._model.to(device)

    def __call__(self, completions: list[Any], **columns: Any) -> list[float]:
        import torch

        from kt_resources.trainers.data import rendered

        pairs = zip(columns["prompts"], completions, strict=True)
        texts = ["".join(rendered(prompt, text_of(answer), self._tokenizer)) for prompt, answer in pairs]
        ids = [self._tokenizer(text)["input_ids"] for text in texts]
        with torch.no_grad():
            return [
                score for at in range(0, len(ids), SCORED_AT_ONCE) for score in self._scores(ids[at:][:SCORED_AT_ONCE])
            ]

    def _scores(self, ids: Sequence[list[int]]) -> list[float]:
        import torch

        width, pad = max(map(len, ids)), self._model.config.pad_token_id
        tokens = torch.tensor([row + [pad] * (width - len(row)) for row in ids], device=self._model.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids], device=self._model.device)
        return self._model(input_ids=tokens, attention_mask=mask, use_cache=False).logits[:, 0].float().tolist()


class LengthReward:
    """λ = ½ − (length − shortest) / (longest − shortest) in the group, for right answers; min(0, λ) for wrong ones.

    Kimi k1.5 (arXiv:2501.12599, §2.3.3); 0 throughout a group of one length. Lengths are in tokens.

    Args:
        verifier: what says which answers are right; called before this one on the same completions.
        group: completions a prompt, side by side.
        right_from: the verifier's score from which an answer is right.
        weight: what λ is multiplied by.
    """

    __name__ = "length"

    def __init__(self, verifier: VerifierReward, group: int, right_from: float, weight: float) -> None:
        self._verifier, self._group, self._right_from, self._weight = verifier, group, right_from, weight

    def __call__(self, completions: list[Any], **columns: Any) -> list[float]:
        lengths = [len(ids) for ids in columns["completion_ids"]]
        found = []
        for at in range(0, len(lengths), self._group):
            right = [score >= self._right_from for score in self._verifier.last[at : at + self._group]]
            found += length_rewards(lengths[at : at + self._group], right)
        return [self._weight * value for value in found]


def length_rewards(lengths: Sequence[int], right: Sequence[bool]) -> list[float]:
    """The length reward of each answer of one group.

    >>> length_rewards([2, 4, 6, 6], [True, True, True, False])
    [0.5, 0.0, -0.5, -0.5]
    >>> length_rewards([2, 6], [False, True])
    [0.0, -0.5]
    """
    shortest, longest = min(lengths), max(lengths)
    if shortest == longest:
        return [0.0] * len(lengths)
    values = [0.5 - (length - shortest) / (longest - shortest) for length in lengths]
    return [value if good else min(0.0, value) for value, good in zip(values, right, strict=True)]
