"""Data sets: a file each. Nothing is imported here: `check` reads no torch."""
