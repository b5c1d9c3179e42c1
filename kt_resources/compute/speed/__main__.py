"""``python -m kt_resources.compute.speed``: rates of this device, from a model of two blocks. JSON in, JSON out.

Times are processor seconds on a CPU, so that a busy machine is not taken for a slow one, and wall time on a GPU.
"""

import contextlib
import json
import mmap
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from typing import Any

TOKENS = (4, 128)
"""Sequences and their length in the timed passes."""

REPEATS = 7
LAYERS = 2
PASSES = 2
"""Forwards, and backwards towards the activations."""

RANK = 16
STEPPED = 50_000_000
"""Parameters, at least, that the optimizer is timed on: more than any processor's caches hold."""

TOUCHED = 64_000_000
"""Bytes of memory, and of each of a few files, that are timed."""

FILES = 6


def main() -> None:
    """Read what is asked from standard input; print a :class:`Speed` as the last line."""
    asked = json.loads(sys.stdin.read())
    started = time.process_time()
    import transformers  # noqa: F401
    from trl import SFTTrainer  # noqa: F401

    imports_s = time.process_time() - started
    device = "cuda" if asked["kind"] in ("cuda", "rocm") else asked["kind"]
    with contextlib.redirect_stdout(sys.stderr):
        figures = _measure(asked["shape"], asked["precision"], device)
    told = {"imports_s": imports_s, "source": f"calibrated on {device}, {_threads(device)} thread(s)", **figures}
    print(json.dumps(told))


def _now(device: str) -> float:
    """Seconds: of the processor divided by the threads that compute where the CPU works, else of the clock."""
    if device != "cpu":
        import torch

        torch.cuda.synchronize() if device == "cuda" else torch.mps.synchronize()
        return time.perf_counter()
    return time.process_time() / _threads(device)


def _threads(device: str) -> int:
    """Threads that compute."""
    import torch

    return torch.get_num_threads() if device == "cpu" else 1


def _fastest(work: Callable[[], Any], device: str) -> float:
    """Seconds of the fastest of a few runs, after one that is not counted."""
    work()
    times = []
    for _ in range(REPEATS):
        start = _now(device)
        work()
        times.append(_now(device) - start)
    return max(min(times), 1e-9)


def _measure(shape: dict[str, Any], precision: str, device: str) -> dict[str, float]:
    import torch

    from kt_resources.compute.speed.calibration import DECOMPOSED_FLOPS
    from kt_resources.compute.speed.flops import BACKWARD

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    model = _two_blocks(shape).to(device=device, dtype=dtype)
    sequences, length = TOKENS
    tokens, hidden = sequences * length, shape["hidden"]
    layers = {name: p for name, p in model.named_parameters() if "proj" in name}
    weights = sum(p.numel() for p in layers.values())
    flops = 2.0 * weights * tokens + 2.0 * LAYERS * shape["heads"] * shape["head_dim"] * length * tokens
    inputs = torch.randn(sequences, length, hidden, device=device, dtype=dtype)

    def learn(learner: Any) -> float:
        def step() -> None:
            learner(inputs_embeds=inputs.clone().requires_grad_(), use_cache=False).last_hidden_state.sum().backward()
            learner.zero_grad()

        return _fastest(step, device)

    model.requires_grad_(False)
    frozen_s, lora_s, dora_s = learn(model), _adapted(model, learn), _adapted(model, learn, magnitudes=True)
    decode_s = _decode(model, shape, dtype, device)
    adapted_decode_s = _adapted(model, lambda adapted: _decode(adapted, shape, dtype, device))
    model.requires_grad_(True)
    whole_s = learn(model)
    block_flops = PASSES * flops / frozen_s
    widths = sum(sum(p.shape) for p in layers.values())
    products_s = PASSES * 2.0 * RANK * widths * tokens / block_flops
    return {
        "block_flops": block_flops,
        "weights_flops": flops / max(whole_s - frozen_s, 0.1 * frozen_s),
        "head_flops": _head(shape, dtype, device),
        "adapted_per_s": (1 + BACKWARD) * tokens * widths / max(lora_s - frozen_s - products_s, 0.01 * frozen_s),
        "normed_per_s": weights / max(dora_s - lora_s, 0.01 * frozen_s),
        "dequantized_per_s": _dequantized(shape, dtype, device),
        "stepped_per_s": _stepped(layers.values(), dtype, device),
        "touched_per_s": _touched(device),
        "written_per_s": _written(device),
        "decode_layer_s": decode_s,
        "decode_adapter_s": max(adapted_decode_s - decode_s, 0.01 * decode_s),
        "bytes_per_s": 0.4e9 if device == "cpu" else 1e9,
        "decomposed_flops": DECOMPOSED_FLOPS["cpu" if device == "cpu" else "gpu"],
        **_answering(shape, block_flops, decode_s, device),
    }


def _answering(shape: dict[str, Any], block_flops: float, decode_s: float, device: str) -> dict[str, float]:
    """Of generation apart from training: measured on a CPU; elsewhere by the rates of the model's blocks."""
    from kt_resources.compute.memory.shape import ModelShape
    from kt_resources.compute.speed.answering import measure_answering
    from kt_resources.compute.speed.calibration import answering_of

    if device == "cpu":
        return measure_answering(shape, _threads(device))
    return answering_of(ModelShape.model_validate(shape), block_flops, decode_s)


