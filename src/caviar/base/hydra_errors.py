"""Hydra's errors of composition, in one line, with the nearest name."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf

from caviar.base.configs import has_key
from caviar.base.errors import nearest, usage_error


def explain(error: Exception, keys: Callable[[], Iterable[str]], folder: Path | None = None) -> str:
    """One line for an error that Hydra or OmegaConf raised.

    Args:
        keys: gives every key that the config has; asked for only where one was not found.
        folder: the app's configs, to find the choice of a config group that has such a key.
    """
    text = str(error)
    if isinstance(error, MissingConfigException) and error.options:
        missing = re.search(r"Could not find '([^']+)'", text)
        if missing:
            group, _, option = missing[1].rpartition("/")
            return str(usage_error(group, option, "no such option of this group", error.options))
    override = re.search(
        r"Could not override '([^']+)'\.\nTo append to your config use \+(.*)", text
    )
    if override:
        key, written = override[1], override[2]
        choices = _choices_with(key, folder) if folder else []
        if choices:
            return f"{written}: the config has no such key; it is there with {' or '.join(choices)}"
        near = nearest(key, keys())
        hint = f"; did you mean {near}?" if near else ""
        return f"{written}: the config has no such key{hint} (+{key} adds it)"
    lines = text.splitlines()
    if isinstance(error, HydraException) and error.__cause__ is not None:
        lines += str(error.__cause__).splitlines()[:1]
    return " ".join(line.strip() for line in lines if line.strip())


def _choices_with(key: str, folder: Path) -> list[str]:
    """The options of the group that ``key`` begins with whose file has the rest of ``key``."""
    group, _, rest = key.partition(".")
    files = sorted((folder / group).glob("*.yaml")) if rest else []
    found: list[str] = []
    for file in files:
        try:
            config = OmegaConf.load(file)
        except Exception:  # not what was asked about
            continue
        if isinstance(config, DictConfig) and has_key(config, rest):
            found.append(f"{group}={file.stem}")
    return found
