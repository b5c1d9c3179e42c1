"""What the field says of its methods, tried on the 135M model: the same rows, about 100 steps, three seeds."""
