"""The run folder: writing and reading it. Solo, fused and foreign tasks all leave the same files."""
