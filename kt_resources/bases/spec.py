"""The base program's spec."""

from kt_resources.compute.program import ProgramSpec
from kt_resources.recipes.base_model import BaseModelSource, HubModel


class BaseSpec(ProgramSpec):
    """Turn ``source`` into ``out_dir/model``; ``probe`` is asked to see that the checkpoint answers."""

    source: BaseModelSource
    probe: str = "What is the capital of France?"
    max_new_tokens: int = 24

    @property
    def uses_network(self) -> bool:
        return isinstance(self.source, HubModel)
