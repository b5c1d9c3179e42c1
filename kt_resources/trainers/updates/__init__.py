"""Update strategies: how the weights change. Adding one is a module here, a line in the registry and a test."""

from typing import Annotated, Any, Union

from pydantic import Field

from kt_resources.trainers.updates.adalora import Adalora
from kt_resources.trainers.updates.base import UpdateStrategy
from kt_resources.trainers.updates.dora import Dora
from kt_resources.trainers.updates.full import Full
from kt_resources.trainers.updates.galore import Galore
from kt_resources.trainers.updates.ia3 import Ia3
from kt_resources.trainers.updates.loftq import Loftq
from kt_resources.trainers.updates.lora import Lora
from kt_resources.trainers.updates.lora_plus import LoraPlus
from kt_resources.trainers.updates.pissa import Pissa
from kt_resources.trainers.updates.poly import Poly
from kt_resources.trainers.updates.prefix_tuning import PrefixTuning
from kt_resources.trainers.updates.prompt_tuning import PromptTuning
from kt_resources.trainers.updates.qdora import Qdora
from kt_resources.trainers.updates.qlora import Qlora
from kt_resources.trainers.updates.relora import Relora
from kt_resources.trainers.updates.rslora import Rslora
from kt_resources.trainers.updates.spectrum import Spectrum
from kt_resources.trainers.updates.vera import Vera

UPDATES: dict[str, type[UpdateStrategy]] = {
    "full": Full,
    "lora": Lora,
    "dora": Dora,
    "qlora": Qlora,
    "lora_plus": LoraPlus,
    "rslora": Rslora,
    "qdora": Qdora,
    "pissa": Pissa,
    "vera": Vera,
    "adalora": Adalora,
    "ia3": Ia3,
    "spectrum": Spectrum,
    "galore": Galore,
    "relora": Relora,
    "prompt_tuning": PromptTuning,
    "prefix_tuning": PrefixTuning,
    "poly": Poly,
    "loftq": Loftq,
}

Update: Any = Annotated[Union[tuple(UPDATES.values())], Field(discriminator="type")]  # noqa: UP007 - built at run time

__all__ = ["UPDATES", "Dora", "Full", "Lora", "LoraPlus", "Qdora", "Qlora", "Rslora", "Update", "UpdateStrategy"]
