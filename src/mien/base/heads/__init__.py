"""Heads: the outputs of a network, one file for each kind. This folder needs only NumPy."""
