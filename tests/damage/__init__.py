"""Doing damage to a run's files, and seeing what the commands make of it."""
