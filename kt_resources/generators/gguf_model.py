"""A GGUF file opened with llama.cpp: vocabulary, metadata, and decoding of many sequences at once."""

import ctypes
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kt_resources.decoding.context import MICRO_BATCH, Feed
from kt_resources.errors import GenerationError

if TYPE_CHECKING:
    import numpy as np

MOST_SEQUENCES = 256
"""Most sequences that a llama.cpp context holds."""

SPIN_COUNT = "10000"
"""Turns that an OpenMP thread spins at a barrier before it sleeps (libgomp): where cores are shared, the default
of millions of turns makes two threads many times slower than one."""


class GgufModel:
    """A model in memory, without a context. Close it, or use it in a ``with`` statement."""

    def __init__(self, file: Path, vocab_only: bool = False) -> None:
        lib = library()
        self.file = file
        params = model_parameters()
        params.vocab_only = vocab_only
        self.pointer: Any = lib.llama_model_load_from_file(str(file).encode(), params)
        if not self.pointer:
            mend = "see whether the file is a whole GGUF of an architecture that llama.cpp knows"
            raise GenerationError("llama.cpp cannot load it", where=str(file), mend=mend)
        self.vocab: Any = lib.llama_model_get_vocab(self.pointer)
        self.vocab_size: int = lib.llama_vocab_n_tokens(self.vocab)

    def __enter__(self) -> "GgufModel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the weights; calling it again does nothing."""
        if self.pointer:
            library().llama_model_free(self.pointer)
            self.pointer = None

    @cached_property
    def metadata(self) -> dict[str, str]:
        """Scalar metadata of the file, as text."""
        lib, found = library(), {}
        for index in range(lib.llama_model_meta_count(self.pointer)):
            key = _text(lib.llama_model_meta_key_by_index, self.pointer, index)
            found[key] = _text(lib.llama_model_meta_val_str_by_index, self.pointer, index)
        return found

    def tokenize(self, text: str, add_special: bool = False) -> list[int]:
        """Ids of ``text``; special tokens in it are parsed."""
        lib, raw = library(), text.encode()
        room = len(raw) + 8
        tokens = (lib.llama_token * room)()
        count = lib.llama_tokenize(self.vocab, raw, len(raw), tokens, room, add_special, True)
        return list(tokens[:count])

    def detokenize(self, token_ids: Sequence[int], special: bool = False) -> str:
        """Text of the ids; ``special`` renders special tokens too."""
        lib = library()
        tokens = (lib.llama_token * len(token_ids))(*token_ids)
        room = 32 * len(token_ids) + 64
        buffer = ctypes.create_string_buffer(room)
        count = lib.llama_detokenize(self.vocab, tokens, len(token_ids), buffer, room, False, special)
        if count < 0:
            buffer = ctypes.create_string_buffer(-count)
            count = lib.llama_detokenize(self.vocab, tokens, len(token_ids), buffer, -count, False, special)
        return buffer.raw[:count].decode("utf-8", errors="replace")

    def special_id(self, name: str) -> int | None:
        """Id of ``bos``, ``eos`` or ``pad``; None where the file names none."""
        index = getattr(library(), f"llama_vocab_{name}")(self.vocab)
        return index if index >= 0 else None

    def special_token(self, name: str) -> str:
        """Text of ``bos`` or ``eos``; empty where there is none."""
        index = self.special_id(name)
        return "" if index is None else library().llama_vocab_get_text(self.vocab, index).decode()

    def end_ids(self) -> frozenset[int]:
        """Every token that llama.cpp takes as the end of an answer."""
        lib = library()
        return frozenset(index for index in range(self.vocab_size) if lib.llama_vocab_is_eog(self.vocab, index))


