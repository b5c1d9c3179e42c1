"""What an asset knows of merging: a spec goes in, a merged checkpoint stands in ``out_dir``."""

from typing import Any, Protocol, runtime_checkable

from kt_resources.compute.needs import Needs
from kt_resources.mergers.spec import MergeSpec


@runtime_checkable
class Merger(Protocol):
    """Merges models as a :class:`MergeSpec` says."""

    def merge(self, spec: MergeSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Write ``model/`` and ``facts.json`` to ``spec.out_dir``; the facts, with ``compute`` for what it took.

        Raises:
            MergeError: inputs that do not fit each other.
        """
        ...
