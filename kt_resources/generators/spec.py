"""The generation program's spec."""

from pathlib import Path

from pydantic import Field

from kt_resources.compute.program import ProgramSpec
from kt_resources.generators.config import Engine, Sampling


class GenerateSpec(ProgramSpec):
    """Let ``model`` answer every prompt ``num_samples`` times.

    Attributes:
        model: a checkpoint folder or a ``.gguf`` file.
        tokenizer_dir: folder whose tokenizer and chat template a ``.gguf`` is asked with; its own where None.
        prompts_file: Parquet rows with ``id`` and ``prompt`` (messages).
        completions_file: where the answers go: rows ``prompt_id, sample_index, completion, num_tokens, finished``.
        batch_size: most completions that run at once.
        prompts_a_part: prompts after which what there is is kept, so that a killed program goes on from there.
    """

    model: Path
    tokenizer_dir: Path | None = None
    engine: Engine = "auto"
    prompts_file: Path
    completions_file: Path
    num_samples: int = Field(default=1, ge=1)
    sampling: Sampling = Sampling()
    batch_size: int = Field(default=32, ge=1)
    prompts_a_part: int = Field(default=64, ge=1)
