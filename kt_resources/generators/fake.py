"""A generator for unit tests of assets: answers come from a function, the file is real."""

from collections.abc import Callable
from typing import Any

from kt_resources.compute.needs import Needs
from kt_resources.generators.run import write_completions
from kt_resources.generators.spec import GenerateSpec

Answer = Callable[[dict[str, Any], int], str]
"""``(prompt row, sample index) -> completion``."""


class FakeGenerator:
    """Writes ``completions_file`` from ``answer``; keeps the specs that it was given."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.specs: list[GenerateSpec] = []

    def generate(self, spec: GenerateSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Answer every prompt of the file."""
        import pyarrow.parquet as parquet

        self.specs.append(spec)
        rows = []
        for prompt in parquet.read_table(spec.prompts_file).to_pylist():
            for index in range(spec.num_samples):
                text = self.answer(prompt, index)
                row = {"prompt_id": prompt["id"], "sample_index": index, "completion": text}
                rows.append(row | {"num_tokens": len(text.split()) + 1, "finished": True})
        write_completions(spec.completions_file, rows)
        return {"num_completions": len(rows), "compute": {"wall_s": 0.0}}
