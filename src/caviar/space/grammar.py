"""Reading a space: Hydra's own override grammar, so that a hydra-optuna-sweeper space works unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    IntervalSweep,
    Override,
    QuotedString,
    RangeSweep,
    Transformer,
)
from hydra.errors import HydraException

from caviar.base.errors import usage_error
from caviar.space.hyperparameters import Choice, Hyperparameter, Interval, Range
from caviar.space.quoting import as_text
from caviar.space.scales import LINEAR, SCALES


@dataclass(frozen=True)
class Reading:
    """What was read: the hyperparameters to search, and the overrides that hold in every trial.

    ``typed`` has the names of those hyperparameters that the command line gave.
    """

    hyperparameters: list[Hyperparameter]
    fixed: list[str]
    typed: frozenset[str]


def read(
    params: Mapping[str, Any], arguments: Iterable[str], config_loader: ConfigLoader | None = None
) -> Reading:
    """Read a ``params`` block and the command line; where both name a key, the command line holds.

    Args:
        params: name -> text in the grammar, or a plain value.
        arguments: the task's overrides, as Hydra hands them to a sweeper.
        config_loader: needed for ``glob(…)`` over a config group.

    Raises:
        UsageError: text that the grammar does not know, or bounds that cannot work.
    """
    parser = OverridesParser.create(config_loader=config_loader)
    found: dict[str, Override] = {}
    written = [f"{key}={_as_text(value)}" for key, value in params.items()]
    typed: set[str] = set()
    for index, line in enumerate([*written, *arguments]):
        try:
            override = parser.parse_override(line)
        except HydraException as error:
            key, _, value = line.partition("=")
            raise usage_error(key, value, str(error).splitlines()[0]) from error
        override.config_loader = config_loader  # Hydra sets it only where it parses several at once
        key = override.get_key_element().lstrip("+")
        if _is_kept(override):
            key = line  # of its own: it may delete, or extend, what an override before it has added
        # Popped first, so that the order is that of the last mention.
        found.pop(key, None)
        found[key] = override
        if index >= len(written):
            typed.add(override.get_key_element())
    hyperparameters: list[Hyperparameter] = []
    fixed: list[str] = []
    for override in found.values():
        if _is_kept(override):
            fixed.append(str(override.input_line))
        elif override.is_sweep_override():
            hyperparameters.append(_hyperparameter(override))
        else:
            fixed.append(f"{override.get_key_element()}={override.get_value_element_as_str()}")
    return Reading(hyperparameters, fixed, frozenset(typed))


def as_override(name: str, value: Any) -> str:
    """The override ``name=value`` that Hydra reads back as exactly this value."""
    return f"{name}={as_text(value)}"


def _is_kept(override: Override) -> bool:
    """Whether an override is more than a key and its value: Hydra 1.4 can extend a list."""
    extends = getattr(override, "is_list_extend", None)
    return override.is_delete() or (extends is not None and extends())


def _hyperparameter(override: Override) -> Hyperparameter:
    # A leading + stays with the name: it says that the config does not have the key yet.
    name = override.get_key_element()
    value = override.value()
    text = override.get_value_string()
    if isinstance(value, IntervalSweep):
        return _interval(name, value, text)
    tags: set[str] = getattr(value, "tags", set[str]())
    if tags & set(SCALES):
        raise usage_error(name, text, "a scale needs an interval(low, high)")
    if isinstance(value, RangeSweep):  # shuffled or not: a sampler decides on the order
        low, high, step = value.start, value.stop, value.step
        for cast in getattr(value, "transformers", ()):  # float(range(…)); Hydra 1.3 has done it
            low, high, step = cast(low), cast(high), cast(step)
        assert low is not None
        assert high is not None
        return Range(name, low, high, step)  # type: ignore[arg-type]  # no Decimal comes of a text
    return Choice(name, tuple(_plain(option) for option in override.sweep_iterator()))


def _interval(name: str, value: IntervalSweep, text: str) -> Interval:
    unknown = sorted(value.tags - set(SCALES))
    if unknown:
        raise usage_error(name, text, f"no scale is called {unknown[0]}", SCALES, unknown[0])
    if len(value.tags) > 1:
        raise usage_error(name, text, f"one scale at a time, not {sorted(value.tags)}")
    assert value.start is not None
    assert value.end is not None
    scale = SCALES[next(iter(value.tags))] if value.tags else LINEAR
    integer = isinstance(value.start, int) and isinstance(value.end, int)
    return Interval(name, value.start, value.end, scale, integer and scale.name != "reverse_log")


def _plain(value: Any) -> Any:
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        held = cast("dict[Any, Any]", value)
        return {_plain(key): _plain(item) for key, item in held.items()}
    return value


def _as_text(value: Any) -> str:
    # In a params block a string is grammar; anything else is the plain value itself.
    return value if isinstance(value, str) else Transformer.str(value)
