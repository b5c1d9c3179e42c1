"""A random Llama of about 0.2 M parameters with its own tokenizer: every test's model, and the ``tiny`` recipe's base.

Written without torch or transformers, so that it takes a fraction of a second: the checkpoint is a config, a
tokenizer trained on the spot and one safetensors file of numpy arrays.
"""

import json
from pathlib import Path
from typing import Any

EOS, BOS, UNKNOWN = "<|im_end|>", "<|im_start|>", "<|endoftext|>"

SYSTEM_PROMPT = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\n" + SYSTEM_PROMPT + "<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML as SmolLM2-Instruct has it, default system prompt included."""

VOCABULARY_TEXT = """
system user assistant You are a helpful AI assistant named SmolLM, trained by Hugging Face.
Find the greatest common divisor of these numbers: 12, 18 and 30. Give only the number as your final answer.
State the final answer to the following arithmetic problem: 3 + 4 - 5 = 2. The result is negative or positive.
How many times does the letter appear in the text? Count each letter, then write the total after the marker ####.
What day of the week was it on January, February, March, April, May, June, July, August, September, October,
November, December? Answer with the weekday: Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday.
How many days are there between this year and the next? A leap year has one day more. Return the number of days.
Sort these words in ascending order and return them as a list separated by commas. Reverse the sentence.
The capital of France is Paris. Water boils at one hundred degrees. The sun rises in the east and sets in the west.
Once upon a time there was a little village beside the river, where an old woman kept a garden full of flowers.
Every morning the children walked to school, and in the evening they came home to read books and tell stories.
The engine turns the wheel, the wheel drives the belt, and the belt moves the grain from the barn to the mill.
People have always looked at the stars and asked how far away they are, what they are made of and how they began.
He said that she would never have known about it if they had not seen which people could make some other thing.
Because work takes time, good tools should be simple, small, clear and quick; use them with care, then begin again.
Light travels faster than sound. A question may have more than one answer. Think first, explain your reasoning,
and check whether the answer is correct. Please write a short paragraph about history, science, music or nature.
Solve the equation, compute the sum, the difference, the product and the remainder. Divide by two, multiply by ten.
If a train leaves the station at noon and another follows an hour later, when will the second reach the first?
Note: e-mail and web addresses such as name@example.com or http://www.example.org stand in text as well.
"""


def make_tiny_model(folder: Path, seed: int = 0, **sizes: int) -> None:
    """Write a random Llama (hidden 64, 2 layers, 4 heads, 2 key-value heads, tied embeddings) to ``folder``.

    float32, about 1,000 tokens, eos = pad = ``<|im_end|>``; the same ``seed`` writes the same bytes.

    Args:
        sizes: of its config (``hidden_size``, ``vocab_size`` ...), where they are to be others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _train_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = _llama_config(tokenizer) | sizes
    _write_json(folder / "config.json", config)
    ids = {name: config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    _write_json(folder / "generation_config.json", ids)
    _write_json(folder / "tokenizer_config.json", _tokenizer_config())
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    _write_weights(folder / "model.safetensors", config, seed)


def _train_tokenizer() -> Any:
    """A byte-level BPE tokenizer that splits as SmolLM2's does: digits one by one, then GPT-2's pattern."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in (UNKNOWN, BOS, EOS)],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(VOCABULARY_TEXT.splitlines(), trainer)
    return tokenizer


def _tokenizer_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": EOS,
        "unk_token": UNKNOWN,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 2048,
    }


def _llama_config(tokenizer: Any) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "vocab_size": tokenizer.get_vocab_size(),
        "bos_token_id": tokenizer.token_to_id(BOS),
        "eos_token_id": tokenizer.token_to_id(EOS),
        "pad_token_id": tokenizer.token_to_id(EOS),
        "dtype": "float32",
        "use_cache": True,
    }


def _write_weights(file: Path, config: dict[str, Any], seed: int) -> None:
    """Normal weights of standard deviation ``initializer_range``, norms of one, in the order of their names."""
    import numpy as np
    from safetensors.numpy import save_file

    random = np.random.default_rng(seed)
    weights = {}
    for name, shape in sorted(_shapes(config).items()):
        noise = config["initializer_range"] * random.standard_normal(shape, dtype=np.float32)
        weights[name] = np.ones(shape, np.float32) if "norm" in name else noise
    save_file(weights, file, metadata={"format": "pt"})


def _shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name → shape of every stored tensor; the output head is tied to the embeddings and not stored."""
    hidden, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    layer = {
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    shapes: dict[str, tuple[int, ...]] = {
        f"model.layers.{index}.{name}.weight": shape
        for index in range(config["num_hidden_layers"])
        for name, shape in layer.items()
    }
    return shapes | {"model.embed_tokens.weight": (config["vocab_size"], hidden), "model.norm.weight": (hidden,)}


def _write_json(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
