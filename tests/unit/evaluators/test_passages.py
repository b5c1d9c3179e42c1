from kt_resources.evaluators.passages import count_words, passages, sentences

SENTENCE = "This sentence has just ten words, as you can count."
TEXT = "\n\n".join(" ".join([SENTENCE] * 15) for _ in range(2))


def test_sentences_are_joined_and_stay_whole():
    parts = passages(TEXT, max_words=1000, words_each=60)
    # Two paragraphs of 150 words: five passages of six sentences.
    assert count_words(parts) == [60] * 5
    assert all(part.startswith("This sentence") and part.endswith("can count.") for part in parts)


def test_the_limit_ends_before_the_sentence_that_would_pass_it_and_the_rest_joins_the_last_passage():
    # 25 sentences fit into 255 words: four passages of six, and one sentence more in the last.
    assert count_words(passages(TEXT, max_words=255, words_each=60)) == [60, 60, 60, 70]


def test_a_short_text_is_one_passage_and_an_empty_one_none():
    assert passages("A few words.", 100) == ["A few words."]
    assert passages(" \n\n ", 100) == []


def test_a_quotation_mark_stays_with_its_sentence():
    assert sentences('"Go!" he said.  "Now?" Yes.') == ['"Go!"', "he said.", '"Now?"', "Yes."]
