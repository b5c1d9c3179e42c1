"""Each filter keeps what it should and names why it drops the rest."""

import pytest

from kt_assets.curation.decontaminate import Decontaminator, informative_ngrams
from kt_assets.curation.duplicates import ExactDuplicates, NearDuplicateFilter, PurposesApart
from kt_assets.curation.emails import has_email, mask_row, mask_text
from kt_assets.curation.heuristics import alphanumeric_fraction, check_heuristics, repeated_line_fraction
from kt_assets.curation.length import check_length
from kt_assets.curation.normalize import normalize_row, normalize_text
from kt_assets.curation.words import contains, ngrams_of, numbers_of, words_of
from kt_resources.recipes.data import Decontamination, Heuristics, NearDuplicates
from kt_resources.store.schemas import example_row

RIVER = "The old mill by the river ground wheat for the whole valley until the dam broke in a stormy spring night"


def row(question, completion="ok", **more):
    return example_row([{"role": "user", "content": question}], completion, **({"source": "s", "origin": "o"} | more))


# words


def test_words_keep_operators_and_leave_punctuation():
    assert words_of("What is 12 + 34, please?") == ["what", "is", "12", "+", "34", "please"]
    assert numbers_of(words_of("What is 12 - 34?")) == ("12", "-", "34")
    assert numbers_of(words_of("a well-known fact")) == ()


def test_ngrams_and_runs():
    assert ngrams_of(["a", "b", "c"], 2) == [("a", "b"), ("b", "c")]
    assert ngrams_of(["a"], 2) == [("a",)]
    assert contains(("1", "2", "3"), ("2", "3")) and contains(("1",), ())
    assert not contains(("1", "2", "3"), ("1", "3"))


# normalize


def test_one_form_for_the_same_text():
    assert normalize_text("cafe\u0301\u200b \r\n  x\x00\t\n") == "café\n  x"


def test_a_row_that_changes_is_a_child_of_the_old_one():
    old = row("a\u200bb")
    assert normalize_row(old)["parents"] == [old["id"]]
    assert normalize_row(row(" ab "))["parents"] == []


# heuristics


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (row("  "), "short_prompt"),
        (row("abc", " "), "short_completion"),
        (row("abc", "x" * 60), "too_many_characters"),
        (row("abc", "la\nla\nla\nla"), "repeated_lines"),
        (row("abc", "!?!?!?!?!?!?!?!?!?!"), "not_alphanumeric"),
    ],
)
def test_heuristics_name_their_reason(given, reason):
    assert check_heuristics(given, Heuristics(max_chars=50)).reason == reason


def test_good_rows_and_prompt_rows_pass():
    assert check_heuristics(row("What is 2 + 3?", "#### 5"), Heuristics()) is None
    assert check_heuristics(row("What is 2 + 3?", None), Heuristics()) is None


def test_fractions():
    assert repeated_line_fraction("a\nb\na\n\na") == 0.5  # 2 of 4 lines repeat an earlier one
    assert repeated_line_fraction("a\na\na") == 0.0  # fewer than four lines
    assert alphanumeric_fraction("ab 1!") == 0.75  # a, b, 1 of a, b, 1, !
    assert alphanumeric_fraction(" ") == 0.0


# e-mail


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to a.b+c@mail.example.co.uk.", "write to <email>."),
        ("<jo@example.com>,sue@example.org", "<<email>>,<email>"),
        ("müller@exämple.de", "<email>"),
        ("@handle, a@b, 3 @ 4, user@localhost", None),
    ],
)
def test_addresses_are_masked_and_nothing_else(text, masked):
    assert mask_text(text)[0] == (text if masked is None else masked)
    assert has_email(text) == (masked is not None)
    assert not has_email(mask_text(text)[0])


def test_a_masked_row_keeps_its_old_id_as_parent():
    old = row("I am ada@example.com", "Hi bob@example.com", answer="ada@example.com")
    new, count = mask_row(old)
    assert (count, new["parents"]) == (2, [old["id"]])
    assert (new["completion"], new["answer"]) == ("Hi <email>", "<email>")
    assert mask_row(row("none"))[1] == 0


# duplicates


def test_exact_duplicates_name_the_first():
    keep = ExactDuplicates()
    assert keep(row("a b", "c", origin="x:1")) is None
    assert keep(row("a b", "d")) is None
    drop = keep(row(" a  b", "c ", source="other"))
    assert (drop.reason, drop.detail) == ("exact_duplicate", f"same as {row('a b', 'c')['id']} (x:1)")


def near(rows, **options):
    decide = NearDuplicateFilter(NearDuplicates(**options), rows)
    return [decide(one) is None for one in rows]


def test_near_duplicates_are_found_and_name_their_twin():
    rows = [row(RIVER), row(f"Well, {RIVER}!"), row(RIVER.replace("river", "lake").replace("wheat", "rye"))]
    decide = NearDuplicateFilter(NearDuplicates(), rows)
    assert decide(rows[0]) is None
    # 19 shingles of the prompt and 1 of the answer are shared, one is new: 20 / 21
    assert (drop := decide(rows[1])).reason == "near_duplicate"
    assert drop.detail == f"0.95 similar to {rows[0]['id']}"
    assert decide(rows[2]) is None  # two words of twenty changed break six shingles


