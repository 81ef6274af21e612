"""Writing a zoomed space as a config: each line with its reason, and where it comes from."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from caviar.base.errors import UsageError, usage_error
from caviar.reading.sweep import Sweep
from caviar.runs.files import write_atomic
from caviar.runs.screening import is_harmless
from caviar.runs.text import to_yaml
from caviar.zoom.next_space import Zoom

LINEAGE = "# lineage: "


def config_of(found: Zoom, sweep: Sweep, spaces: Path) -> str:
    """The text of ``configs/space/NAME.yaml``.

    Args:
        spaces: the folder of the space configs, where the sweep's own may tell its lineage.

    Raises:
        UsageError: a hyperparameter is named so that a config must not search it.
    """
    for line in found.lines:
        # The space goes into the user's own configs, and the sweep may be anybody's.
        if not is_harmless(f"{line.name}={line.text}", strict=False):
            problem = "could reach code or configs elsewhere, and is no hyperparameter"
            raise usage_error("space", line.name, problem)
    best = sweep.ranked[0]
    lines = [
        "# @package hydra.sweeper",
        f"# Zoomed in on the best of sweep {sweep.folder.name}, "
        f"{datetime.now(UTC).date().isoformat()}: {len(sweep.ranked)} complete trials, "
        f"best {sweep.metric or 'value'}={best.score:.4g} (trial {best.result.number}).",
        f"# {found.fit:.0%} of the score's variance is predicted for a trial left out; "
        f"the new space has {found.volume_in_words} of the old one's volume.",
        LINEAGE + " -> ".join([*_ancestors(sweep.settings, spaces), sweep.folder.name]),
        "params:",
    ]
    for line in found.lines:
        entry = to_yaml({line.name: line.text}).strip()
        lines += [f"  # {line.kind}: {line.reason}", f"  {entry}"]
    why = "it exists in none of the likely best places"
    lines += [f"  # {name} is gone: {why}" for name in found.gone]
    if found.when:
        lines += to_yaml({"when": found.when}).splitlines()
    # A comment is one line, whatever a name holds.
    lines = [_comment(line) if line.lstrip().startswith("#") else line for line in lines]
    return "\n".join([*lines, ""])


def write_space(text: str, path: Path, force: bool = False) -> None:
    """Write a space's config.

    Raises:
        UsageError: it is there already, or its folder is not.
    """
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent}: no such folder; say where with --out")
    if path.exists() and not force:
        raise UsageError(f"{path}: is there already; another --name, or --force")
    write_atomic(path.parent.resolve() / path.name, text)


def _comment(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" "))] + " ".join(line.split())


def _ancestors(settings: dict[str, Any], spaces: Path) -> list[str]:
    """The sweeps that led to this one's space, where a zoom wrote it."""
    for override in settings.get("overrides") or []:
        key, _, name = str(override).partition("=")
        path = spaces / f"{name}.yaml"
        if key == "space" and path.is_file():
            for line in path.read_text("utf-8").splitlines():
                if line.startswith(LINEAGE):
                    return line.removeprefix(LINEAGE).split(" -> ")
    return []
