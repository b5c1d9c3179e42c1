"""How much memory a training takes, by part and phase, before it runs. Pure functions; imports no torch."""
