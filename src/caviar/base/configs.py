"""Looking into a composed config and changing it, by dotted key."""

from collections.abc import Iterator, Mapping
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
