"""What an output of a network says: one file a kind of output. NumPy alone."""
