"""Looking into a composed config and changing it, by dotted key."""

import pickle
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, cast

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


def update(config: DictConfig, name: str, value: Any) -> None:
    """Set ``name`` (``+name`` where the config does not have it yet) to ``value``, in place.

    As Hydra does it: a mapping joins the one that is there, all else takes its place.
    """
    merge, added = isinstance(value, Mapping), name.startswith("+")
    OmegaConf.update(config, name.lstrip("+"), value, merge=merge, force_add=added)


def keys_of(config: Any, prefix: str = "") -> Iterator[str]:
    """Every key of a config by its full dotted name, branches and leaves."""
    if isinstance(config, DictConfig):
        for key in config:
            name = f"{prefix}{key}"
            yield name
            refers = OmegaConf.is_interpolation(config, key)  # type: ignore[arg-type]  # any key does
            if not (refers or OmegaConf.is_missing(config, key)):
                yield from keys_of(config[key], f"{name}.")


def has_key(config: DictConfig, name: str) -> bool:
    """Whether a config has ``name``, be its value null, missing or an interpolation."""
    node: Any = config
    *branches, last = name.split(".")
    for part in branches:
        try:
            node = node[int(part)] if isinstance(node, ListConfig) else node[part]
        except (OmegaConfBaseException, LookupError, TypeError, ValueError):
            return False  # not there, or it leads nowhere
    if isinstance(node, ListConfig):
        return last.lstrip("-").isdigit() and -len(node) <= int(last) < len(node)
    return isinstance(node, DictConfig) and last in node.keys()  # noqa: SIM118  # `in` is of values


def value_at(config: Any, name: str) -> Any:
    """What a plain config (of dicts) has under ``name``; None where it has no such key."""
    for part in name.split("."):
        config = cast("dict[str, Any]", config).get(part) if isinstance(config, dict) else None
    return config


def is_mapping_at(config: DictConfig, name: str) -> bool:
    """Whether a config has a mapping under ``name``."""
    try:
        return isinstance(OmegaConf.select(config, name), DictConfig)
    except OmegaConfBaseException:
        return False  # an interpolation that leads nowhere


class Configs:
    """Makes OmegaConf's configs of plain ones, which differ in little, in a tenth of the usual time.

    One is kept, pickled: of it every other is a copy, with the values put in that differ.
    """

    def __init__(self) -> None:
        self._plain: dict[Any, Any] | None = None
        self._pickled = b""

    def __call__(self, plain: Mapping[str, Any]) -> DictConfig:
        """What ``OmegaConf.create`` gives of ``plain``; the caller's own, to change."""
        values: list[tuple[tuple[Any, ...], Any]] = []
        if self._plain is not None and _differ(self._plain, plain, (), values):
            config = pickle.loads(self._pickled)
            for (*branches, last), value in values:
                node = config
                for part in branches:
                    node = node[part]
                node[last] = value
            return config
        config = OmegaConf.create(dict(plain))
        self._plain, self._pickled = deepcopy(dict(plain)), pickle.dumps(config)
        return config


def _differ(
    one: Any, other: Any, path: tuple[Any, ...], values: list[tuple[tuple[Any, ...], Any]]
) -> bool:
    """Whether two differ in plain values alone: those of ``other``, which are added to ``values``."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        ours, theirs = cast("Mapping[Any, Any]", one), cast("Mapping[Any, Any]", other)
        return list(ours) == list(theirs) and all(
            _differ(ours[key], theirs[key], (*path, key), values) for key in ours
        )
    if repr(cast("Any", one)) == repr(other):  # 1 and 1.0 are not the same
        return True
    values.append((path, other))
    plain = bool | int | float | str | None
    return isinstance(one, plain) and isinstance(other, plain)
