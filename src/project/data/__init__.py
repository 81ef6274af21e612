"""Data sets: a file each, a DataModule in it. Nothing is imported here: `check` reads no torch."""
