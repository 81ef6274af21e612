"""``sweep.yaml`` read: what its parts must be, and what earlier versions wrote."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from caviar.base.errors import UsageError
from caviar.runs.fields import (
    FLAG,
    LIST,
    MAPPING,
    NUMBER,
    TEXT,
    WHOLE,
    check_fields,
    each,
    either,
    mapping_to,
    optional,
)
from caviar.runs.files import read_described
from caviar.runs.places import SWEEP_FILE, never_began

SCHEMA = 1
_FIELDS = {
    "n_trials": optional(WHOLE),
    "metric": optional(either(TEXT, each(TEXT))),
    # "direction" is looked at by `caviar.base.direction`: a sweep without one has trials to show.
    **dict.fromkeys(("study", "storage", "engine", "folder", "git_commit"), optional(TEXT)),
    **dict.fromkeys(("sampler", "pruner", "executor", "versions"), optional(MAPPING)),
    "space": optional(mapping_to(either(TEXT, NUMBER, FLAG))),
    "when": optional(mapping_to(mapping_to(either(LIST, TEXT, NUMBER, FLAG)))),
    "enqueue": optional(each(MAPPING)),
    "baseline": optional(FLAG),
    "command": optional(each(TEXT)),
    "overrides": optional(each(TEXT)),
}
_NEEDED = (
    "command", "direction", "engine", "folder", "n_trials", "overrides", "sampler", "space"
)  # fmt: skip
_MOVED = {
    "caviar.sweep.coarse_to_fine.CoarseToFineSampler": "caviar.zoom.coarse_to_fine.CoarseToFineSampler",
    "caviar.executors.listen.ListenExecutor": "caviar.executors.remote.RemoteExecutor",
}
"""Classes that an earlier ``sweep.yaml`` names, and where they are now."""


def read_sweep_file(sweep: Path, whole: bool = False) -> dict[str, Any]:
    """What ``sweep.yaml`` holds; empty where there is none (yet).

    Args:
        whole: it must be there, with all that a sweep is gone on with by.

    Raises:
        UsageError: it is no YAML, a part is not what it must be or missing, or a newer caviar wrote it.
    """
    path = sweep / SWEEP_FILE
    if not (whole or os.path.lexists(path)):
        return {}
    if whole and never_began(sweep) and any(sweep.iterdir()):
        why = (
            "nothing had begun in it when its sweep was killed; start that again, its name is free"
        )
        raise UsageError(f"{sweep}: {why}")
    found = read_described(path, SCHEMA, "sweep's folder")
    check_fields(path, found, _FIELDS, _NEEDED if whole else ())
    for part in ("sampler", "executor"):
        named: dict[str, Any] = found.get(part) or {}
        if (target := named.get("_target_")) in _MOVED:
            found[part] = {**named, "_target_": _MOVED[target]}
    return found
