"""Runs and sweeps read back: found, indexed, put into tables, compared, exported, removed."""
