"""Random numbers that follow from the seed alone, and leave no trace."""

from caviar.engines.called.seeds import derived, seed_torch, seeded

__all__ = ["derived", "seed_torch", "seeded"]
