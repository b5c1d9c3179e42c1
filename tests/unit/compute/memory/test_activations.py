"""The counts of what a block keeps, byte for byte against autograd on a model with distinct widths."""

import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from kt_resources.compute.memory.activations import Attention, bytes_per_token, kept_bytes
from kt_resources.compute.memory.parts import UpdateMemory
from kt_resources.compute.memory.shape import ModelShape

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
BATCH, LENGTH, RANK = 4, 32, 4
FLASH = Attention("flash", LENGTH)
UPDATES = {
    "full": UpdateMemory(trained=1, all_weights=True),
    "lora": UpdateMemory(trained=1, adapted=ATTENTION + MLP, rank=RANK),
    "attention": UpdateMemory(trained=1, adapted=ATTENTION, rank=RANK),
    "mlp": UpdateMemory(trained=1, adapted=MLP, rank=RANK),
    "dropout": UpdateMemory(trained=1, adapted=ATTENTION + MLP, rank=RANK, dropout=True),
}


def shape(layers: int) -> ModelShape:
    return ModelShape(
        layers=layers, hidden=96, intermediate=224, heads=6, kv_heads=2, head_dim=16, vocab=512, tied=True
    )


def model(layers: int, update: UpdateMemory, dtype: Any) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    small = shape(layers)
    config = LlamaConfig(
        hidden_size=small.hidden,
        intermediate_size=small.intermediate,
        num_hidden_layers=layers,
        num_attention_heads=small.heads,
        num_key_value_heads=small.kv_heads,
        head_dim=small.head_dim,
        vocab_size=small.vocab,
        tie_word_embeddings=True,
    )
    made: Any = LlamaForCausalLM(config).to(dtype)
    if update.all_weights:
        return made
    lora = LoraConfig(
        r=RANK,
        target_modules=list(update.adapted),
        lora_dropout=0.1 if update.dropout else 0.0,
        use_dora=update.magnitude,
    )
    adapted = get_peft_model(made, lora)
    for parameter in adapted.parameters():
        parameter.data = parameter.data.to(dtype)
    return adapted


@pytest.fixture(autouse=True)
def torchs_own_attention() -> Iterator[None]:
    """Attention as transformers has it, whatever a training in this process has put in its place."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    from kt_resources.trainers import attention

    before = ALL_ATTENTION_FUNCTIONS["sdpa"]
    ALL_ATTENTION_FUNCTIONS.register("sdpa", attention._sdpa)
    yield
    ALL_ATTENTION_FUNCTIONS.register("sdpa", before)


def kept(made: Any, padded: bool, checkpointing: bool = False) -> int:
    """Bytes that autograd still holds for the backward pass once the forward pass has ended."""
    import torch

    class Box:
        def __init__(self, tensor: Any) -> None:
            self.tensor = tensor

    boxes: weakref.WeakSet[Box] = weakref.WeakSet()

    def pack(tensor: Any) -> Box:
        box = Box(tensor)
        boxes.add(box)
        return box

    own = {p.untyped_storage().data_ptr() for p in [*made.parameters(), *made.buffers()]}
    ids = torch.randint(0, 512, (BATCH, LENGTH))
    mask = torch.ones_like(ids)
    mask[0, : LENGTH // 4] = 0 if padded else 1
    inner = made.get_base_model() if hasattr(made, "get_base_model") else made
    if checkpointing:
        inner.gradient_checkpointing_enable()
        inner.enable_input_require_grads()
    made.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda box: box.tensor):
        output = inner.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    storages = {box.tensor.untyped_storage().data_ptr(): box.tensor.untyped_storage().nbytes() for box in boxes}
    assert output.requires_grad
    return sum(size for place, size in storages.items() if place not in own)


@pytest.mark.parametrize("kind", ["flash", "masked"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", UPDATES)
def test_a_block_keeps_what_is_counted(name: str, dtype: str, kind: Any) -> None:
    """Three blocks less two are one block, which the formula gives exactly."""
    import torch

    update = UPDATES[name]
    two, three = (kept(model(layers, update, getattr(torch, dtype)), kind == "masked") for layers in (2, 3))
    counted = bytes_per_token(shape(1), update, getattr(torch, dtype).itemsize, Attention(kind, LENGTH))
    assert three - two == counted * BATCH * LENGTH


def test_products_keep_every_score(products: None) -> None:
    """6 heads × 32 scores a token beside q, k and v, 2 bytes each; the causal mask is a byte a score of one row."""
    import torch

    two, three = (kept(model(layers, UPDATES["lora"], torch.bfloat16), False) for layers in (2, 3))
    counted = bytes_per_token(shape(1), UPDATES["lora"], 2, Attention("products", LENGTH)) * BATCH * LENGTH
    assert three - two == counted + LENGTH * LENGTH


@pytest.fixture
def products() -> Iterator[None]:
    """Short attention by products, as the training program registers it."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    from kt_resources.trainers.attention import multiply_short_attention

    before = ALL_ATTENTION_FUNCTIONS["sdpa"]
    multiply_short_attention()
    yield
    ALL_ATTENTION_FUNCTIONS.register("sdpa", before)


