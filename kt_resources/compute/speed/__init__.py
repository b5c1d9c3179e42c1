"""How long a training takes, before it runs: its arithmetic, and how fast this device does it."""