class GgufContext:
    """Room for ``num_sequences`` sequences of ``length`` tokens each; every sequence has a buffer of its own.

    ``exact`` keeps attention in float32 (logits within 1e-6 of the checkpoint's, against 3e-4 in float16 on a random
    model) at about 13 % of the speed.
    """

    def __init__(self, model: GgufModel, num_sequences: int, length: int, exact: bool = False) -> None:
        lib = library()
        self.model, self.num_sequences = model, num_sequences
        self.length = -(-length // 32) * 32
        params = lib.llama_context_default_params()
        params.n_ctx = self.length * num_sequences
        params.n_seq_max = num_sequences
        params.n_batch = params.n_ubatch = MICRO_BATCH
        params.kv_unified = False
        params.no_perf = True
        if exact:
            params.type_k = params.type_v = lib.GGML_TYPE_F32
            params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.n_threads = params.n_threads_batch = thread_count()
        self.pointer: Any = lib.llama_init_from_model(model.pointer, params)
        if not self.pointer:
            mend = "use fewer sequences at once or shorter completions"
            size = f"{num_sequences} sequences of {self.length} tokens"
            raise GenerationError(f"llama.cpp found no memory for {size}", where=str(model.file), mend=mend)
        self.memory: Any = lib.llama_get_memory(self.pointer)
        self.batch: Any = lib.llama_batch_init(MICRO_BATCH, 0, 1)

    def close(self) -> None:
        """Free the buffers; calling it again does nothing."""
        if self.pointer:
            lib = library()
            lib.llama_batch_free(self.batch)
            lib.llama_free(self.pointer)
            self.pointer = None

    def decode(self, feeds: Sequence[Feed]) -> None:
        """Run the model over at most ``MICRO_BATCH`` tokens."""
        batch = self.batch
        batch.n_tokens = len(feeds)
        for index, feed in enumerate(feeds):
            batch.token[index] = feed.token
            batch.pos[index] = feed.position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = feed.sequence
            batch.logits[index] = feed.wants_logits
        status = library().llama_decode(self.pointer, batch)
        if status != 0:
            raise GenerationError(f"llama.cpp stopped with status {status}", where=str(self.model.file))

    def logits(self, index: int) -> "np.ndarray":
        """Logits after the token at ``index`` of the last batch: float32 (vocabulary,), valid until the next."""
        import numpy as np

        pointer = library().llama_get_logits_ith(self.pointer, index)
        return np.ctypeslib.as_array(pointer, shape=(self.model.vocab_size,))

    def copy(self, source: int, target: int) -> None:
        """Give ``target`` what ``source`` holds."""
        library().llama_memory_seq_cp(self.memory, source, target, -1, -1)

    def forget(self, sequence: int, position: int = 0) -> int:
        """Drop a sequence's tokens from ``position`` on; how many are left.

        A recurrent model cannot go back: it drops them all.
        """
        if library().llama_memory_seq_rm(self.memory, sequence, position, -1):
            return position
        library().llama_memory_seq_rm(self.memory, sequence, -1, -1)
        return 0


def thread_count() -> int:
    """Threads to compute with: ``OMP_NUM_THREADS`` where set, else the cores that this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) > 0 else len(os.sched_getaffinity(0))


def model_parameters() -> Any:
    """llama.cpp's parameters for loading a model; weights in the file's own layout where it was built for AMX.

    GCC before 12.4 and 13.3 (its bug 114098) leaves out what ``ldtilecfg`` is to read: llama.cpp compiled by it for a
    processor with these tiles dies in the first product of quantized weights (its issue 20824). llama.cpp does not tell
    its compiler, and no layout can be switched off alone: others, of Q4_0 for example, are off there too.
    """
    params = library().llama_model_default_params()
    params.use_extra_bufts = not computes_in("AMX_INT8")
    return params


def computes_in(instructions: str) -> bool:
    """Whether llama.cpp was built for a processor with these ``instructions``, as it names them (``AVX512_BF16``)."""
    return f"{instructions} = 1".encode() in library().llama_print_system_info()


_silent: Any = None


def library() -> Any:
    """llama.cpp's C interface, silenced."""
    global _silent
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    import llama_cpp

    if _silent is None:
        _silent = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(_silent, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
    return llama_cpp


def _text(read: Any, pointer: Any, index: int, room: int = 4096) -> str:
    buffer = ctypes.create_string_buffer(room)
    count = read(pointer, index, buffer, room)
    if count >= room:
        return _text(read, pointer, index, count + 1)
    return buffer.value.decode("utf-8", errors="replace")
