"""Heads, the outputs of a network: one file for each kind of head. The code here imports only NumPy."""
