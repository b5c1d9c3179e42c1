"""Lenient reading: what a model may have meant, for baselines that were never taught the answer's form.

A model that is asked in a form it has not learned answers in its own: in a sentence, in bold, with the number at the
end. Each of these *readings* is given to the verifier and the best score counts. That flatters the model a little, as
it may try several answers at once; so it is fit for a baseline that others must beat, and for nothing else.
"""

import re
from collections.abc import Collection, Iterator, Sequence

from kt_resources.errors import GenerationError
from kt_resources.verifiers.base import MAX_ANSWER_CHARS, Row, Score, VerifierConfig, extract_answer, with_marker
from kt_resources.verifiers.code import Code
from kt_resources.verifiers.weighted import Weighted

NUMBER = re.compile(r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?")
MARKED = re.compile(r"\*\*(.+?)\*\*|\\boxed\{(.+?)\}|`([^`]+)`|\$([^$]+)\$", re.DOTALL)
SAYS = re.compile(r".*(?:=|:|\bis|\bare|\bwas|\bequals|\bon an?)\s+(.+)", re.IGNORECASE)
JSON = re.compile(r"\{.*\}|\[.*\]", re.DOTALL)
EDGES = " \t\n.,;:!?*_`'\"$()"


def readings(completion: str, marker: str | None, known: Collection[str] = ()) -> list[str]:
    """Every answer that may be read from ``completion``, the strict one first, each once.

    They are: what follows the last marker; the first line after the first marker; the whole text and its last line;
    what is set off (bold, boxed, in backticks or dollars); what follows the last ``is``, ``=`` or ``:`` of the last
    line; the last number, after the marker and in all; the last JSON value; of ``known`` the answer named last.

    Args:
        known: answers that this kind of question may have (the days of the week), to be found as whole words.

    >>> readings("The sum of 3 and 4 is **7**.", "####")
    ['The sum of 3 and 4 is **7**.', 'The sum of 3 and 4 is **7', '7', '**7**.']
    """
    text = completion.strip()
    if not text or len(text) > MAX_ANSWER_CHARS:
        return []
    found = (form for part in _parts(text, marker) for form in (part.strip(), part.strip(EDGES)))
    named = _last_named(text, known)
    return list(dict.fromkeys(form for form in (*found, *named) if form))


def lenient_verifier(config: VerifierConfig, known: Collection[str] = ()) -> Score:
    """``verify(completion, row)``: the best score of any of the completion's :func:`readings`, in [0, 1].

    Of several weighted verifiers each reads leniently by itself. Programs are read as they are: the verifier looks for
    them in any form already, and each reading would be a run.
    """
    if isinstance(config, Weighted):
        return _weighted([(part.weight, lenient_verifier(part.verifier, known)) for part in config.parts])
    if isinstance(config, Code):
        return with_marker(config.scorer(), None)
    score = config.scorer()

    def verify(completion: str, row: Row) -> float:
        best = 0.0
        for reading in readings(completion, config.answer_marker, known):
            best = max(best, _score_or_zero(score, reading, row))
            if best >= 1:
                break
        return best

    return verify


def _weighted(parts: Sequence[tuple[float, Score]]) -> Score:
    total = sum(weight for weight, _ in parts)
    return lambda completion, row: sum(weight * verify(completion, row) for weight, verify in parts) / total


def _score_or_zero(score: Score, reading: str, row: Row) -> float:
    """The score, 0 where a person's function chokes on a reading; what is wrong with the row the strict score tells."""
    try:
        return score(reading, row)
    except GenerationError:
        return 0.0


def _parts(text: str, marker: str | None) -> Iterator[str]:
    lines = [line for line in text.splitlines() if line.strip()]
    marked = extract_answer(text, marker) if marker else None
    if marker and marked is not None:
        yield marked
        first = text.split(marker, 1)[1].strip().splitlines()
        yield from first[:1]
        yield from NUMBER.findall(marked)[:1]
    yield text
    yield lines[-1]
    yield from (next(filter(None, found)) for found in MARKED.findall(text)[-1:])
    yield from (found[1] for line in lines[-1:] if (found := SAYS.match(line)))
    yield from NUMBER.findall(text)[-1:]
    yield from JSON.findall(text)[-1:]


def _last_named(text: str, known: Collection[str]) -> Iterator[str]:
    """Of the ``known`` answers the one that ends last in ``text``, the longer of two that end together."""
    ends = [
        (match.end(), len(answer), answer)
        for answer in known
        if answer.strip()
        for match in re.finditer(rf"(?<!\w){re.escape(answer)}(?!\w)", text, re.IGNORECASE)
    ]
    if ends:
        yield max(ends)[2]
