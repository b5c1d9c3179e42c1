"""Our training program beside TRL as it comes and LLaMA-Factory: the same rows, a step each in turn."""
