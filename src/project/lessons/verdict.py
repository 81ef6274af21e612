"""What the data say of a claim: one rule for all lessons."""

from collections.abc import Sequence
from dataclasses import dataclass

from caviar.base.intervals import Estimate

HOLDS, FAILS, DEPENDS = "holds", "does not hold", "depends"


def verdict(effects: Sequence[Estimate]) -> str:
    """The verdict on a claim, from its effects, each positive where it is in the claim's favour.

    Returns:
        ``holds`` where every interval lies above 0; ``does not hold`` where every one lies below;
        ``depends`` where they differ, or where one holds 0 and so decides nothing.
    """
    sides = {effect.side for effect in effects}
    if sides == {1}:
        return HOLDS
    return FAILS if sides == {-1} else DEPENDS


@dataclass(frozen=True)
class Claim:
    """A claim and what came of it.

    Attributes:
        text: what is claimed.
        effects: by name; each is positive where it is in the claim's favour.
        unit: of the effects.
    """

    text: str
    effects: dict[str, Estimate]
    unit: str

    @property
    def verdict(self) -> str:
        """See `verdict`."""
        return verdict(list(self.effects.values()))

    @property
    def number(self) -> str:
        """The effects with their intervals, in words."""
        effects = "; ".join(f"{name}: {effect}" for name, effect in self.effects.items())
        return f"{effects} {self.unit}"


@dataclass(frozen=True)
class Lesson:
    """A lesson's outcome: its claims, and its figure as SVG text."""

    claims: list[Claim]
    figure: str
