"""A space: hyperparameters in the order they are drawn in, and the conditions under which they exist."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from caviar.base.errors import usage_error
from caviar.space.hyperparameters import Choice, Hyperparameter, Range
from caviar.space.quoting import as_text

Condition = Mapping[str, tuple[Any, ...]]
"""Parent name -> the values of it under which the child exists; all parents must agree."""


@dataclass(frozen=True)
class Space:
    """What a sweep searches.

    Attributes:
        hyperparameters: parents before children.
        conditions: child name -> its condition; a name that is missing always exists.
    """

    hyperparameters: tuple[Hyperparameter, ...]
    conditions: Mapping[str, Condition] = field(default_factory=dict[str, Condition])

    @classmethod
    def build(
        cls,
        hyperparameters: list[Hyperparameter],
        when: Mapping[str, Mapping[str, Any]],
        value_of: Callable[[str], Any],
        typed: Container[str] = (),
    ) -> Space:
        """Put hyperparameters and ``when`` together.

        A condition on something that is not searched is settled now, by its value in the config:
        the child is always there, or not at all.

        Args:
            hyperparameters: the search space, in the order it was written.
            when: child -> {parent: value or list of values}.
            value_of: the value of a parent that is not searched, in the composed config.
            typed: names given on the command line: whoever types one wants it searched.

        Raises:
            UsageError: ``when`` names no hyperparameter, a value its parent cannot take, or a circle;
                one of ``typed`` is not there.
        """
        known = {hyperparameter.name: hyperparameter for hyperparameter in hyperparameters}
        conditions: dict[str, dict[str, tuple[Any, ...]]] = {}
        dropped: set[str] = set()
        for child, parents in when.items():
            if child not in known:
                raise usage_error("when", child, "not in the space", known)
            for parent, allowed in parents.items():
                several = isinstance(allowed, list | tuple)
                values = tuple(cast("Sequence[Any]", allowed)) if several else (allowed,)
                if parent in known:
                    _check_values(f"when.{child}.{parent}", values, known[parent])
                    conditions.setdefault(child, {})[parent] = values
                elif (value := value_of(parent)) not in values:
                    dropped.add(child)
                    if child in typed:
                        choices = " or ".join(f"{parent}={as_text(option)}" for option in values)
                        why = f"exists under {choices} only (when), and here {parent}={as_text(value)}"
                        raise usage_error(child, known[child], why)
        ordered = _parents_first(known, conditions)
        for hyperparameter in ordered:
            if any(parent in dropped for parent in conditions.get(hyperparameter.name, {})):
                dropped.add(hyperparameter.name)
        return cls(
            tuple(h for h in ordered if h.name not in dropped),
            {name: value for name, value in conditions.items() if name not in dropped},
        )

    def draw(self, suggest: Callable[[Hyperparameter], Any]) -> dict[str, Any]:
        """Values as the run sees them, by name.

        Args:
            suggest: gives the study's value for a hyperparameter; asked only for those that exist.
        """
        values: dict[str, Any] = {}
        for hyperparameter in self.hyperparameters:
            if self.exists(hyperparameter.name, values):
                values[hyperparameter.name] = hyperparameter.from_study(suggest(hyperparameter))
        return values

    def check(self, point: Mapping[str, Any], key: str) -> None:
        """Check values for some or all hyperparameters, by name.

        Raises:
            UsageError: a name that the space does not have, or a value that it cannot take; ``key``
                says where the point stands.
        """
        known = {h.name: h for h in self.hyperparameters}
        for name, value in point.items():
            if name not in known:
                raise usage_error(key, name, "not in the space", known)
            if not known[name].holds(value):
                raise usage_error(f"{key}.{name}", value, f"outside of {known[name]}")

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether a trial with exactly these values, by name, could have been drawn from the space."""
        known = {h.name: h for h in self.hyperparameters}
        there = all(name in values for name in known if self.exists(name, values))
        return there and all(
            name in known and self.exists(name, values) and known[name].holds(value)
            for name, value in values.items()
        )

    def exists(self, name: str, values: Mapping[str, Any]) -> bool:
        """Whether ``name`` exists, given the values of those drawn before it."""
        return all(
            parent in values and values[parent] in allowed
            for parent, allowed in self.conditions.get(name, {}).items()
        )


def _check_values(key: str, values: tuple[Any, ...], parent: Hyperparameter) -> None:
    if not isinstance(parent, Choice | Range):
        why = f"{parent.name} is an interval; a condition needs choices"
        raise usage_error(key, list(values), why)
    for value in values:
        if isinstance(parent, Choice) and value not in parent.options:
            raise usage_error(key, value, f"{parent.name} never takes this value", parent.options)
        if isinstance(parent, Range) and not parent.holds(value):
            raise usage_error(key, value, f"{parent.name} never takes this value: it is {parent}")


def _parents_first(
    known: Mapping[str, Hyperparameter], conditions: Mapping[str, Condition]
) -> list[Hyperparameter]:
    ordered: list[str] = []
    waiting = list(known)
    while waiting:
        ready = [n for n in waiting if all(p in ordered for p in conditions.get(n, {}))]
        if not ready:
            raise usage_error("when", waiting[0], "conditions go round in a circle")
        ordered += ready
        waiting = [n for n in waiting if n not in ready]
    return [known[name] for name in ordered]
