"""Random numbers that follow from the seed alone, and leave no trace."""

from caviar.engines.called.seeds import derived, seeded

__all__ = ["derived", "seeded"]
