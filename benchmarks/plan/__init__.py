"""Predicted against actual: peak memory and time of the real 135M model over many configurations."""
