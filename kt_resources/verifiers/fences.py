"""The program in an answer that is Markdown."""

import re

FENCE = re.compile(
    r"(?:[^`]*+(?=`)|\s*+(?=~))(?P<fence>`{3,}+|~{3,}+)\s*+\{?\.?(?P<tag>[^\s{}`]*+)[^`]*+",
)
PROGRAMS = {"", "python", "python3", "py"}


def program_of(answer: str) -> str:
    """The last fenced block of Python or without a tag, to the end where it is not closed; else all of ``answer``."""
    programs = [text for tag, text in fenced(answer) if tag.lower() in PROGRAMS]
    return programs[-1] if programs else answer


def fenced(answer: str) -> list[tuple[str, str]]:
    """Tag and text of each fenced block, read line by line: a block goes to the first line that ends with its fence.

    >>> fenced("```sh\\nls\\n```\\nthen\\n```python\\nx = 1\\n```")
    [('sh', 'ls\\n'), ('python', 'x = 1\\n')]
    """
    blocks: list[tuple[str, list[str]]] = []
    closing = ""
    for line in answer.replace("\r\n", "\n").split("\n"):
        if closing and line.rstrip().endswith(closing):
            last = line.rstrip().rstrip(closing[0])
            blocks[-1][1].append(last if last.strip() else "")
            closing = ""
        elif closing:
            blocks[-1][1].append(line + "\n")
        elif found := FENCE.fullmatch(line):
            closing = found["fence"]
            blocks.append((found["tag"], []))
    return [(tag, "".join(lines)) for tag, lines in blocks]
