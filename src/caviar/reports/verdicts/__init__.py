"""What a sweep means: a verdict is a file with one function, and a line in `registry.py`."""
