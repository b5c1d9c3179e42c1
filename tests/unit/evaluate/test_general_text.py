from kt_assets.evaluate.general_text import general_text, story

BOOK = """Licence of the site.
*** START OF THE BOOK ***
A TITLE

This paragraph has more than twelve words, and it is broken
over two lines of text as books are.

"Short speech."

Another paragraph that has more than twelve words in it, which therefore is kept as well.

End of Project Gutenberg's Book, which is a sentence of more than twelve words in all its length.
*** END OF THE BOOK ***
More licence of the site, a paragraph that has many more than twelve words and must not be read.
"""


def test_only_the_prose_between_the_markers_is_left():
    text = story(BOOK)
    assert text.startswith("This paragraph has more than twelve words, and it is broken over two lines")
    assert text.count("\n\n") == 1
    for left_out in ("A TITLE", "Short speech", "End of Project", "licence"):
        assert left_out not in text


def test_whole_paragraphs_up_to_the_limit_and_at_least_one():
    first = story(BOOK, max_chars=1)
    assert first == story(BOOK, max_chars=120)
    assert first.endswith("as books are.\n")


def test_the_package_carries_the_story():
    text = general_text()
    assert 25_000 < len(text) < 40_000
    assert "Gutenberg" not in text
    assert len(general_text(max_chars=2000)) <= 2001