def _adapted(model: Any, work: Callable[[Any], float], magnitudes: bool = False) -> float:
    """Seconds of ``work`` with LoRA or DoRA on every linear layer; ``model`` is as it was afterwards."""
    from peft import LoraConfig, get_peft_model

    from kt_resources.trainers.lora_product import add_lora_in_place

    add_lora_in_place()
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = LoraConfig(r=RANK, target_modules=names, use_dora=magnitudes)
    adapted = get_peft_model(model, config, autocast_adapter_dtype=False)
    try:
        return work(adapted)
    finally:
        adapted.unload()


def _two_blocks(shape: dict[str, Any]) -> Any:
    from transformers import LlamaConfig, LlamaModel

    config = LlamaConfig(
        hidden_size=shape["hidden"],
        intermediate_size=shape["intermediate"],
        num_hidden_layers=LAYERS,
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["kv_heads"],
        head_dim=shape["head_dim"],
        vocab_size=64,
    )
    return LlamaModel(config)


def _head(shape: dict[str, Any], dtype: Any, device: str) -> float:
    """Operations a second of the head, forward and backward: two products of a frozen one on a CPU, else three."""
    import torch

    from kt_resources.trainers.head import HeadLogProbs

    rows = 128
    # Of a trained head's size: far larger logits leave probabilities so small that Intel's processors take a detour.
    weight = 0.02 * torch.randn(shape["vocab"], shape["hidden"], device=device, dtype=dtype)
    hidden = torch.randn(rows, shape["hidden"], device=device, dtype=dtype, requires_grad=True)
    labels = torch.zeros(rows, dtype=torch.long, device=device)

    def score() -> None:
        scored = HeadLogProbs.apply(hidden, weight, None, labels, 1.0, 32768, None, 1.0, ("log_probs",))
        scored[0].sum().backward()

    products = 2 if device == "cpu" else 3
    return products * 2.0 * rows * shape["hidden"] * shape["vocab"] / _fastest(score, device)


def _dequantized(shape: dict[str, Any], dtype: Any, device: str) -> float:
    """Weights a second made whole from NF4; a tenth of a guess where bitsandbytes is not installed."""
    import importlib.util

    import torch

    if importlib.util.find_spec("bitsandbytes") is None:
        return 1e8
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    weight = torch.randn(shape["intermediate"], shape["hidden"], device=device, dtype=dtype)
    packed, state = quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    return weight.numel() / _fastest(lambda: dequantize_4bit(packed, state), device)


def _stepped(layers: Collection[Any], dtype: Any, device: str) -> float:
    """Parameters a second: their gradients clipped, AdamW on them, in bfloat16 on float32 copies."""
    import torch

    from kt_resources.trainers.optimizer import MasterAdamW

    times = -(-STEPPED // sum(p.numel() for p in layers))
    parameters = [torch.zeros_like(p, requires_grad=True) for p in layers for _ in range(times)]
    gradients = [torch.zeros_like(parameter) for parameter in parameters]
    kind = MasterAdamW if dtype == torch.bfloat16 else torch.optim.AdamW
    optimizer = kind([{"params": parameters}], lr=0.0, fused=True)

    def step() -> None:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient  # a step with float32 copies takes it away
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return sum(p.numel() for p in parameters) / _fastest(step, device)


def _touched(device: str) -> float:
    """Bytes a second of memory that this process has not had before."""
    import torch

    def touch() -> None:
        if device != "cpu":
            torch.empty(TOUCHED, dtype=torch.uint8, device=device).fill_(1)
            return
        with mmap.mmap(-1, TOUCHED) as fresh:  # an allocator gives back what it has
            torch.frombuffer(fresh, dtype=torch.uint8).fill_(1)

    return TOUCHED / _fastest(touch, device)


def _written(device: str) -> float:
    """Bytes a second of new files, which one thread writes alone; all of them, as the first ones are the fastest."""
    import torch
    from safetensors.torch import save_file

    content = {"weights": torch.ones(TOUCHED, dtype=torch.uint8, device=device)}
    with tempfile.TemporaryDirectory() as folder:
        start = _now(device)
        for number in range(FILES):
            torch.save(content, f"{folder}/{number}.pt")
            save_file(content, f"{folder}/{number}.safetensors")
        return 2 * FILES * TOUCHED / ((_now(device) - start) * _threads(device))


def _decode(model: Any, shape: dict[str, Any], dtype: Any, device: str) -> float:
    """Seconds of one block for one more token of eight sequences, their cache filled."""
    import torch
    from transformers import DynamicCache

    sequences = 8
    cache = DynamicCache(config=model.config)
    steps = torch.randn(sequences, 1, shape["hidden"], device=device, dtype=dtype)
    with torch.no_grad():
        model(inputs_embeds=steps.expand(-1, 64, -1), past_key_values=cache, use_cache=True)
        return _fastest(lambda: model(inputs_embeds=steps, past_key_values=cache, use_cache=True), device) / LAYERS


if __name__ == "__main__":
    main()
