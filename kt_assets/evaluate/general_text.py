"""General text on which perplexity is measured: what a model forgets shows there first.

The text is *In the Year 2889* (Michel and Jules Verne, 1889), public domain in the United States and elsewhere, from
Project Gutenberg (eBook 19362); the package ``reasoning-gym`` carries it.
"""

LICENCE = "Public domain: In the Year 2889, M. and J. Verne (1889), Project Gutenberg eBook 19362"
START, END = "*** START OF", ("*** END OF", "End of Project Gutenberg")


def general_text(max_chars: int | None = None) -> str:
    """The story without Project Gutenberg's frame, paragraphs on one line each and a blank line between them.

    Args:
        max_chars: keep whole paragraphs up to so many characters (at least the first one); all where None.
    """
    from reasoning_gym.data import read_data_file

    return story(read_data_file("in_the_year_2889.txt"), max_chars)


def story(book: str, max_chars: int | None = None) -> str:
    """The paragraphs of at least 12 words between Project Gutenberg's markers; see :func:`general_text`."""
    lines = book.splitlines()
    start = next((i + 1 for i, line in enumerate(lines) if line.startswith(START)), 0)
    end = next((i for i, line in enumerate(lines) if line.startswith(END)), len(lines))
    blocks = "\n".join(lines[start:end]).split("\n\n")
    paragraphs = [" ".join(block.split()) for block in blocks]
    prose = [paragraph for paragraph in paragraphs if len(paragraph.split()) >= 12 and not paragraph.startswith("[")]
    kept: list[str] = []
    length = 0
    for paragraph in prose:
        length += len(paragraph) + 2
        if kept and max_chars is not None and length > max_chars:
            break
        kept.append(paragraph)
    return "\n\n".join(kept) + "\n"
