"""The llama.cpp engine: many completions at once in one context, refilled as they finish."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kt_resources.errors import GenerationError
from kt_resources.generators.batching import Run, Scheduler, run_all
from kt_resources.generators.config import Sampling
from kt_resources.generators.draw import Draw, draw_seed
from kt_resources.generators.engine import (
    ChatTokenizer,
    Completion,
    OnProgress,
    Prompt,
    log_softmax_at,
    prompt_ids,
)
from kt_resources.generators.gguf_model import MICRO_BATCH, MOST_SEQUENCES, Feed, GgufContext, GgufModel
from kt_resources.generators.samplers import free_chain, sample, sampler_chain
from kt_resources.generators.tokenizers import FolderTokenizer, GgufTokenizer

if TYPE_CHECKING:
    import numpy as np


class LlamaCppEngine:
    """Generates with llama.cpp from a GGUF file.

    Attributes:
        tokenizer: of ``tokenizer_dir``, a Hugging Face folder; of the GGUF itself where None is given.
        batch_size: most completions that run at once.
    """

    def __init__(self, file: Path, tokenizer_dir: Path | None = None, batch_size: int = 32) -> None:
        self.model = GgufModel(file)
        self.batch_size = batch_size
        own = GgufTokenizer(self.model)
        self.tokenizer: ChatTokenizer = FolderTokenizer(tokenizer_dir, tuple(own.stop_ids)) if tokenizer_dir else own

    def close(self) -> None:
        self.model.close()

    def generate(
        self,
        prompts: Sequence[Prompt],
        n: int,
        sampling: Sampling,
        first_index: int = 0,
        on_progress: OnProgress | None = None,
    ) -> list[list[Completion]]:
        ids = [self._room_for(prompt_ids(self.tokenizer, prompt), sampling) for prompt in prompts]
        if not ids or n == 0:
            return [[] for _ in ids]
        num_slots = min(self.batch_size, len(ids) * n, MOST_SEQUENCES - 1)
        context = GgufContext(self.model, num_slots + 1, max(map(len, ids)) + sampling.max_new_tokens)
        chooser = _Chooser(self.model, context, sampling, first_index)
        results: dict[tuple[int, int], Completion] = {}
        num_tokens = 0
        try:
            scheduler = Scheduler(context, ids, n, num_slots)
            for run, finished in run_all(scheduler, chooser, self.tokenizer.stop_ids, sampling.max_new_tokens):
                chooser.finish(run)
                results[run.prompt, run.sample] = self._completion(run, finished)
                num_tokens += results[run.prompt, run.sample].num_tokens
                if on_progress:
                    on_progress(len(results), len(ids) * n, num_tokens)
        finally:
            chooser.close()
            context.close()
        return [[results[prompt, index] for index in range(n)] for prompt in range(len(ids))]

    def logits(self, token_ids: Sequence[int]) -> "np.ndarray":
        import numpy as np

        return np.concatenate([rows for _, rows in self._logit_chunks(token_ids)])

    def token_logprobs(self, token_ids: Sequence[int]) -> "np.ndarray":
        import numpy as np

        parts = []
        for start, rows in self._logit_chunks(token_ids):
            targets = token_ids[start + 1 : start + 1 + len(rows)]
            parts.append(log_softmax_at(rows[: len(targets)], targets))
        return np.concatenate(parts)

    def _logit_chunks(self, token_ids: Sequence[int], chunk: int = MICRO_BATCH // 4) -> Any:
        """(start, float32 logits of (tokens, vocabulary)) chunk by chunk."""
        import numpy as np

        context = GgufContext(self.model, 1, len(token_ids), exact=True)
        try:
            for start in range(0, len(token_ids), chunk):
                part = token_ids[start : start + chunk]
                context.decode([Feed(int(token), start + place, 0, True) for place, token in enumerate(part)])
                yield start, np.stack([context.logits(index) for index in range(len(part))])
        finally:
            context.close()

    def _room_for(self, ids: list[int], sampling: Sampling) -> list[int]:
        """The prompt itself, where it has tokens and leaves room in the model's context."""
        length = int(self.model.metadata.get(f"{self.model.metadata['general.architecture']}.context_length", 0))
        if not ids:
            raise GenerationError("a prompt has no tokens", where=str(self.model.file))
        if length and len(ids) + sampling.max_new_tokens > length:
            raise GenerationError(
                f"a prompt of {len(ids)} tokens and an answer of {sampling.max_new_tokens} exceed {length} tokens",
                where=str(self.model.file),
                mend="shorten the prompts or lower sampling.max_new_tokens",
            )
        return ids

    def _completion(self, run: Run, finished: bool) -> Completion:
        text = self.tokenizer.decode(run.token_ids)
        return Completion(text, tuple(run.token_ids), finished, len(run.token_ids) + finished)


class _Chooser:
    """Chooses each run's next token: the likeliest, a draw, or what the grammar's sampler chain picks."""

    def __init__(self, model: GgufModel, context: GgufContext, sampling: Sampling, first_index: int) -> None:
        self.model, self.context, self.sampling, self.first_index = model, context, sampling, first_index
        self.chains: dict[tuple[int, int], Any] = {}
        self.draws: dict[tuple[int, int], Draw] = {}

    def __call__(self, slot: int, run: Run, index: int) -> int:
        key = run.prompt, run.sample
        if self.sampling.grammar is None:
            if key not in self.draws:
                self.draws[key] = Draw(self.sampling, self.first_index + run.prompt, run.sample)
            return self.draws[key](self.context.logits(index))
        if key not in self.chains:
            seed = draw_seed(self.sampling.seed, self.first_index + run.prompt, run.sample)
            self.chains[key] = sampler_chain(self.model, self.sampling, seed)
        return sample(self.chains[key], self.context.pointer, index)

    def finish(self, run: Run) -> None:
        self.draws.pop((run.prompt, run.sample), None)
        chain = self.chains.pop((run.prompt, run.sample), None)
        if chain is not None:
            free_chain(chain)

    def close(self) -> None:
        for chain in self.chains.values():
            free_chain(chain)
        self.chains.clear()
