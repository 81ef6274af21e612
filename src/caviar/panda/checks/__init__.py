"""What may be wrong with a training: a check is a function, and a line in `registry.py`."""
