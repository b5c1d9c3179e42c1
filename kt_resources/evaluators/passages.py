"""General text in passages: the units over which perplexity is measured and resampled."""

import re
from collections.abc import Sequence

SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|(?<=[.!?;][\"'”’)])\s+")


def passages(text: str, max_words: int, words_each: int = 60) -> list[str]:
    """Whole sentences, joined until a passage has ``words_each`` words, until ``max_words`` are taken.

    Measured in words, so that models with different tokenizers read the same passages. What is left over at the end
    joins the last passage; at least one passage where there is any text.
    """
    taken: list[list[str]] = [[]]
    num_words = 0
    for sentence in sentences(text):
        length = len(sentence.split())
        if num_words and num_words + length > max_words:
            break
        num_words += length
        taken[-1].append(sentence)
        if sum(count_words(taken[-1])) >= words_each:
            taken.append([])
    last = taken.pop()
    if taken and last:
        taken[-1] += last
    elif last:
        taken = [last]
    return [" ".join(part) for part in taken]


def sentences(text: str) -> list[str]:
    """The sentences of ``text``, each on one line."""
    paragraphs = (" ".join(block.split()) for block in text.split("\n\n"))
    return [sentence for paragraph in paragraphs for sentence in SENTENCE_END.split(paragraph) if sentence]


def count_words(parts: Sequence[str]) -> list[int]:
    """Words of each passage, split at white space."""
    return [len(part.split()) for part in parts]
