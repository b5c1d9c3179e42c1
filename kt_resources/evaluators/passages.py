"""General text in passages: the units over which perplexity is measured and resampled."""

from collections.abc import Sequence


def passages(text: str, max_words: int, words_each: int = 120) -> list[str]:
    """Whole paragraphs, joined until a passage has ``words_each`` words, until ``max_words`` are taken.

    Measured in words, so that models with different tokenizers read the same passages. At least one passage.
    """
    taken: list[str] = []
    held: list[str] = []
    num_words = 0
    for paragraph in (block.strip() for block in text.split("\n\n")):
        if not paragraph:
            continue
        length = len(paragraph.split())
        if taken and num_words + length > max_words:
            break
        held.append(paragraph)
        num_words += length
        if sum(len(part.split()) for part in held) >= words_each:
            taken.append("\n\n".join(held))
            held = []
    return [*taken, "\n\n".join(held)] if held else taken


def count_words(parts: Sequence[str]) -> list[int]:
    """Words of each passage, split at white space."""
    return [len(part.split()) for part in parts]
