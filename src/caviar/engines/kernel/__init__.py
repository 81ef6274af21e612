"""Lanes on a GPU, each trained in a multiprocessor by one Triton program."""
