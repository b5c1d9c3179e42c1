"""A draft becomes files: the recipe with its comments, and a scorer where the answers ask for one."""

import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from kt_assets.cli.init.draft import PURPOSES, SCORER, Draft
from kt_assets.cli.validate import check_line
from kt_assets.line import Line, build_line
from kt_assets.sources.look import Seen
from kt_resources.contracts.contract import load_contracts
from kt_resources.errors import KtError
from kt_resources.recipes.loading import RECIPE, load_recipe


def write_recipe(draft: Draft, folder: Path, force: bool) -> Line:
    """Write the recipe of ``draft`` into ``folder`` and check it as ``kt validate`` does; the line that it describes.

    A scorer that is there already is kept. Where the check fails nothing is left of what was written.

    Raises:
        KtError: what ``kt validate`` would say.
    """
    there_before = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    path, scorer = folder / RECIPE, folder / SCORER
    before = path.read_text(encoding="utf-8") if path.exists() and force else None
    path.write_text(rendered(draft, folder), encoding="utf-8")
    if draft.writes_scorer and not scorer.exists():
        scorer.write_text(_template("rewards.py.j2").render(), encoding="utf-8")
    try:
        line = build_line(load_recipe(path), load_contracts(), folder)
        check_line(line)
    except KtError:
        _undo(folder, path, before, there_before)
        raise
    return line


def rendered(draft: Draft, folder: Path) -> str:
    """The recipe as text; paths of files count from its ``folder``."""
    omitted = next((f"no GRPO: {reason.why}" for reason in draft.reasons if reason.what == "no grpo"), "")
    sources = [
        {"config": _source(name, seen, draft, folder), "comment": _comment(seen)} for name, seen in draft.rows.items()
    ]
    return _template("recipe.yaml.j2").render(draft=draft, sources=sources, omitted=omitted)


def _source(name: str, seen: Seen, draft: Draft, folder: Path) -> dict[str, Any]:
    source: dict[str, Any] = {"name": name, "type": "file", "path": os.path.relpath(seen.path, folder)}
    if PURPOSES[seen.kind] != "train":
        source["purpose"] = PURPOSES[seen.kind]
    if draft.license:
        source["license"] = draft.license
    return source | ({"on_bad_row": "set_aside"} if seen.num_bad else {})


def _comment(seen: Seen) -> str:
    told = f"{seen.num_rows} {seen.kind}, {seen.num_prompts} distinct prompts"
    if seen.answers != "none":
        told += f", answers: {seen.answers}"
    return f"{told}; {seen.num_bad} rows cannot be used: {seen.first_bad}" if seen.num_bad else told


def _template(name: str) -> Any:
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters["yaml"] = _flow
    return environment.get_template(name)


def _flow(value: Any) -> str:
    """``value`` as YAML on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _undo(folder: Path, path: Path, before: str | None, there_before: bool) -> None:
    if not there_before:
        shutil.rmtree(folder)
    elif before is not None:
        path.write_text(before, encoding="utf-8")
    else:
        path.unlink()
