"""The record of what was done to a run while it trained: ``edits.jsonl``, a line an edit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caviar.base.errors import UsageError
from caviar.runs.fields import MAPPING
from caviar.runs.files import read_lines, write_atomic

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]  # no stubs, so below too

EDITS = "edits.jsonl"


@dataclass(frozen=True)
class Edit:
    """One intervention.

    Attributes:
        edit: its number, from 1.
        kind: ``set``, ``rollback`` or ``stop``.
        who: a person and machine, or a policy.
        when: UTC.
        epoch: from 0, with ``batch``: it was made before this batch of this epoch was trained on.
        step: optimizer steps done before it.
        changes: of ``set``: key -> ``{"old": …, "new": …}``.
        to: of ``rollback``: the run went back to where it was before the edit with this number.
        request: the id of what was asked.
        why: what a policy acted on.
    """

    edit: int
    kind: str
    who: str
    when: str
    epoch: int
    batch: int
    step: int
    changes: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    to: int | None = None
    request: str | None = None
    why: str | None = None

    @property
    def at(self) -> tuple[int, int]:
        """Its place in the training, ordered as training goes."""
        return self.epoch, self.batch

    def in_words(self) -> str:
        """``edit 1: optimizer.lr 0.003 -> 0.0003 at epoch 4, step 80 (ada@laptop)``."""
        if self.kind == "set":
            what = ", ".join(f"{key} {c['old']} -> {c['new']}" for key, c in self.changes.items())
        elif self.kind == "rollback":
            what = f"back to before edit {self.to}"
        else:
            what = "stopped"
        why = f": {self.why}" if self.why else ""
        return f"edit {self.edit}: {what} at epoch {self.epoch}, step {self.step} ({self.who}{why})"


def read_edits(run: Path) -> list[Edit]:
    """Every edit of ``run``, undone ones included, in the order they were made; none without a record.

    Raises:
        UsageError: the record cannot be read.
    """
    path = f"{run}/{EDITS}"
    found: list[Edit] = []
    for number, held in enumerate(read_lines(path), 1):
        try:
            found.append(_checked(Edit(**held), found))
        except (TypeError, ValueError) as error:
            raise UsageError(f"{path}: line {number} is not an edit ({error})") from None
    return found


def _checked(edit: Any, before: list[Edit]) -> Edit:
    """``edit``, unless a part of it is not what it must be: then a ValueError."""
    if any(type(part) is not int for part in (edit.edit, edit.epoch, edit.batch, edit.step)):
        raise ValueError("its place is no whole number")
    if not all(isinstance(part, str) for part in (edit.kind, edit.who, edit.when, edit.why or "")):
        raise ValueError("its words are no text")
    changes: Iterable[Any] = edit.changes.values() if MAPPING[0](edit.changes) else [None]
    if not all(MAPPING[0](change) and {"old", "new"} <= change.keys() for change in changes):
        raise ValueError("its changes do not say what was and what is")
    if edit.kind == "rollback" and edit.to not in [edit.edit, *(one.edit for one in before)]:
        raise ValueError("it returns to before an edit that there is not")
    return edit


def in_force(edits: list[Edit]) -> list[Edit]:
    """The edits that lead to where the run is, in the order of their places: those no rollback has undone.

    A run that was killed may begin again before some of them, and be edited there: what comes later
    is made again at its place, unless the run is stopped before it.
    """
    before: dict[int, list[Edit]] = {}
    history: list[Edit] = []
    for edit in edits:
        before[edit.edit] = list(history)
        if edit.kind == "rollback":
            assert edit.to is not None
            history = list(before[edit.to])
        else:
            history.append(edit)
    stops = [edit.at for edit in history if edit.kind == "stop"]
    reached = [edit for edit in history if not stops or edit.at <= min(stops)]
    return sorted(reached, key=lambda edit: edit.at)


CHANGES = ["edit", "kind", "epoch", "batch", "step", "key", "old", "new", "who", "when", "why"]
"""What `changes_of` tells of each change."""


def write_edits(run: Path, edits: list[Edit]) -> None:
    """Write the whole record: there are few edits, and so no line is ever torn."""
    lines = [json.dumps({k: v for k, v in asdict(e).items() if v is not None}) for e in edits]
    write_atomic(run / EDITS, "".join(f"{line}\n" for line in lines))


def facts_of_edits(run: Path) -> dict[str, Any]:
    """What ``result.json`` says of a run's edits; empty for a run that its config alone made."""
    edits = read_edits(run)
    if not edits:
        return {}
    return {"edits": len(edits), "edits_in_force": [e.in_words() for e in in_force(edits)]}


def changes_of(edits: Iterable[Edit]) -> list[dict[str, Any]]:
    """Edits as rows: one for each hyperparameter that was set; one, without a key, for a stop."""
    rows: list[dict[str, Any]] = []
    for one in edits:
        for key, change in (one.changes or {None: {}}).items():
            cells = {**asdict(one), "key": key, "old": change.get("old"), "new": change.get("new")}
            rows.append({name: cells[name] for name in CHANGES})
    return rows


def edits_table(  # type: ignore[no-any-unimported]
    folders: Iterable[tuple[int | None, Path]],
) -> tuple[DataFrame, list[str]]:
    """The edits in force of many runs as one table, with the run's number in a column ``trial``; and what
    could not be read.
    """
    import pandas as pd  # type: ignore[import-untyped]

    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for number, folder in folders:
        try:
            rows += [{"trial": number, **row} for row in changes_of(in_force(read_edits(folder)))]
        except UsageError as error:
            problems.append(str(error))
    return pd.DataFrame(rows, columns=["trial", *CHANGES]), problems  # type: ignore[no-any-return]