def test_dora_keeps_both_summands_of_every_output() -> None:
    """Within 1 %: its vectors of one number a column are not counted."""
    import torch

    update = UpdateMemory(trained=1, adapted=ATTENTION + MLP, rank=RANK, magnitude=True)
    two, three = (kept(model(layers, update, torch.float32), False) for layers in (2, 3))
    assert three - two == pytest.approx(bytes_per_token(shape(1), update, 4, FLASH) * BATCH * LENGTH, rel=0.01)


WITHIN = {
    ("pissa", "fp32"): 0.0,
    ("pissa", "bf16"): 0.0,  # the adapter is wider than the weights
    ("adalora", "fp32"): 0.02,  # the products of A and Λ, which no token adds to
    ("adalora", "bf16"): 0.02,
    ("vera", "fp32"): 0.0,
    ("vera", "bf16"): 0.0,
    ("ia3", "fp32"): 0.01,
    ("ia3", "bf16"): 0.04,  # keys and values are multiplied in bfloat16
}


@pytest.mark.parametrize(("name", "precision"), WITHIN)
def test_adapters_in_float32_and_trained_vectors_keep_what_is_counted(name: str, precision: Any) -> None:
    """The strategies' own adapters, in the types in which they are trained; within the share that is said."""
    import torch

    from kt_resources.trainers.memory import update_memory
    from kt_resources.trainers.updates import UPDATES as STRATEGIES

    options = {"adalora": {"init_r": RANK, "target_r": 2}, "ia3": {}}.get(name, {"r": RANK})
    strategy = STRATEGIES[name].model_validate({"type": name, **options})
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16

    def adapted(layers: int) -> Any:
        from peft import get_peft_model

        start = model(layers, UPDATES["full"], dtype)
        made = get_peft_model(start, strategy.peft_config(start, 100))
        for parameter_name, parameter in made.named_parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(strategy.trainable_dtype(parameter_name, precision))
        strategy.attach(made)
        return made

    two, three = (kept(adapted(layers), False) for layers in (2, 3))
    counted = bytes_per_token(shape(1), update_memory(strategy, shape(1)), dtype.itemsize, FLASH) * BATCH * LENGTH
    assert three - two == pytest.approx(counted, rel=WITHIN[name, precision])


def test_checkpointing_keeps_the_input_of_each_block() -> None:
    """Hidden 96 × 4 bytes a token a block."""
    import torch

    two, three = (kept(model(layers, UPDATES["lora"], torch.float32), False, True) for layers in (2, 3))
    assert three - two == 96 * 4 * BATCH * LENGTH


def test_all_blocks_and_the_final_norm() -> None:
    """8 bytes × 96 a token for the last norm; 2 % for ids and the embedding."""
    import torch

    whole = kept(model(3, UPDATES["full"], torch.float32), False)
    assert kept_bytes(shape(3), UPDATES["full"], 4, BATCH * LENGTH, False, FLASH) == pytest.approx(whole, rel=0.02)
