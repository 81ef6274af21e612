"""The sweep's folder: its names, and reading ``sweep.yaml``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caviar.errors import UsageError

SWEEP = "sweep.yaml"
TRIALS = "trials"

SCHEMA = 1
"""Version of ``sweep.yaml``; it grows by one whenever a key changes its meaning."""


def read(folder: Path) -> dict[str, Any]:
    """Read ``sweep.yaml``.

    Raises:
        UsageError: there is none, it is no YAML, or a newer caviar wrote it.
    """
    import yaml

    path = folder / SWEEP
    try:
        # libyaml's loader is eight times as fast, and not everywhere.
        found = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder}: not a sweep's folder (it has no {SWEEP})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise UsageError(f"{path}: not readable as YAML ({problem})") from None
    if not isinstance(found, dict) or not _is_readable(found.get("schema", 0)):
        raise UsageError(f"{path}: not a schema that this caviar reads (it reads {SCHEMA})")
    return found


def directions(settings: Mapping[str, Any]) -> list[str]:
    """One direction an objective, from what `read` gave."""
    direction = settings.get("direction") or "minimize"
    return [str(d) for d in direction] if isinstance(direction, list) else [str(direction)]


def trial_folder(sweep: Path, number: int) -> Path:
    """Where the run folder of a trial is."""
    return sweep / TRIALS / f"{number:04}"


def trial_folders(sweep: Path) -> tuple[dict[int, Path], list[Path]]:
    """The run folders of a sweep's trials by number, in order; and what else lies among them."""
    found: dict[int, Path] = {}
    foreign: list[Path] = []
    trials = sweep / TRIALS
    for path in trials.iterdir() if trials.is_dir() else ():
        if path.name.startswith("."):
            continue
        if re.fullmatch(r"\d{4,9}", path.name) and path.is_dir():
            found[int(path.name)] = path
        else:
            foreign.append(path)
    return dict(sorted(found.items())), sorted(foreign)


def _is_readable(schema: Any) -> bool:
    return isinstance(schema, int) and schema <= SCHEMA
