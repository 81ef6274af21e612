"""What an earlier caviar called what a run's config names."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

_CALLBACK = re.compile(r"\w+\.callbacks\.((?:checkpoint|early_stopping|nan_guard)\.\w+)")
_LOGGER = re.compile(r"\w+\.loggers\.MetricsCSV")
_SCHEDULE = re.compile(r"(\w+)\.schedulers\.(Schedule|Step|Exponential|Cosine|OneCycle|Plateau)")
_BAR = re.compile(r"\w+\.callbacks\.progress_bar\.progress_bar")


def of_today(node: Any) -> Any:
    """Plain containers in which each ``_target_`` of 0.2, in whatever package, is where it is now."""
    if isinstance(node, dict):
        known = cast("dict[Any, Any]", node)
        return {k: _moved(v) if k == "_target_" else of_today(v) for k, v in known.items()}
    return [of_today(one) for one in cast("list[Any]", node)] if isinstance(node, list) else node


def _moved(target: Any) -> Any:
    if not isinstance(target, str):
        return target
    if found := _CALLBACK.fullmatch(target):
        return f"caviar.lightning.callbacks.{found[1]}"
    if _LOGGER.fullmatch(target):
        return "caviar.lightning.loggers.MetricsCSV"
    found = _SCHEDULE.fullmatch(target)
    if found and not _has_schedulers(found[1]):
        return f"caviar.lightning.schedulers.{found[2]}"
    if _BAR.fullmatch(target):
        return "caviar.lightning.callbacks.progress_bar.ProgressBar"
    return target


def _has_schedulers(package: str) -> bool:
    """Whether a package has schedules of its own under that name; nothing of it is imported."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return False
    places = (spec and spec.submodule_search_locations) or []
    return any(
        (Path(place) / name).exists()
        for place in places
        for name in ("schedulers.py", "schedulers")
    )
