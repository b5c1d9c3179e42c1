"""What can be said of a GGUF file against the checkpoint that it was made from: from the files alone."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kt_resources.errors import QuantizeError
from kt_resources.quantizers.gguf_facts import file_facts

if TYPE_CHECKING:
    import numpy as np

    from kt_resources.generators.llama_cpp import LlamaCppEngine

WINDOW = 256
"""Most tokens of one held-out text that are read in one piece."""

DIGITS = 6
"""Decimals that are kept of a measured figure; the rest is rounding noise of the machine."""

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class ParityProbes:
    """What checkpoint and GGUF are compared on.

    Attributes:
        text: held-out text; paragraphs are parted by empty lines.
        num_tokens: tokens of ``text`` that logits are compared on, from its beginning.
        prompts: conversations that both answer.
        max_new_tokens: how long a greedy answer may be before it counts as endless.
    """

    text: str = ""
    num_tokens: int = 512
    prompts: Sequence[Messages] = ()
    max_new_tokens: int = 64

    @property
    def paragraphs(self) -> list[str]:
        return [paragraph for paragraph in self.text.split("\n\n") if paragraph.strip()]


@dataclass(frozen=True)
class Reference:
    """What the checkpoint says.

    Attributes:
        windows: token ids, each read by itself; of the text, or of the prompts where there is none.
        logits: of each window, float32 (tokens, vocabulary).
        answers: greedy answers to the prompts, without special tokens.
    """

    windows: list[list[int]]
    logits: list["np.ndarray"]
    answers: list[str]


def measure(checkpoint_dir: Path, gguf_file: Path, export_file: Path, probes: ParityProbes) -> dict[str, Any]:
    """One row of facts; a figure that was not measured or is no number is None.

    Each model is in memory by itself, the checkpoint in float32.

    Args:
        export_file: the GGUF before quantization, so that errors of export and of quantization are told apart.

    Raises:
        QuantizeError: there are prompts, and no chat template to ask them in.
    """
    from transformers import AutoTokenizer

    from kt_resources.generators.llama_cpp import LlamaCppEngine

    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint_dir)
    if probes.prompts and not tokenizer.chat_template:
        mend = "give the checkpoint a chat_template.jinja"
        raise QuantizeError("there is no chat template to ask the probe prompts in", where="model", mend=mend)
    reference = read_reference(checkpoint_dir, tokenizer, probes)
    exported = LlamaCppEngine(export_file)
    try:
        export_facts = distance_facts(reference, exported)
    finally:
        exported.close()
    engine = LlamaCppEngine(gguf_file)
    try:
        return {
            **file_facts(gguf_file),
            **tokenizer_facts(checkpoint_dir, tokenizer, engine, probes),
            **distance_facts(reference, engine),
            **answer_facts(reference, tokenizer, engine, probes),
            "f16_mean_kl": export_facts["mean_kl_to_checkpoint"],
        }
    finally:
        engine.close()


# -- the checkpoint


def read_reference(checkpoint_dir: Path, tokenizer: Any, probes: ParityProbes) -> Reference:
    """The checkpoint's logits and greedy answers, in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    from kt_resources.compute.precision import program_device
    from kt_resources.trainers.answers import greedy_answers

    device = program_device()
    model: Any = AutoModelForCausalLM.from_pretrained(checkpoint_dir, dtype=torch.float32).to(device).eval()
    windows = list(text_windows(tokenizer, probes)) or prompt_windows(tokenizer, probes)
    with torch.no_grad():
        logits = [model(input_ids=torch.tensor([ids], device=device)).logits[0].cpu().numpy() for ids in windows]
    answers = greedy_answers(model, tokenizer, probes.prompts, probes.max_new_tokens) if probes.prompts else []
    return Reference(windows, logits, [answer.text for answer in answers])


def text_windows(tokenizer: Any, probes: ParityProbes) -> Iterator[list[int]]:
    """The first ``num_tokens`` tokens of the text, paragraphs in pieces of ``WINDOW``; each piece begins as a text."""
    start, left = list(tokenizer("").input_ids), probes.num_tokens
    for paragraph in probes.paragraphs:
        ids = tokenizer(paragraph, add_special_tokens=False).input_ids[:left]
        left -= len(ids)
        for place in range(0, len(ids), WINDOW):
            yield [*start, *ids[place : place + WINDOW]]


def prompt_windows(tokenizer: Any, probes: ParityProbes) -> list[list[int]]:
    """The rendered prompts."""
    from kt_resources.trainers.answers import prompt_ids

    return [prompt_ids(tokenizer, prompt)[:WINDOW] for prompt in probes.prompts]


