import pytest
from pydantic import ValidationError

from kt_resources.compute.needs import Needs, accelerate_arguments, merge_tags, op_tags


def after(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def test_four_gpus_ask_kubernetes_and_ray_for_four() -> None:
    tags = op_tags(Needs(devices=4))
    resources = tags["dagster-k8s/config"]["container_config"]["resources"]
    assert resources["limits"] == {"nvidia.com/gpu": "4"} == resources["requests"]
    assert tags["dagster-ray/config"] == {"num_gpus": 4}


def test_rocm_asks_for_amd_gpus() -> None:
    tags = op_tags(Needs(kind="rocm"))
    assert tags["dagster-k8s/config"]["container_config"]["resources"]["limits"] == {"amd.com/gpu": "1"}


def test_a_cpu_stage_asks_for_cores_and_the_memory_of_all_processes() -> None:
    tags = op_tags(Needs(kind="cpu", devices=2, memory_gb=3))
    limits = tags["dagster-k8s/config"]["container_config"]["resources"]["limits"]
    assert limits == {"cpu": "2", "memory": str(2 * 3 * 10**9)}
    assert tags["dagster-ray/config"]["num_gpus"] == 0


def test_mps_asks_a_cluster_for_nothing() -> None:
    assert op_tags(Needs(kind="mps")) == {}


def test_tags_of_the_recipe_are_merged_over_the_derived_ones() -> None:
    extra = {"dagster-k8s/config": {"pod_spec_config": {"node_selector": {"pool": "a100"}}}, "dagster/priority": "3"}
    tags = op_tags(Needs(op_tags=extra))
    assert tags["dagster-k8s/config"]["pod_spec_config"]["node_selector"] == {"pool": "a100"}
    assert tags["dagster-k8s/config"]["container_config"]["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert tags["dagster/priority"] == "3"


def test_merge_replaces_scalars_and_merges_mappings() -> None:
    assert merge_tags({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}, "d": {"e": 4}}) == {
        "a": {"b": 9, "c": 2},
        "d": {"e": 4},
    }


@pytest.mark.parametrize(("precision", "mixed"), [("bf16", "bf16"), ("fp16", "fp16"), ("fp32", "no")])
def test_mixed_precision_follows_the_lease(precision, mixed) -> None:
    assert after(accelerate_arguments(Needs(), "cuda", precision), "--mixed_precision") == mixed


def test_one_cpu_process_says_cpu_and_several_use_the_elastic_launcher() -> None:
    assert "--cpu" in accelerate_arguments(Needs(), "cpu", "bf16")
    several = accelerate_arguments(Needs(devices=2), "cpu", "fp32")
    assert "--multi_gpu" in several and "--cpu" not in several
    assert after(several, "--num_processes") == "2"


def test_several_gpus_replicate_unless_fsdp_is_declared() -> None:
    assert "--multi_gpu" in accelerate_arguments(Needs(devices=8), "cuda", "bf16")
    sharded = accelerate_arguments(Needs(devices=8, sharding="fsdp"), "cuda", "bf16")
    assert "--use_fsdp" in sharded and "--multi_gpu" not in sharded
    assert after(sharded, "--num_processes") == "8"


def test_accelerate_itself_parses_them() -> None:
    from accelerate.commands.launch import launch_command_parser

    arguments = accelerate_arguments(Needs(devices=2, sharding="fsdp"), "cuda", "bf16")
    parsed = launch_command_parser().parse_args([*arguments, "-m", "module", "--spec", "spec.json"])
    assert (parsed.num_processes, parsed.use_fsdp, parsed.fsdp_version) == (2, True, "2")
    assert parsed.training_script_args == ["--spec", "spec.json"]


@pytest.mark.parametrize("wrong", [{"devices": 0}, {"memory_gb": -1}, {"precision": "fp8"}, {"gpus": 2}])
def test_impossible_needs_are_refused(wrong) -> None:
    with pytest.raises(ValidationError):
        Needs(**wrong)
