"""What an asset knows of training: a spec goes in, a trained artifact stands in ``out_dir``, figures come back."""

from typing import Any, Protocol, runtime_checkable

from kt_resources.compute.devices import Device
from kt_resources.compute.needs import Needs
from kt_resources.trainers.spec import TrainSpec


@runtime_checkable
class Trainer(Protocol):
    """Trains a model as a :class:`TrainSpec` says."""

    def devices(self) -> list[Device]:
        """The devices that it could train on."""
        ...

    def train(self, spec: TrainSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Write the model artifact to ``spec.out_dir`` and return ``run/result.json``.

        Args:
            needs: the devices that the program leases.
            context: of the Dagster asset, where there is one, for live logs.

        Raises:
            TrainingError: a person's mistake: rows that cannot be learned from, options that do not fit.
        """
        ...