# -- tokenizer, template, stop tokens


def tokenizer_facts(
    checkpoint_dir: Path, tokenizer: Any, engine: "LlamaCppEngine", probes: ParityProbes
) -> dict[str, Any]:
    """Whether the file reads text, renders prompts and stops as the folder does."""
    from kt_resources.quantizers.vocabulary import stop_ids

    mismatches = sum(ours != theirs for ours, theirs in _tokenizations(tokenizer, engine, probes))
    stops = {tokenizer.eos_token_id, *stop_ids(checkpoint_dir)}
    return {
        "tokenizes_identically": mismatches == 0,
        "tokenization_mismatches": mismatches,
        "chat_template_identical": engine.model.metadata.get("tokenizer.chat_template") == tokenizer.chat_template,
        "eos_id_identical": engine.model.special_id("eos") == tokenizer.eos_token_id,
        "missing_stop_tokens": len(stops - engine.model.end_ids()),
    }


def _tokenizations(tokenizer: Any, engine: "LlamaCppEngine", probes: ParityProbes) -> Iterator[tuple[Any, Any]]:
    """Ids by the folder and by the file: of the text and its paragraphs, as they are and as inputs; of the prompts."""
    from kt_resources.trainers.answers import prompt_ids

    for text in [*probes.paragraphs, probes.text]:
        yield tokenizer(text, add_special_tokens=False).input_ids, engine.model.tokenize(text)
        yield tokenizer(text).input_ids, engine.model.tokenize(text, add_special=True)
    for prompt in probes.prompts:
        rendered = tokenizer.apply_chat_template(list(prompt), add_generation_prompt=True, tokenize=False)
        yield prompt_ids(tokenizer, prompt), engine.model.tokenize(rendered)


# -- logits


def distance_facts(reference: Reference, engine: "LlamaCppEngine") -> dict[str, Any]:
    """How far the GGUF's next-token distributions are from the checkpoint's.

    ``mean_kl_to_checkpoint`` is KL(checkpoint ‖ GGUF) in nats, ``top1_agreement`` the share of positions at which
    both rank the same token first; means over positions.
    """
    import numpy as np

    divergences, agreements, finite = [], [], True
    for ids, expected in zip(reference.windows, reference.logits, strict=True):
        found = engine.logits(ids)
        finite = finite and bool(np.isfinite(found).all())
        divergences.append(kl_divergence(expected, found))
        agreements.append(expected.argmax(-1) == found.argmax(-1))
    measured = bool(divergences)
    return {
        "finite": finite if measured else None,
        "mean_kl_to_checkpoint": _number(np.concatenate(divergences).mean()) if measured else None,
        "max_kl_to_checkpoint": _number(np.concatenate(divergences).max()) if measured else None,
        "top1_agreement": _number(np.concatenate(agreements).mean()) if measured else None,
        "num_compared_tokens": sum(map(len, reference.windows)),
    }


def kl_divergence(expected: "np.ndarray", found: "np.ndarray") -> "np.ndarray":
    """KL(expected ‖ found) of each row of logits (tokens, vocabulary), in nats; (tokens,)."""
    import numpy as np

    def log_softmax(logits: np.ndarray) -> np.ndarray:
        shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))

    one, other = log_softmax(expected), log_softmax(found)
    return (np.exp(one) * (one - other)).sum(-1)


def _number(value: Any) -> float | None:
    return round(float(value), DIGITS) + 0.0 if math.isfinite(value) else None


# -- answers


def answer_facts(
    reference: Reference, tokenizer: Any, engine: "LlamaCppEngine", probes: ParityProbes
) -> dict[str, float | int | None]:
    """Whether the file's greedy answers end by a token that llama.cpp stops at, and are the checkpoint's."""
    from kt_resources.generators.config import Sampling
    from kt_resources.trainers.answers import prompt_ids

    count = len(probes.prompts)
    if not count:
        return {"num_probes": 0, "stops_rate": None, "same_answers_rate": None}
    ids = [prompt_ids(tokenizer, prompt) for prompt in probes.prompts]
    found = engine.generate(ids, 1, Sampling(temperature=0, max_new_tokens=probes.max_new_tokens))
    texts = [tokenizer.decode(answer.token_ids, skip_special_tokens=True) for [answer] in found]
    same = sum(one == other for one, other in zip(texts, reference.answers, strict=True))
    return {
        "num_probes": count,
        "stops_rate": _number(sum(answer.finished for [answer] in found) / count),
        "same_answers_rate": _number(same / count),
    }
