"""A probe of general ability: sentences to finish, as an lm-eval task of multiple choice by log-likelihood.

What a model knew before training, and forgot, shows here beside the perplexity of general text. The items stand in
``general_ability.yaml`` and were written for this project.
"""

import json
from pathlib import Path

import yaml

from kt_resources.store.rows import row_id

NAME = "general_ability"

TASK = """\
task: general_ability
custom_dataset: !function probe.items
test_split: test
output_type: multiple_choice
doc_to_text: text
doc_to_choice: choices
doc_to_target: target
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
metadata: {version: 1.0}
"""

PROBE = '''\
"""Loads the probe's items from beside this file, wherever lm-eval is started."""

import json
from pathlib import Path


def items(**_):
    import datasets

    lines = (Path(__file__).resolve().parent / "items.jsonl").read_text(encoding="utf-8").splitlines()
    return {"test": datasets.Dataset.from_list([json.loads(line) for line in lines])}
'''


def probe_items() -> list[dict]:
    """Rows ``id, text, choices, target``: the text goes on with ``choices[target]``.

    The right choice stands at another place from item to item, so that none is favoured where two are equally likely.
    """
    written = yaml.safe_load((Path(__file__).parent / f"{NAME}.yaml").read_text(encoding="utf-8"))
    items = []
    for index, (text, words) in enumerate(written.items()):
        target = index % len(words)
        choices = [*words[1:][:target], words[0], *words[1:][target:]]
        items.append({"id": row_id(text, *words), "text": text, "choices": choices, "target": target})
    return items


def write_probe(folder: Path) -> int:
    """Write the task into ``folder``; the number of items. ``lm_eval --include_path <folder>`` runs it by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    items = probe_items()
    (folder / f"{NAME}.yaml").write_text(TASK)
    (folder / "probe.py").write_text(PROBE)
    lines = (json.dumps(item, ensure_ascii=False, sort_keys=True) for item in items)
    (folder / "items.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return len(items)
