"""Looking into a composed config and changing it, by dotted key."""

from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException


def update(config: DictConfig, name: str, value: Any) -> None:
    """Set ``name`` (``+name`` where the config does not have it yet) to ``value``, in place.

    As Hydra does it: a mapping joins the one that is there, all else takes its place.
    """
    merge = isinstance(value, Mapping)
    if name.startswith("+"):
        with open_dict(config):
            OmegaConf.update(config, name.lstrip("+"), value, merge=merge, force_add=True)
    else:
        OmegaConf.update(config, name, value, merge=merge)


def keys_of(config: Any, prefix: str = "") -> Iterator[str]:
    """Every key of a config by its full dotted name, branches and leaves."""
    if isinstance(config, DictConfig):
        for key in config:
            name = f"{prefix}{key}"
            yield name
            child = config._get_node(key)
            if isinstance(child, DictConfig) and not child._is_none():
                yield from keys_of(child, f"{name}.")


def has_key(config: DictConfig, name: str) -> bool:
    """Whether a config has ``name``, be its value null, missing or an interpolation."""
    node: Any = config
    for part in name.split("."):
        if isinstance(node, ListConfig):
            if not part.lstrip("-").isdigit() or not -len(node) <= int(part) < len(node):
                return False
            node = node._get_node(int(part))
        elif isinstance(node, DictConfig) and not node._is_none():
            if node._is_interpolation():
                node = node._maybe_dereference_node()
            node = node._get_node(part, validate_access=False)  # type: ignore[union-attr]
        else:
            return False
        if node is None:
            return False
    return True


def is_mapping_at(config: DictConfig, name: str) -> bool:
    """Whether a config has a mapping under ``name``."""
    try:
        return isinstance(OmegaConf.select(config, name), DictConfig)
    except OmegaConfBaseException:
        return False  # an interpolation that leads nowhere
