from kt_resources.evaluators.passages import count_words, passages

TEXT = "\n\n".join(f"paragraph {number} " + "word " * 48 for number in range(10))


def test_paragraphs_are_joined_and_stay_whole():
    parts = passages(TEXT, max_words=500, words_each=100)
    # Ten paragraphs of 50 words: five passages of two.
    assert count_words(parts) == [100] * 5
    assert parts[0].startswith("paragraph 0")
    assert "paragraph 1 " in parts[0]


def test_the_limit_ends_before_the_paragraph_that_would_pass_it():
    assert sum(count_words(passages(TEXT, max_words=260, words_each=100))) == 250


def test_a_short_text_is_one_passage_and_an_empty_one_none():
    assert passages("A few words.", 100) == ["A few words."]
    assert passages(" \n\n ", 100) == []
