"""What an asset knows of base models: a source goes in, a checkpoint stands in ``out_dir``."""

from typing import Any, Protocol, runtime_checkable

from kt_resources.bases.spec import BaseSpec
from kt_resources.compute.needs import Needs


@runtime_checkable
class BaseLoader(Protocol):
    """Turns a recipe's base model into a checkpoint folder."""

    def load(self, spec: BaseSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Write ``out_dir/model`` and ``facts.json``; the facts, with ``compute`` for what it took."""
        ...
