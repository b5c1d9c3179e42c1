"""Held-out rows become lm-eval tasks: a folder that ``lm_eval --include_path <folder> --tasks <family>`` runs."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from kt_resources.errors import DataError
from kt_resources.store.rows import row_id
from kt_resources.verifiers import VerifierConfig

SCORER = '''\
"""Loads this task's items and scores answers with the recipe's verifier (``verifier.json``)."""

import functools
import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def items(**_):
    """The task's items, as lm-eval takes them; read from beside this file wherever lm-eval is started."""
    import datasets

    rows = [json.loads(line) for line in (FOLDER / "items.jsonl").read_text(encoding="utf-8").splitlines()]
    return {"test": datasets.Dataset.from_list(rows)}


@functools.cache
def verifiers():
    """The recipe's verifier, and the lenient one, which reads an answer in whatever form it comes."""
    from pydantic import TypeAdapter

    from kt_resources.verifiers import Verifier, build_verifier, lenient_verifier

    config = TypeAdapter(Verifier).validate_json((FOLDER / "verifier.json").read_text())
    words = {answer for answer in items()["test"]["answer"] if any(map(str.isalpha, answer))}
    return build_verifier(config), lenient_verifier(config, words)


def process_results(doc, results):
    """The verifier's score of the answer, strictly and leniently read, both in [0, 1]."""
    strict, lenient = (score(results[0], doc) for score in verifiers())
    return {"score": strict, "lenient_score": max(strict, lenient)}
'''

COLUMNS = ("id", "source", "family", "answer", "verification", "origin")


def write_tasks(rows: Iterable[Mapping[str, Any]], verifier: VerifierConfig, folder: Path, max_new_tokens: int) -> dict:
    """Write one lm-eval task a family under ``folder/<family>/``; the number of items by family.

    Args:
        rows: example rows with ``prompt`` (at most a system message, then one user message), ``answer``,
            ``verification`` and ``family``.
        verifier: scores the answers; with type ``none`` an answer counts where it equals the item's answer exactly.
        max_new_tokens: longest answer where lm-eval is started by hand; the evaluation's own option goes before it.

    Raises:
        DataError: a prompt that is no single question, a family that is no file name, or two items with one id.
    """
    families: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault(_family(row), []).append(item_of(row))
    if not families:
        raise DataError("there are no held-out rows", where="eval_tasks", mend="give eval_tasks at least one family")
    for family, items in sorted(families.items()):
        _refuse_repeats(items, family)
        _write_task(folder / family, family, items, verifier, max_new_tokens)
    return {family: len(items) for family, items in sorted(families.items())}


def item_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """One line of ``items.jsonl``: ``system`` and ``question`` in place of the messages, the rest as it is.

    ``reference`` is the whole answer that the row gives: its completion, or its answer where it has none.
    """
    messages = list(row["prompt"])
    roles = [message["role"] for message in messages]
    if roles not in (["user"], ["system", "user"]):
        mend = "give held-out rows one user message, after a system message or alone"
        raise DataError(f"its prompt has the roles {', '.join(roles) or 'none'}", where=_place(row), mend=mend)
    system = messages[0]["content"] if len(messages) == 2 else ""
    item = {name: row.get(name) for name in COLUMNS} | {"system": system, "question": messages[-1]["content"]}
    item["answer"] = item["answer"] or ""
    item["verification"] = item["verification"] or ""
    item["reference"] = row.get("completion") or item["answer"]
    return item


def question_id(item: Mapping[str, Any]) -> str:
    """The id of what is asked, whatever the answer."""
    return row_id(item["system"], item["question"])


def _family(row: Mapping[str, Any]) -> str:
    family = str(row["family"] or "")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", family):
        mend = "name families with letters, digits, '_', '.' and '-'"
        raise DataError(f"family {family!r} cannot name a task", where=_place(row), mend=mend)
    return family


def _place(row: Mapping[str, Any]) -> str:
    return f"held-out row {row.get('id', '?')} ({row.get('origin') or 'origin unknown'})"


def _refuse_repeats(items: Sequence[Mapping[str, Any]], family: str) -> None:
    seen: dict[str, str] = {}
    for item in items:
        key = question_id(item)
        if key in seen:
            mend = "keep one of them: an item that counts twice bends every interval"
            what = f"items {seen[key]} and {item['id']} ask the same"
            raise DataError(what, where=f"eval_tasks: {family}", mend=mend)
        seen[key] = item["id"]


def _write_task(folder: Path, family: str, items: list[dict], verifier: VerifierConfig, max_new_tokens: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{family}.yaml").write_text(task_yaml(family, max_new_tokens))
    (folder / "scorer.py").write_text(SCORER)
    scored_by = verifier.model_dump(mode="json")
    if scored_by["type"] == "none":
        scored_by = {"type": "exact", "answer_marker": None}
    (folder / "verifier.json").write_text(json.dumps(scored_by, indent=2, sort_keys=True) + "\n")
    lines = (json.dumps(item, ensure_ascii=False, sort_keys=True) for item in items)
    (folder / "items.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def task_yaml(family: str, max_new_tokens: int) -> str:
    """The task's YAML. ``until`` is empty: an answer ends where the model ends it, at its stop token."""
    head = {"task": family, "output_type": "generate_until", "test_split": "test"}
    functions = "custom_dataset: !function scorer.items\nprocess_results: !function scorer.process_results\n"
    texts = {"description": "system", "doc_to_text": "question", "doc_to_target": "answer", "num_fewshot": 0}
    generation = {"until": [], "do_sample": False, "temperature": 0.0, "max_gen_toks": max_new_tokens}
    names = ("score", "lenient_score")
    metrics = [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in names]
    tail = {"generation_kwargs": generation, "metric_list": metrics, "metadata": {"version": 2.0}}
    first, last = (yaml.safe_dump(part, sort_keys=False) for part in (head, texts | tail))
    return first + functions + last
