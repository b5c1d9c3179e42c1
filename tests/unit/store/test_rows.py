"""Row ids depend on normalized content alone."""

import hashlib

from kt_resources.store.rows import normalized, row_id


def test_white_space_and_unicode_form_do_not_count() -> None:
    assert normalized("  a \n\t b ") == "a b"
    assert row_id("Cafe\u0301  au lait") == row_id("Caf\u00e9 au lait")


def test_parts_are_kept_apart() -> None:
    assert row_id("a b", "c") != row_id("a", "b c")


def test_the_id_is_the_start_of_a_sha256() -> None:
    assert row_id("a", "b") == hashlib.sha256(b"a\x1fb").hexdigest()[:16]
