"""A base model becomes a checkpoint folder that loads, has a chat template and answers."""

import shutil
from pathlib import Path
from typing import Any

from kt_resources.bases.locate import NO_TEMPLATE, TEMPLATE_MEND, locate
from kt_resources.bases.spec import BaseSpec
from kt_resources.compute.program import Progress
from kt_resources.errors import DataError
from kt_resources.recipes.base_model import RandomModel


def load_base(spec: BaseSpec, progress: Progress) -> dict[str, Any]:
    """Write ``out_dir/model`` and ``facts.json``; the facts say what the checkpoint is and what it answered."""
    from kt_resources.compute.program import write_json

    target = spec.out_dir / "model"
    progress.report(0, 2, "loading the base model")
    if isinstance(spec.source, RandomModel):
        from kt_resources.trainers.tiny import make_tiny_model

        make_tiny_model(target, seed=spec.source.seed)
    else:
        folder, gguf_file = locate(spec.source)
        if gguf_file is None:
            copy_checkpoint(folder, target)
        else:
            dequantize(folder, gguf_file, target)
    progress.report(1, 2, "asking it")
    facts = measure_base(target, spec.probe, spec.max_new_tokens) | {"license": spec.source.license}
    write_json(spec.out_dir / "facts.json", facts)
    progress.report(2, 2, "base model")
    return facts


def copy_checkpoint(folder: Path, target: Path) -> None:
    """Copy a checkpoint's files: weights as safetensors, configuration, tokenizer; nothing that runs code."""
    names = [path for path in folder.iterdir() if path.suffix in {".json", ".safetensors", ".model", ".jinja", ".txt"}]
    if not any(path.suffix == ".safetensors" for path in names):
        mend = "save the model with safetensors; pickled weights are not read"
        raise DataError("has no .safetensors weights", where=str(folder), mend=mend)
    target.mkdir(parents=True)
    for path in names:
        shutil.copy(path, target / path.name)


def dequantize(folder: Path, gguf_file: str, target: Path) -> None:
    """Load a GGUF with transformers, in float32, and save it as a plain checkpoint."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf_file)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf_file, dtype=torch.float32)
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    restore_digit_split(tokenizer, folder / gguf_file)
    tokenizer.save_pretrained(target)


def restore_digit_split(tokenizer: Any, gguf_file: Path) -> None:
    """Give a tokenizer read from a GGUF back the split of numbers into digits, where the file asks for it.

    transformers reads vocabulary and merges from a GGUF but not the pre-tokenizer that ``tokenizer.ggml.pre`` names;
    SmolLM's (``smollm``) cuts every digit off by itself before the byte-level split.
    """
    from tokenizers import pre_tokenizers

    from kt_resources.bases.gguf_file import GgufFile

    named = GgufFile(gguf_file).get_field("tokenizer.ggml.pre")
    if named is None or named.contents() != "smollm":
        return
    digits = pre_tokenizers.Digits(individual_digits=True)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])


def measure_base(folder: Path, probe: str, max_new_tokens: int) -> dict[str, Any]:
    """Facts of a checkpoint, read from disk: architecture, size, template, tokens, and its answer to ``probe``."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if not tokenizer.chat_template:
        raise DataError(NO_TEMPLATE, where="base_model", mend=TEMPLATE_MEND)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    messages = [{"role": "user", "content": probe}]
    encoded = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        finite = bool(torch.isfinite(model(**encoded).logits).all())
        ids = model.generate(
            **encoded, max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=tokenizer.eos_token_id
        )
    answer_ids = ids[0, encoded["input_ids"].shape[1] :].tolist()
    return {
        "architecture": model.config.architectures[0],
        "num_parameters": model.num_parameters(),
        "vocab_size": model.config.vocab_size,
        "dtype": str(model.dtype).removeprefix("torch."),
        "tied_embeddings": bool(model.config.tie_word_embeddings),
        "has_chat_template": True,
        "eos_token": tokenizer.eos_token,
        "has_eos_token": tokenizer.eos_token_id is not None,
        "logits_finite": finite,
        "probe": probe,
        "answer": tokenizer.decode(answer_ids, skip_special_tokens=True),
        "num_answer_tokens": len(answer_ids),
    }
