"""Decontamination: no row may ask what the evaluation asks.

Two rules, on prompts alone. A row goes if its prompt *is* an evaluation item's (white space and case aside), and it
goes if it contains a large share of an item's informative n-grams and the item's numbers, in order. Items made from
a template share most of their n-grams; those in many items tell nothing of any one of them, and are left out
(the plain 13-gram rule of GPT-3, Brown et al. 2020, appendix C, would remove every row of the template).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kt_assets.curation.decision import Decision, Drop
from kt_assets.curation.words import contains, ngrams_of, numbers_of, words_of
from kt_resources.recipes.data import Decontamination
from kt_resources.store.schemas import prompt_key, prompt_text

Ngram = tuple[str, ...]


class Decontaminator:
    """Says of a row whether its prompt stands in the evaluation set.

    Args:
        eval_rows: the evaluation items.
        config: None compares whole prompts only.
    """

    def __init__(self, eval_rows: Sequence[Mapping[str, Any]], config: Decontamination | None) -> None:
        self._items = {prompt_key(row): _name(row) for row in eval_rows}
        self._config = config
        self._names = [_name(row) for row in eval_rows]
        words = [words_of(prompt_text(row)) for row in eval_rows]
        self._numbers = [numbers_of(item) for item in words]
        self._index: dict[Ngram, list[int]] = {}
        self._sizes: list[int] = []
        self._lengths: set[int] = set()
        if config is not None:
            self._add(informative_ngrams(words, config))

    def __call__(self, row: Mapping[str, Any]) -> Decision:
        """Drop with the evaluation item and the share of it that was found, or keep."""
        if name := self._items.get(prompt_key(row)):
            return Drop("in_evaluation_set", f"same prompt as {name}")
        if self._config is None:
            return None
        return self._overlap(words_of(prompt_text(row)), self._config.overlap)

    def _add(self, ngrams: list[set[Ngram]]) -> None:
        for item, own in enumerate(ngrams):
            self._sizes.append(len(own))
            for ngram in own:
                self._index.setdefault(ngram, []).append(item)
                self._lengths.add(len(ngram))

    def _overlap(self, words: list[str], threshold: float) -> Decision:
        own = {gram for length in self._lengths if length <= len(words) for gram in ngrams_of(words, length)}
        shared = Counter(item for ngram in own for item in self._index.get(ngram, ()))
        numbers = numbers_of(words)
        for item, count in sorted(shared.items()):
            share = count / self._sizes[item]
            if share >= threshold and contains(numbers, self._numbers[item]):
                return Drop("overlaps_evaluation", f"{share:.0%} of the n-grams of {self._names[item]}")
        return None


def informative_ngrams(items: Sequence[list[str]], config: Decontamination) -> list[set[Ngram]]:
    """Of each item (its words) the n-grams that belong to no template.

    An n-gram in more than one item and in more than ``max_document_frequency`` of them is the template's.
    """
    ngrams = [set(ngrams_of(words, config.ngram)) for words in items]
    frequency = Counter(ngram for own in ngrams for ngram in own)
    allowed = max(1.0, config.max_document_frequency * len(items))
    return [{ngram for ngram in own if frequency[ngram] <= allowed} for own in ngrams]


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['id']} ({row['origin']})"
