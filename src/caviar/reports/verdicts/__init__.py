"""What a sweep means: a verdict is a function in a file here, and a line in `registry.py`."""
