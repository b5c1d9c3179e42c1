"""Decoding many sequences at once with a model in memory: what generation and rollouts share."""
