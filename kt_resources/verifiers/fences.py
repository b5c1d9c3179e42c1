"""The program in an answer that is Markdown."""

import re

FENCE = re.compile(
    r"(?:[^`]*+(?=`)|\s*+(?=~))(?P<fence>`{3,}+|~{3,}+)\s*+\{?\.?(?P<tag>[^\s{}`]*+)[^`]*+",
)
PYTHON = {"python", "python3", "py"}


def program_of(answer: str) -> str:
    """The last fenced block of Python, to the end where it is not closed; else the last without a tag, else ``answer``.

    >>> program_of("```py\\nprint(1)\\n```\\nprints\\n```\\n1\\n```")
    'print(1)\\n'
    """
    blocks = fenced(answer)
    python = [text for tag, text in blocks if tag.lower() in PYTHON]
    plain = [text for tag, text in blocks if not tag]
    return [answer, *plain, *python][-1]


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
