"""Training a run again with its recorded edits, and comparing the metrics."""

from __future__ import annotations

import subprocess
from itertools import zip_longest
from pathlib import Path

from caviar.base.errors import UsageError
from caviar.panda.again import overrides_for, training_of
from caviar.panda.files import alive, read_status
from caviar.reading.metrics import read_rows
from caviar.runs.folder import Result, make_folder
from caviar.space.grammar import as_override


def replay(run: Path, trust: bool = False) -> Path:
    """Train ``run`` again in a folder beside it, in a process of its own; ``trust``: see `training_of`.

    Raises:
        UsageError: it cannot be trained again.
        RuntimeError: the training failed; the new folder's log tells why.
    """
    if alive(run):
        raise UsageError(f"run={run.name}: it is still training; stop it, or wait for its end")
    read_status(run)
    with training_of(run, "replay", trust) as (words, place, environment):
        folder = make_folder(run.with_name(f"{run.name}-replay"))
        edits = as_override("panda.replay", str(run.absolute()))
        done = subprocess.run(
            [*words, *overrides_for(folder), edits],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise RuntimeError(f"the replay failed: {''.join(last)} ({folder})")
    return folder


def compare(run: Path, again: Path) -> tuple[int, str | None]:
    """Compare two ``metrics.csv``, number by number, as they are written: to the last bit.

    Returns:
        How many rows are the same, from the first; the first that is not, in words, or None.
    """
    (_, rows), (_, others) = read_rows(run), read_rows(again)
    for index, (row, other) in enumerate(zip_longest(rows, others)):
        if row == other:
            continue
        if row is None or other is None:
            return index, f"{len(rows)} epochs, but {len(others)} when replayed"
        name = next(name for name in row | other if row.get(name) != other.get(name))
        differing = f"{name} is {row.get(name)}, but {other.get(name)} when replayed"
        return index, f"at epoch {row['epoch']}, {differing}"
    return len(rows), None


def last_recorded(run: Path) -> int | None:
    """The last epoch that a run logged which did not come to its end; None of one that did."""
    try:
        state = Result.read(run).state
    except UsageError:
        return None
    _, rows = read_rows(run)
    return int(rows[-1]["epoch"]) if rows and state != "COMPLETE" else None
