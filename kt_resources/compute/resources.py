"""The Dagster resources that launch programs: the machine, and one for each kind of program that it runs."""

from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from kt_resources.compute.devices import Device, fake_devices, find_devices
from kt_resources.compute.launch import Launcher
from kt_resources.compute.needs import Needs
from kt_resources.compute.program import ProgramSpec
from kt_resources.home import leases_dir, resolve_root


class LocalCompute(dg.ConfigurableResource):
    """This machine: finds its devices and launches programs on them, each under a lease."""

    home: str = Field(default="", description="KT_HOME; empty takes the environment's, else .kt")
    described_devices: str = Field(default="", description="as KT_FAKE_DEVICES (cuda:8x80); empty finds the real ones")
    lease_timeout_s: float | None = Field(default=None, description="longest wait for devices, seconds; none: for ever")

    def devices(self) -> list[Device]:
        """The devices at hand, GPUs first."""
        return fake_devices(self.described_devices) if self.described_devices else find_devices()

    def launch(self, module: str, spec: ProgramSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Run ``python -m module`` on ``spec``; see :meth:`kt_resources.compute.launch.Launcher.launch`."""
        root = resolve_root(Path(self.home) if self.home else None)
        launcher = Launcher(leases_dir(root), self.devices(), self.lease_timeout_s)
        return launcher.launch(module, spec, needs, context)


class Program(dg.ConfigurableResource):
    """A kind of program; ``module`` is what ``python -m`` runs on this machine."""

    compute: dg.ResourceDependency[LocalCompute]
    module: str

    def run(self, spec: ProgramSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Launch it on ``spec``; its result."""
        return self.compute.launch(self.module, spec, needs, context)


class ProgramBaseLoader(Program):
    """Turns a base model into a checkpoint in a program of its own."""

    module: str = "kt_resources.bases"

    def load(self, spec: ProgramSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Load, check and save it; the facts of the checkpoint."""
        return self.run(spec, needs, context)


class ProgramTrainer(Program):
    """Trains in a program of its own."""

    module: str = "kt_resources.trainers"

    def devices(self) -> list[Device]:
        """The machine's devices."""
        compute: Any = self.compute
        return compute.devices()

    def train(self, spec: ProgramSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Train one step; the facts of the run."""
        return self.run(spec, needs, context)


class ProgramGenerator(Program):
    """Generates text in a program of its own."""

    module: str = "kt_resources.generators"

    def generate(self, spec: ProgramSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Generate completions; counts and speed."""
        return self.run(spec, needs, context)


class ProgramMerger(Program):
    """Merges models in a program of its own."""

    module: str = "kt_resources.mergers"

    def merge(self, spec: ProgramSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Merge; the facts of the merged model."""
        return self.run(spec, needs, context)


class ProgramQuantizer(Program):
    """Exports and quantizes in a program of its own."""

    module: str = "kt_resources.quantizers"

    def quantize(self, spec: ProgramSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Export and quantize; the facts of the file."""
        return self.run(spec, needs, context)


class ProgramEvaluator(Program):
    """Evaluates in a program of its own."""

    module: str = "kt_resources.evaluators"

    def evaluate(self, spec: ProgramSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Evaluate one model; its metrics."""
        return self.run(spec, needs, context)
