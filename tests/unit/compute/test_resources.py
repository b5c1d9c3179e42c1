import os
from pathlib import Path

import dagster as dg
import pytest

from kt_resources.compute.fake import FakeCompute
from kt_resources.compute.needs import Needs
from kt_resources.compute.program import ProgramSpec
from kt_resources.compute.protocol import Compute
from kt_resources.compute.resources import LocalCompute, ProgramEvaluator, ProgramTrainer
from kt_resources.errors import ComputeError

HERE = Path(__file__).parent


class Spec(ProgramSpec):
    act: str = "succeed"


def spec(tmp_path: Path) -> Spec:
    return Spec(out_dir=tmp_path / "out", scratch_dir=tmp_path / "scratch")


def test_the_real_machine_and_the_fake_obey_one_protocol() -> None:
    assert isinstance(LocalCompute(), Compute) and isinstance(FakeCompute(), Compute)


def test_a_trainer_resource_launches_its_module_from_an_asset(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{HERE.parents[2]}")
    compute = LocalCompute(home=str(tmp_path / "home"), described_devices="cuda:8x80")

    @dg.asset
    def model(trainer: dg.ResourceParam[ProgramTrainer]) -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata=trainer.train(spec(tmp_path), Needs())["compute"])

    done = dg.materialize([model], resources={"trainer": ProgramTrainer(compute=compute, module="sample_program")})
    (event,) = done.get_asset_materialization_events()
    assert event.materialization.metadata["devices"].value == ["cuda:0 faked cuda"]
    assert (tmp_path / "home" / "leases" / "cuda-0.lock").exists()


def test_each_program_knows_its_module() -> None:
    assert ProgramEvaluator(compute=LocalCompute()).module == "kt_resources.evaluators"


def test_the_fake_runs_the_functions_of_the_test_and_remembers(tmp_path) -> None:
    compute = FakeCompute({"kt_resources.trainers": lambda given: {"act": given.act}})
    result = compute.launch("kt_resources.trainers", spec(tmp_path), Needs(devices=3))
    assert result["act"] == "succeed" and result["compute"]["precision"] == "bf16"
    assert [name.split()[0] for name in result["compute"]["devices"]] == ["cuda:0", "cuda:1", "cuda:2"]
    assert [launched[0] for launched in compute.launched] == ["kt_resources.trainers"]


def test_the_fake_refuses_what_eight_devices_of_80_gb_cannot_serve(tmp_path) -> None:
    compute = FakeCompute({"x": lambda given: {}})
    with pytest.raises(ComputeError, match="9 × any can never be had here"):
        compute.launch("x", spec(tmp_path), Needs(devices=9))
    with pytest.raises(ComputeError, match="no program stands for y"):
        compute.launch("y", spec(tmp_path), Needs())
    assert compute.launched == []
