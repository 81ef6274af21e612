"""Configs of runs: reading one, and writing one with what must not be resolved left as it was written."""

import io
from enum import Enum
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from caviar.base.errors import UsageError
from caviar.base.private import resolvers_replaced
from caviar.runs.earlier import of_today
from caviar.runs.files import MOST_PARSED, read_text
from caviar.runs.folder import CONFIG
from caviar.runs.parsing import parse_yaml

_LEFT_AS_WRITTEN = ("oc.env", "hydra")
"""Resolvers whose value belongs to one person, one machine or one run: a token, a folder."""


def resolved(config: DictConfig) -> dict[str, Any]:
    """``config`` as plain containers, every interpolation resolved but those that lead to a secret.

    A node that reaches ``${oc.env:…}`` or ``${hydra:…}``, directly or through other nodes, keeps the
    text it was written with, so no environment variable ever lands in a file.
    """
    with resolvers_replaced(_refuse, _LEFT_AS_WRITTEN):
        return _plain(config)


def read_config(run: Path) -> DictConfig:
    """The config of a run, as Hydra reads it.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    path = run / CONFIG
    try:
        text = read_text(path, most=MOST_PARSED)
    except FileNotFoundError:
        raise UsageError(f"run={run}: it has no {CONFIG}") from None
    try:
        parse_yaml(text)  # what Hydra's reader would be too deep or too large for
        config = OmegaConf.load(io.StringIO(text))
    except (ValueError, yaml.YAMLError, OmegaConfBaseException, OSError) as error:
        raise UsageError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(config, DictConfig):
        raise UsageError(f"{path}: not a config")
    return cast("DictConfig", OmegaConf.create(of_today(OmegaConf.to_container(config))))


def _plain(node: DictConfig | ListConfig) -> Any:
    if isinstance(node, DictConfig):
        return {_bare(key): _value(node, key) for key in node}
    return [_value(node, index) for index in range(len(node))]


def _value(parent: DictConfig | ListConfig, key: Any) -> Any:
    if OmegaConf.is_missing(parent, key):
        return "???"
    try:
        value = parent[key]
    except OmegaConfBaseException:
        # Written as it stands: what it would resolve to is a secret, or cannot be had.
        own = OmegaConf.masked_copy(parent, key) if isinstance(parent, DictConfig) else parent
        return OmegaConf.to_container(own)[key]  # type: ignore[index]
    if isinstance(value, DictConfig | ListConfig):
        return _plain(value)
    return _bare(value)


def _bare(value: Any) -> Any:
    """A leaf, or a key, as Hydra writes and reads it: a number, a word, an enum's name."""
    if isinstance(value, Enum):
        return value.name
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _refuse(*_: Any, **__: Any) -> None:
    raise LookupError
