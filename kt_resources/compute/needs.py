"""What a stage declares that it needs, and what follows from that one declaration.

The same few words lease local devices, become arguments of ``accelerate launch``, and become the tags with which
Dagster's Kubernetes and Ray integrations ask a cluster for resources.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from kt_resources.strict import Strict

Precision = Literal["bf16", "fp16", "fp32"]
DeviceKind = Literal["cuda", "rocm", "mps", "cpu"]

GPU_LIMIT = {"any": "nvidia.com/gpu", "cuda": "nvidia.com/gpu", "rocm": "amd.com/gpu"}
"""The Kubernetes resource that stands for a device of each kind; the other kinds have none."""


class Needs(Strict):
    """What one stage needs from the machine or the cluster.

    Attributes:
        devices: how many; on ``cpu`` the number of processes that share the machine.
        memory_gb: memory of each device, in GB (10^9 bytes); None asks for nothing.
        precision: ``auto`` lets the leased device decide.
        kind: ``any`` takes GPUs where the machine has them, and the CPU where it has none.
        sharding: ``fsdp`` splits parameters, gradients and optimizer state over the devices.
        pool: the Dagster pool in which the stage waits.
        op_tags: further Dagster op tags, merged over those that :func:`op_tags` derives.
    """

    devices: int = Field(default=1, ge=1)
    memory_gb: float | None = Field(default=None, gt=0)
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    kind: Literal["any", "cuda", "rocm", "mps", "cpu"] = "any"
    sharding: Literal["none", "fsdp"] = "none"
    pool: str = "gpu"
    op_tags: dict[str, Any] = Field(default_factory=dict)


def merge_tags(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``over`` merged in, mapping by mapping; a scalar or list of ``over`` replaces."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge_tags(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def op_tags(needs: Needs) -> dict[str, Any]:
    """Dagster op tags for a cluster: ``dagster-k8s/config`` and ``dagster-ray/config``.

    A GPU kind asks for ``devices`` GPUs (``any`` means a GPU there: a cluster is told, not searched). A CPU stage asks
    for as many cores as it has processes, and for their memory; memory of a GPU cannot be asked for this way, so name
    a node pool in ``needs.op_tags`` where it matters.
    """
    limits: dict[str, str] = {}
    ray: dict[str, float] = {}
    if needs.kind in GPU_LIMIT:
        limits[GPU_LIMIT[needs.kind]] = str(needs.devices)
        ray["num_gpus"] = needs.devices
    elif needs.kind == "cpu":
        ray |= {"num_gpus": 0, "num_cpus": needs.devices}
        limits["cpu"] = str(needs.devices)
        if needs.memory_gb is not None:
            num_bytes = int(needs.memory_gb * needs.devices * 1e9)
            limits["memory"], ray["memory"] = str(num_bytes), num_bytes
    derived: dict[str, Any] = {}
    if limits:
        resources = {"requests": dict(limits), "limits": limits}
        derived["dagster-k8s/config"] = {"container_config": {"resources": resources}}
    if ray:
        derived["dagster-ray/config"] = ray
    return merge_tags(derived, needs.op_tags)


MIXED_PRECISION = {"bf16": "bf16", "fp16": "fp16", "fp32": "no"}


def accelerate_arguments(needs: Needs, kind: DeviceKind, precision: Precision) -> list[str]:
    """Arguments of ``accelerate launch`` for ``needs.devices`` processes on leased devices of ``kind``.

    Every value is given, so that a person's own accelerate configuration changes nothing. ``--cpu`` starts a single
    process; several CPU processes (gloo) need the same elastic launcher as several GPUs, ``--multi_gpu``, and
    ``ACCELERATE_USE_CPU=true`` in the environment (see ``launch.environment``).
    """
    arguments = ["--num_processes", str(needs.devices), "--num_machines", "1", "--machine_rank", "0"]
    arguments += ["--mixed_precision", MIXED_PRECISION[precision], "--dynamo_backend", "no"]
    if needs.devices == 1:
        return [*arguments, "--cpu"] if kind == "cpu" else arguments
    arguments += ["--main_process_port", "0", "--gpu_ids", "all"]
    if needs.sharding == "fsdp" and kind != "cpu":
        return [*arguments, "--use_fsdp", "--fsdp_version", "2", "--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP"]
    return [*arguments, "--multi_gpu"]
