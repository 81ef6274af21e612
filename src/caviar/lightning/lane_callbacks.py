"""The callbacks of a config as lanes have them: those that they know, and others, which they call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from caviar.base.objectives import first
from caviar.base.scoring import BEST
from caviar.base.security import instantiate
from caviar.engines.experiment import EarlyStopping, NotFusibleError

_CALLBACKS = "caviar.lightning.callbacks."
STOPPING = "early_stopping.EarlyStopping"
_KNOWN_CALLBACKS = (
    STOPPING, "checkpoint.BestAndLast", "nan_guard.NanGuard", "progress_bar.ProgressBar",
)  # fmt: skip


def _settings(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The callbacks of a config that are not null, by name."""
    given = config.get("callbacks") or {}
    several = {"_target_": given} if "_target_" in given else given
    return {name: settings for name, settings in several.items() if settings}


def known_callbacks(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of each callback, by its class's place in `caviar.lightning.callbacks`.

    Raises:
        NotFusibleError: what is kept is not what the score is of.
    """
    found = {}
    for name, settings in _settings(config).items():
        kind = str(settings["_target_"]).removeprefix(_CALLBACKS)
        found[kind] = {key: value for key, value in settings.items() if key != "_target_"}
        if kind == "checkpoint.BestAndLast":
            for key in ("metric", "direction", "score"):
                if first(settings.get(key, BEST)) != first(config.get(key, BEST)):
                    raise NotFusibleError(f"callbacks.{name}.{key}={settings.get(key)}")
    stopping = found.get(STOPPING)
    if stopping is not None:
        stopping.setdefault("patience", 10)
        stopping |= {key: first(stopping[key]) for key in ("metric", "direction")}
    return found


def other_callbacks(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of the callbacks that lanes do not know by their names, which they call.

    Raises:
        NotFusibleError: one of them is told of the run folder, or has no logger that it asks for.
    """
    found = {
        name: settings
        for name, settings in _settings(config).items()
        if str(settings["_target_"]).removeprefix(_CALLBACKS) not in _KNOWN_CALLBACKS
    }
    for name, settings in found.items():
        if setting := _of_folder(settings, config.get("dir")):
            raise NotFusibleError(
                f"callbacks.{name}.{setting} is in the run folder, which a lane has when it has ended"
            )
        monitors = str(settings["_target_"]).endswith(".LearningRateMonitor")
        if monitors and not any((config.get("logger") or {}).values()):
            raise NotFusibleError(f"callbacks.{name} without a logger")
    return found


def _of_folder(settings: Mapping[str, Any], folder: Any) -> str | None:
    """The first setting that names the run folder, or a place in it."""
    for name, value in settings.items():
        within = isinstance(value, str) and (value == folder or value.startswith(f"{folder}/"))
        if within or (isinstance(value, Mapping) and _of_folder(value, folder)):
            return name
    return None


def made_callbacks(config: Mapping[str, Any]) -> dict[str, Any]:
    """The other callbacks by their names, with the place of early stopping among them."""
    others = other_callbacks(config)
    stopping = known_callbacks(config).get(STOPPING)
    found: dict[str, Any] = {}
    for name, settings in _settings(config).items() if others else ():
        if name in others:
            made = instantiate(settings, _convert_="all")
            if made is not None and getattr(made, "wanted", True):
                found[name] = made
        elif settings["_target_"] == f"{_CALLBACKS}{STOPPING}":
            found[name] = EarlyStopping(**(stopping or {}))
    return found
