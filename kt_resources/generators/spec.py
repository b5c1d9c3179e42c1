"""The generation program's spec."""

from pathlib import Path

from pydantic import Field, model_validator

from kt_resources.compute.program import ProgramSpec
from kt_resources.generators.config import Engine, Sampling
from kt_resources.strict import Strict


class Server(Strict):
    """An OpenAI-compatible server, for ``engine: openai``.

    Attributes:
        url: up to and with ``/v1``.
        model: the name that the server knows it by.
        key_variable: environment variable that holds the key; none is sent where it is unset.
    """

    url: str = Field(pattern=r"^https?://")
    model: str
    key_variable: str = "OPENAI_API_KEY"


class GenerateSpec(ProgramSpec):
    """Let ``model`` answer every prompt ``num_samples`` times.

    Attributes:
        model: a checkpoint folder or a ``.gguf`` file; None where a ``server`` answers.
        tokenizer_dir: folder whose tokenizer and chat template a ``.gguf`` is asked with; its own where None.
        prompts_file: Parquet rows with ``id`` and ``prompt`` (messages).
        completions_file: where the answers go: rows ``prompt_id, sample_index, completion, num_tokens, finished``.
        batch_size: most completions that run at once.
        prompts_a_part: prompts after which what there is is kept, so that a killed program goes on from there.
    """

    model: Path | None = None
    server: Server | None = None
    tokenizer_dir: Path | None = None
    engine: Engine = "auto"
    prompts_file: Path
    completions_file: Path
    num_samples: int = Field(default=1, ge=1)
    sampling: Sampling = Sampling()
    batch_size: int = Field(default=32, ge=1)
    prompts_a_part: int = Field(default=64, ge=1)

    @model_validator(mode="after")
    def _one_model(self) -> "GenerateSpec":
        if (self.model is None) == (self.server is None):
            raise ValueError("name a model or a server, one of the two")
        if (self.engine == "openai") != (self.server is not None):
            raise ValueError("a server is asked with engine: openai, and engine: openai asks a server")
        return self
