"""What one run's files say, as the cells of its row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from caviar.base.errors import UsageError
from caviar.base.objectives import each
from caviar.reading.run import read_overrides
from caviar.runs.cost import worker_seconds
from caviar.runs.edits import in_force, read_edits
from caviar.runs.folder import Result, number_of
from caviar.runs.program import PROGRAM
from caviar.runs.tags import read_tags


def cells_of(sweep: str | None, folder: Path, problems: list[str]) -> list[dict[str, Any]]:
    """What a run's files say, as it is remembered: facts, params, overrides, metrics.

    Args:
        sweep: what its sweep is called, where it has one.
        problems: takes a line for each file that the run can be listed without.

    Raises:
        UsageError: its ``result.json`` or the record of its edits cannot be read.
    """
    result = Result.read(folder)
    number = result.number if sweep is None else number_of(folder, result)
    value = result.value
    edits = in_force(read_edits(folder))
    values: dict[str, Any] = {"value": value}
    if isinstance(value, list):
        several = len(value) > 1
        values = {f"value_{i}" if several else "value": item for i, item in enumerate(value)}
    facts = {
        "run": folder.name
        if sweep is None
        else f"{sweep}/{folder.name if number is None else number}",
        "state": str(result.state),
        **values,
        "best_epoch": result.best_epoch,
        "seconds": result.seconds,
        "worker_seconds": worker_seconds(result.seconds, result.facts),
        "started": result.started,
        "seed": result.seed,
        "metric": ", ".join(map(str, each(result.metric))) if result.metric else None,
        "edits": len(edits) or None,
        "tags": " ".join(_known(lambda run: read_tags(run, result), folder, problems)) or None,
        "error": result.error,
        "edits_in_force": "; ".join(edit.in_words() for edit in edits) or None,
        "checkpoint": result.checkpoint,
        "sweep": sweep,
        "number": number,
    }
    params = dict(result.params)
    overrides = {k: v for k, v in _overrides(folder, problems).items() if k not in params}
    metrics: dict[str, Any] = {}
    for name, fact in dict(result.facts).items():
        if name in facts or name == PROGRAM:
            continue  # as `edits`, which a run that is under way has not recorded yet
        if name == "metrics" and isinstance(fact, dict):
            metrics |= fact
        elif isinstance(fact, dict):
            metrics |= {f"{name}.{key}": item for key, item in flat(fact)}
        else:
            metrics[name] = fact
    return [plain(facts), plain(params), overrides, plain(metrics)]


def _known(read: Callable[[Path], list[str]], folder: Path, problems: list[str]) -> list[str]:
    try:
        return read(folder)
    except UsageError as error:
        problems.append(str(error))
        return []


def _overrides(folder: Path, problems: list[str]) -> dict[str, Any]:
    found = {}
    for line in _known(read_overrides, folder, problems):
        key, equals, value = line.partition("=")
        if equals and not key.startswith("~"):
            found[key.lstrip("+")] = _literal(value)
    return found


def _literal(text: str) -> Any:
    if text.lower() in ("null", "true", "false"):
        return {"null": None, "true": True, "false": False}[text.lower()]
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text


def flat(node: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """``{a: {b: 1}}`` as ``a.b: 1``; an empty mapping stands as it is."""
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def plain(cells: dict[str, Any]) -> dict[str, Any]:
    """Cells as they come back from the index: lists and mappings as text."""
    return {
        str(key): value
        if value is None or isinstance(value, str | int | float | bool)
        else json.dumps(value, default=str)
        for key, value in cells.items()
    }
