"""The llama.cpp engine: many completions at once in one context, refilled as they finish."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kt_resources.generators.batching import Run, Scheduler, complete_all
from kt_resources.generators.config import Sampling
from kt_resources.generators.draw import Draws, draw_seed
from kt_resources.generators.engine import (
    ChatTokenizer,
    Completion,
    OnProgress,
    Prompt,
    check_room,
    prompt_ids,
)
from kt_resources.generators.gguf_model import MOST_SEQUENCES, GgufContext, GgufModel
from kt_resources.generators.samplers import free_chain, sample, sampler_chain
from kt_resources.generators.scoring import ScoresInContexts
from kt_resources.generators.tokenizers import FolderTokenizer, GgufTokenizer


class LlamaCppEngine(ScoresInContexts):
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
        ids = [prompt_ids(self.tokenizer, prompt) for prompt in prompts]
        for one in ids:
            check_room(one, sampling, self._longest, str(self.model.file))
        if not ids or n == 0:
            return [[] for _ in ids]
        num_slots = min(self.batch_size, len(ids) * n, MOST_SEQUENCES - 1)
        context = GgufContext(self.model, num_slots + 1, max(map(len, ids)) + sampling.max_new_tokens)
        chains = _Chains(self.model, context, sampling, first_index) if sampling.grammar else None
        choose = chains or Draws(context, sampling, first_index)
        try:
            scheduler = Scheduler(context, ids, n, num_slots)
            return complete_all(scheduler, choose, self.tokenizer, sampling, on_progress)
        finally:
            if chains:
                chains.close()
            context.close()

    def _exact_context(self, num_sequences: int, length: int) -> GgufContext:
        return GgufContext(self.model, num_sequences, length, exact=True)

    @property
    def _longest(self) -> int:
        """Tokens that the model's context has room for; 0 where it does not say."""
        return int(self.model.metadata.get(f"{self.model.metadata['general.architecture']}.context_length", 0))


class _Chains:
    """Chooses each run's next token by a sampler chain, which obeys the grammar."""

    def __init__(self, model: GgufModel, context: GgufContext, sampling: Sampling, first_index: int) -> None:
        self.model, self.context, self.sampling, self.first_index = model, context, sampling, first_index
        self._chains: dict[tuple[int, int], Any] = {}

    def __call__(self, run: Run, index: int) -> int:
        key = run.prompt, run.sample
        if key not in self._chains:
            seed = draw_seed(self.sampling.seed, self.first_index + run.prompt, run.sample)
            self._chains[key] = sampler_chain(self.model, self.sampling, seed)
        return sample(self._chains[key], self.context.pointer, index)

    def finish(self, run: Run) -> None:
        chain = self._chains.pop((run.prompt, run.sample), None)
        if chain is not None:
            free_chain(chain)

    def close(self) -> None:
        for chain in self._chains.values():
            free_chain(chain)
        self._chains.clear()
