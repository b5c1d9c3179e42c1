"""The transformers engine: batched ``generate`` on whatever device there is, of any model, with any adapter."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kt_resources.errors import GenerationError
from kt_resources.generators.config import Sampling
from kt_resources.generators.draw import Draw
from kt_resources.generators.engine import Completion, OnProgress, Prompt, prompt_ids
from kt_resources.generators.scoring import log_softmax_at
from kt_resources.generators.tokenizers import FolderTokenizer

if TYPE_CHECKING:
    import numpy as np
    import torch


class TransformersEngine:
    """Generates with transformers from a checkpoint folder, with an adapter on it where one is given.

    Attributes:
        batch_size: completions in one batch; batches hold prompts of like length, padded on the left.
    """

    def __init__(
        self, folder: Path, batch_size: int = 32, device: str | None = None, adapter_dir: Path | None = None
    ) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self.folder, self.batch_size = folder, batch_size
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer = FolderTokenizer(folder)
        model: Any = AutoModelForCausalLM.from_pretrained(folder)
        if adapter_dir:
            from kt_resources.trainers.adapted import load_adapted

            model = load_adapted(model, adapter_dir)
        self.model: Any = model.to(self.device).eval()

    def close(self) -> None:
        self.model = None

    def generate(
        self,
        prompts: Sequence[Prompt],
        n: int,
        sampling: Sampling,
        first_index: int = 0,
        on_progress: OnProgress | None = None,
    ) -> list[list[Completion]]:
        if sampling.grammar is not None:
            raise GenerationError("transformers knows no grammars", where="sampling.grammar", mend="use llama_cpp")
        ids = [prompt_ids(self.tokenizer, prompt) for prompt in prompts]
        order = sorted(((p, s) for p in range(len(ids)) for s in range(n)), key=lambda key: len(ids[key[0]]))
        found: dict[tuple[int, int], Completion] = {}
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            draws = [Draw(sampling, first_index + prompt, index) for prompt, index in batch]
            answers = self._answer([ids[prompt] for prompt, _ in batch], draws, sampling.max_new_tokens)
            found |= dict(zip(batch, answers, strict=True))
            if on_progress:
                on_progress(len(found), len(order), sum(answer.num_tokens for answer in found.values()))
        return [[found[prompt, index] for index in range(n)] for prompt in range(len(ids))]

    def logits(self, token_ids: Sequence[int]) -> "np.ndarray":
        import torch

        with torch.inference_mode():
            return self.model(torch.tensor([list(token_ids)], device=self.device)).logits[0].float().cpu().numpy()

    def logits_each(self, asked: Sequence[tuple[Sequence[int], int]]) -> Iterator["np.ndarray"]:
        return (self.logits(ids)[start:] for ids, start in asked)

    def token_logprobs(self, token_ids: Sequence[int]) -> "np.ndarray":
        return log_softmax_at(self.logits(token_ids)[:-1], token_ids[1:])

    def _answer(self, batch: list[list[int]], draws: list[Draw], max_new_tokens: int) -> list[Completion]:
        import torch
        from transformers import LogitsProcessorList

        stop_ids = sorted(self.tokenizer.stop_ids)
        width = max(map(len, batch))
        tokens = torch.tensor([[stop_ids[0]] * (width - len(ids)) + ids for ids in batch], device=self.device)
        mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in batch], device=self.device)
        with torch.inference_mode():
            output = self.model.generate(
                input_ids=tokens,
                attention_mask=mask,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                eos_token_id=stop_ids,
                pad_token_id=stop_ids[0],
                logits_processor=LogitsProcessorList([_drawing(draws)]),
            )
        return [self._completion(row) for row in output[:, width:].tolist()]

    def _completion(self, row: list[int]) -> Completion:
        end = next((place for place, token in enumerate(row) if token in self.tokenizer.stop_ids), None)
        ids = tuple(row[:end])
        return Completion(self.tokenizer.decode(ids), ids, end is not None, len(ids) + (end is not None))


def _drawing(draws: list[Draw]) -> Any:
    """A logits processor that draws every row's token itself and forbids all others."""
    import torch

    def choose(_: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        chosen = [draw(row) for draw, row in zip(draws, scores.float().cpu().numpy(), strict=True)]
        forced = torch.full_like(scores, float("-inf"))
        forced[torch.arange(len(chosen)), chosen] = 0
        return forced

    return choose
