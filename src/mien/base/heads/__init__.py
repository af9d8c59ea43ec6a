"""Heads: the outputs of a network, one file for each kind. NumPy alone."""
