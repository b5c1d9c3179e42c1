"""The engine of checkpoints on a CPU: transformers' layers in continuous batches."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kt_resources.decoding.plain import SlotPrecision
from kt_resources.errors import GenerationError
from kt_resources.generators.batching import Scheduler, complete_all
from kt_resources.generators.config import Sampling
from kt_resources.generators.draw import Draws
from kt_resources.generators.engine import Completion, OnProgress, Prompt, check_room, prompt_ids
from kt_resources.generators.scoring import ScoresInContexts
from kt_resources.generators.tokenizers import FolderTokenizer

if TYPE_CHECKING:
    from kt_resources.decoding.slots import SlotContext

MOST_BYTES = 2 << 30
"""Most memory for keys and values; beyond it fewer completions run at once."""


class CheckpointEngine(ScoresInContexts):
    """Generates from a checkpoint folder that :func:`~.open_engine.slot_precision` has a precision for.

    Attributes:
        batch_size: most completions that run at once.
    """

    def __init__(self, folder: Path, precision: SlotPrecision, batch_size: int = 32) -> None:
        from kt_resources.decoding.slots import open_for_slots

        self.folder, self.batch_size = folder, batch_size
        self.tokenizer = FolderTokenizer(folder)
        self.model: Any = open_for_slots(folder, precision)

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
        if not ids or n == 0:
            return [[] for _ in ids]
        for one in ids:
            check_room(one, sampling, self.model.config.max_position_embeddings, str(self.folder))
        length = max(map(len, ids)) + sampling.max_new_tokens
        num_slots = min(self.batch_size, len(ids) * n, max(1, MOST_BYTES // (length * self._bytes_a_token) - 1))
        with closing(self._exact_context(num_slots + 1, length)) as context:
            scheduler = Scheduler(context, ids, n, num_slots)
            draws = Draws(context, sampling, first_index)
            return complete_all(scheduler, draws, self.tokenizer, sampling, on_progress)

    def _exact_context(self, num_sequences: int, length: int) -> "SlotContext":
        from kt_resources.decoding.slots import SlotContext

        return SlotContext(self.model, num_sequences, length)

    @property
    def _bytes_a_token(self) -> int:
        """Of its keys and values."""
        with closing(self._exact_context(1, 1)) as one:
            return sum(layer.numel() * layer.element_size() for layer in (*one.keys, *one.values))
