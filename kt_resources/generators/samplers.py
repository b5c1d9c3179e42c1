"""llama.cpp's sampler chains: one a running completion, seeded on its own."""

from typing import Any

from kt_resources.errors import GenerationError
from kt_resources.generators.config import Sampling
from kt_resources.generators.gguf_model import GgufModel, library


def sampler_chain(model: GgufModel, sampling: Sampling, seed: int) -> Any:
    """A chain: grammar, temperature, top-k, top-p, draw (or greedy at temperature 0). Free it with ``free_chain``.

    Raises:
        GenerationError: llama.cpp does not accept the grammar.
    """
    lib = library()
    chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
    if sampling.grammar is not None:
        grammar = lib.llama_sampler_init_grammar(model.vocab, sampling.grammar.encode(), b"root")
        if not grammar:
            lib.llama_sampler_free(chain)
            mend = "a GBNF grammar has a rule named root; see llama.cpp's grammars/README.md"
            raise GenerationError("llama.cpp cannot parse the grammar", where="sampling.grammar", mend=mend)
        lib.llama_sampler_chain_add(chain, grammar)
    if sampling.temperature == 0:
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_greedy())
        return chain
    if sampling.temperature != 1:
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_temp(sampling.temperature))
    if sampling.top_k > 0:
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_top_k(sampling.top_k))
    if sampling.top_p < 1:
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_top_p(sampling.top_p, 1))
    lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_dist(seed))
    return chain


def free_chain(chain: Any) -> None:
    library().llama_sampler_free(chain)


def sample(chain: Any, context: Any, index: int) -> int:
    """Draw a token from the logits at ``index`` of the last batch, and tell the chain."""
    return library().llama_sampler_sample(chain, context, index)
