"""Duplicates: the same row again, and nearly the same row again.

Rows made from one template differ in their numbers alone, and are no duplicates of each other: near duplicates are
sought only among rows with the same numbers and operators in the same order and the same ground truth. What this
costs: two texts that differ in nothing but a date or a figure are both kept.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kt_assets.curation.decision import Decision, Drop
from kt_assets.curation.words import ngrams_of, numbers_of, words_of
from kt_resources.recipes.data import NearDuplicates
from kt_resources.store.schemas import prompt_key, prompt_text

CANDIDATE_MARGIN = 0.25
"""Candidates are looked up this far below the threshold; their exact similarity then decides."""

Signature = tuple[tuple[str, ...], str]
Shingles = frozenset[tuple[Any, ...]]


class ExactDuplicates:
    """Drops a row whose prompt and completion stood before, up to white space; the first one stays."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def __call__(self, row: Mapping[str, Any]) -> Decision:
        """Drop with the origin of the row's first occurrence, or keep and remember it."""
        first = self._seen.get(row["id"])
        if first is not None:
            return Drop("exact_duplicate", f"same as {row['id']} ({first})")
        self._seen[row["id"]] = row["origin"]
        return None


class PurposesApart:
    """Drops a prompt that rows of another purpose hold: what is learned from and what is rewarded stay apart.

    The purpose with fewer rows keeps the prompt, as it can spare it least.

    Args:
        purposes: source → purpose; a source that is not in it is a purpose by itself.
        rows: every row that will be asked about.
    """

    def __init__(self, purposes: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> None:
        self._purposes = purposes
        asking = [(prompt_key(row), self._purpose(row), row["id"]) for row in rows]
        sizes = Counter(purpose for _, purpose, _ in asking)
        self._owner: dict[str, tuple[str, str]] = {}
        for key, purpose, row_id in sorted(asking, key=lambda one: (sizes[one[1]], one[1])):
            self._owner.setdefault(key, (purpose, row_id))

    def __call__(self, row: Mapping[str, Any]) -> Decision:
        """Drop with the purpose and the id of a row that keeps the prompt, or keep."""
        owner, row_id = self._owner[prompt_key(row)]
        return None if owner == self._purpose(row) else Drop("prompt_of_other_purpose", f"{owner} row {row_id}")

    def _purpose(self, row: Mapping[str, Any]) -> str:
        return self._purposes.get(row["source"], row["source"])


class NearDuplicateFilter:
    """Drops a row whose word shingles are those of an earlier row, by MinHash and then by the sets themselves.

    Args:
        rows: every row that will be asked about; rows with a signature of their own need no MinHash.
    """

    def __init__(self, config: NearDuplicates, rows: Iterable[Mapping[str, Any]]) -> None:
        from datasketch import MinHashLSH

        self._config = config
        self._sizes = Counter(signature_of(row) for row in rows)
        candidates = max(0.1, config.threshold - CANDIDATE_MARGIN)
        self._index = MinHashLSH(threshold=candidates, num_perm=config.num_perm)
        self._shingles: list[Shingles] = []
        self._ids: list[str] = []

    def __call__(self, row: Mapping[str, Any]) -> Decision:
        """Drop with the id of the most similar earlier row, or keep and remember it."""
        signature = signature_of(row)
        if self._sizes[signature] < 2:
            return None
        shingles = shingles_of(row, self._config.shingle, signature)
        minhash = _minhash(shingles, self._config.num_perm)
        found = [(jaccard(shingles, self._shingles[key]), -key) for key in self._index.query(minhash)]
        similarity, key = max(found, default=(0.0, 0))
        if similarity >= self._config.threshold:
            return Drop("near_duplicate", f"{similarity:.2f} similar to {self._ids[-key]}")
        self._index.insert(len(self._ids), minhash)
        self._shingles.append(shingles)
        self._ids.append(row["id"])
        return None


def signature_of(row: Mapping[str, Any]) -> Signature:
    """What near duplicates have in common: numbers and operators in order, and the ground truth."""
    return numbers_of(words_of(f"{prompt_text(row)}\n{row['completion'] or ''}")), row["answer"] or ""


def shingles_of(row: Mapping[str, Any], size: int, signature: Signature) -> Shingles:
    """The word n-grams of prompt and of each answer; with the signature in them, others' shingles are never shared."""
    tag = hash_text(repr(signature))
    sides = [("prompt", prompt_text(row))] + [(name, row[name] or "") for name in ("completion", "rejected")]
    return frozenset((tag, side, *ngram) for side, text in sides for ngram in ngrams_of(words_of(text), size))


def jaccard(one: Shingles, other: Shingles) -> float:
    """Size of the intersection over size of the union; two empty sets are the same."""
    union = len(one | other)
    return len(one & other) / union if union else 1.0


def hash_text(text: str) -> str:
    """Sixteen hex digits of SHA-256."""
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _minhash(shingles: Shingles, num_perm: int) -> Any:
    from datasketch import MinHash

    minhash = MinHash(num_perm=num_perm, seed=1)
    minhash.update_batch(_as_bytes(sorted(shingles)))
    return minhash


def _as_bytes(shingles: Sequence[tuple[Any, ...]]) -> list[bytes]:
    return ["\x1f".join(shingle).encode() for shingle in shingles]
