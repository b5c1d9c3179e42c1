"""The class of model that a checkpoint folder holds: one that answers, or one that scores answers.

A reward model is a language model's body under a head of one number. It starts from a folder of that form, so that
training, merging of its adapter, saving and measuring need not know the difference.
"""

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kt_resources.errors import TrainingError
from kt_resources.trainers.saving import WEIGHT_INDEX, copy_all_but_weights, read_tensor, tensors, weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SCORER = "ForSequenceClassification"
HEAD = "score.weight"
"""The head's one tensor, (1, hidden size), as transformers' decoder families name it."""

OUTPUT_HEADS = ("lm_head.", "embed_out.")
"""How the checkpoint's names of a language model's head begin, GPT-NeoX's last."""


def scores(folder: Path) -> bool:
    """Whether the checkpoint in ``folder`` gives a number for a text (a reward model) in place of answering it."""
    architectures = json.loads((folder / "config.json").read_text()).get("architectures") or [""]
    return architectures[0].endswith(SCORER)


def load_model(folder: Path, **arguments: Any) -> "PreTrainedModel":
    """The checkpoint in ``folder`` as the class that its config names."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    kind = AutoModelForSequenceClassification if scores(folder) else AutoModelForCausalLM
    return kind.from_pretrained(folder, **arguments)


def write_reward_model(language_model: Path, folder: Path) -> Path:
    """``folder`` with the language model's body under a head of zeros: at first every answer scores 0.

    Whole once it stands, on several processes too; what stands there already is left.

    Raises:
        TrainingError: the model's family has no such head in transformers.
    """
    if folder.is_dir():
        return folder
    part = folder.with_name(f"{folder.name}.{os.environ.get('RANK', '0')}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    copy_all_but_weights(language_model, part)
    config = _config(language_model)
    (part / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    _write_weights(language_model, part, config["hidden_size"])
    try:
        os.replace(part, folder)
    except OSError:  # another process was first
        shutil.rmtree(part)
    return folder


def _config(language_model: Path) -> dict[str, Any]:
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    config: dict[str, Any] = json.loads((language_model / "config.json").read_text())
    family = type(AutoConfig.from_pretrained(language_model))
    if family not in AutoModelForSequenceClassification._model_mapping:
        raise TrainingError(
            f"a model of the family {config['model_type']} has no head that scores",
            where=str(language_model),
            mend="start the reward model from a base model of another family",
        )
    pad = AutoTokenizer.from_pretrained(language_model).pad_token_id  # as TRL's trainer takes it: what is last is read
    stop = config["eos_token_id"] if isinstance(config["eos_token_id"], int) else config["eos_token_id"][0]
    return config | {
        "architectures": [AutoModelForSequenceClassification._model_mapping[family].__name__],
        "id2label": {"0": "reward"},
        "label2id": {"reward": 0},
        "pad_token_id": stop if pad is None else pad,
    }


def _write_weights(language_model: Path, folder: Path, hidden_size: int) -> None:
    """The language model's files without its output head, the new head in the last of them."""
    import torch
    from safetensors.torch import save_file

    stored, files = tensors(language_model), weight_files(language_model)
    for file in files:
        names = [name for name, place in stored.items() if place == file and not name.startswith(OUTPUT_HEADS)]
        weights = {name: read_tensor(file, name) for name in names}
        if file == files[-1]:
            weights[HEAD] = torch.zeros(1, hidden_size, dtype=next(iter(weights.values())).dtype)
        save_file(weights, folder / file.name, metadata={"format": "pt"})
    if len(files) > 1:
        index = {name: file.name for name, file in tensors(folder).items()}
        (folder / WEIGHT_INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index}, indent=2) + "\n")
