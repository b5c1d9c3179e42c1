"""What an asset knows of quantization: a spec goes in, ``model.gguf`` and what it needs stand in ``out_dir``."""

from typing import Any, Protocol, runtime_checkable

from kt_resources.compute.needs import Needs
from kt_resources.quantizers.spec import QuantizeSpec


@runtime_checkable
class Quantizer(Protocol):
    """Exports and quantizes as a :class:`QuantizeSpec` says."""

    def quantize(self, spec: QuantizeSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Write ``model.gguf``, ``Modelfile``, ``chat_template.jinja``, ``README.md`` and ``facts.json``; the facts.

        Raises:
            QuantizeError: an architecture that is not exported, a quant type that does not fit the model.
        """
        ...
