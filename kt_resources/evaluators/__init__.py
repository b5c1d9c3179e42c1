"""Evaluation: lm-eval over every model of a line, with intervals, gates and perplexity on general text."""