def test_rows_of_one_template_with_other_numbers_are_no_duplicates():
    ask = "State the final answer to the following arithmetic problem, which a pupil has to solve in the head: {} ="
    rows = [row(ask.format(sum_)) for sum_ in ("12 + 34", "12 - 34", "34 + 12", "12 + 34 + 5")]
    assert near(rows) == [True] * 4
    assert near([*rows, row("Please: " + ask.format("12 + 34"))]) == [True] * 4 + [False]


def test_rows_with_other_ground_truth_are_no_duplicates():
    rows = [row(RIVER, None, answer="a"), row(f"Well, {RIVER}", None, answer="b")]
    assert near(rows) == [True, True]
    assert near([rows[0], rows[1] | {"answer": "a"}]) == [True, False]


def test_the_threshold_is_that_of_the_sets():
    rows = [row(RIVER), row(f"Well, {RIVER}")]
    assert near(rows, threshold=0.95) == [True, False]
    assert near(rows, threshold=0.96) == [True, True]  # 20 / 21 = 0.952


def test_no_prompt_serves_two_purposes_and_the_smaller_one_keeps_it():
    both = [row("2 + 3", "x", source="a"), row("2 + 3", "y", source="b"), row("2 +  3", None, source="c")]
    own = [row("2 + 4", "x", source="a"), row("2 + 5", None, source="c")]
    apart = PurposesApart({"a": "train", "b": "train", "c": "rl"}, [*both, *own])  # 3 rows of train, 2 of rl
    assert [apart(one) is None for one in [*both, *own]] == [False, False, True, True, True]
    assert (drop := apart(both[0])).reason == "prompt_of_other_purpose"
    assert drop.detail == f"rl row {both[2]['id']}"


# decontamination

GCD = "Find the Greatest Common Divisor (GCD) of these numbers: {}. Give only the GCD as your final answer."
ITEMS = [row(GCD.format(f"{n}, {n + 61}"), None) for n in range(100, 140)]


def verdict(question, items=ITEMS, config=None):
    drop = Decontaminator(items, config or Decontamination())(row(question))
    return drop and drop.reason


def test_the_very_prompt_goes_whatever_its_case_and_blanks():
    assert verdict(GCD.format("100,  161").upper()) == "in_evaluation_set"
    assert Decontaminator(ITEMS, None)(row(GCD.format("100, 161"))).reason == "in_evaluation_set"


def test_a_reworded_item_goes_and_is_named():
    drop = Decontaminator(ITEMS, Decontamination())(row("Please help me. " + GCD.format("100, 161") + " Thanks!"))
    assert (drop.reason, drop.detail) == ("overlaps_evaluation", f"100% of the n-grams of {ITEMS[0]['id']} (o)")


@pytest.mark.parametrize("numbers", ["7, 9", "100, 7", "7, 161", "161, 100", "100, 162"])
def test_another_task_of_the_template_stays(numbers):
    assert verdict(GCD.format(numbers)) is None


def test_a_naive_rule_would_remove_the_whole_template():
    # without the document frequency every n-gram tells, and the numbers alone hold the row
    naive = Decontamination(max_document_frequency=1.0, overlap=0.2)
    decide = Decontaminator(ITEMS, naive)
    decide._numbers = [()] * len(ITEMS)
    assert decide(row(GCD.format("7, 9"))).reason == "overlaps_evaluation"


def test_the_templates_ngrams_tell_nothing():
    words = [words_of(GCD.format(numbers)) for numbers in ("100, 161", "101, 162", "102, 163")]
    informative = informative_ngrams(words, Decontamination(ngram=8, max_document_frequency=0.02))
    # 19 words; the numbers are the 10th and 11th: of 12 windows of eight, those that begin at the 3rd to 11th hold one
    assert [len(own) for own in informative] == [9, 9, 9]
    assert all({"100", "161"} & set(ngram) for ngram in informative[0])


def test_plain_text_quoted_in_a_longer_prompt_goes():
    items = [row(RIVER, None), row("Something else entirely that nobody ever asks about twice in one life", None)]
    half = " ".join(RIVER.split()[:14])
    assert verdict(f"Continue this story about 1920. {RIVER} What happened next?", items) == "overlaps_evaluation"
    assert verdict(f"My own tale. {half}", items) is None  # 7 of 14 n-grams, 0.6 are needed
    assert verdict(f"My own tale. {half}", items, Decontamination(overlap=0.5)) == "overlaps_evaluation"


def test_an_item_shorter_than_an_ngram_counts_as_one():
    items = [row("2 + 3 =", None)]
    assert verdict("Please solve 2 + 3 = now", items) == "overlaps_evaluation"
    assert verdict("Please solve 2 + 4 = now", items) is None


# length


def test_length_by_the_given_tokenizer():
    assert check_length(row("a b c"), lambda r: 3, 3) is None
    assert check_length(row("a b c"), lambda r: 4, 3).detail == "4 tokens, 3 allowed"
