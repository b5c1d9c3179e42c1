"""Whether a base model has a chat template is told from its files, before anything loads it."""

import json
from pathlib import Path

import pytest

from kt_resources.bases.locate import check_template
from kt_resources.errors import RecipeError


def test_a_template_in_a_file_of_its_own_or_in_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    check_template(tmp_path, None)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    check_template(tmp_path, None)


def test_a_model_without_one_is_refused_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(RecipeError, match="no chat template") as error:
        check_template(tmp_path, None)
    assert str(tmp_path) in error.value.where and "chat_template.jinja" in error.value.mend


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"not a GGUF file" * 10)
    with pytest.raises(RecipeError, match="no whole GGUF file"):
        check_template(tmp_path, "model.gguf")
