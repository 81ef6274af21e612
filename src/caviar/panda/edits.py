"""The record of what was done to a run while it trained: ``edits.jsonl``, a line an edit."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from caviar.panda.files import read_lines
from caviar.runs.files import write_atomic

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
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
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
    """Every edit of ``run``, undone ones included, in the order they were made."""
    return [Edit(**line) for line in read_lines(run / EDITS)]


def write_edits(run: Path, edits: list[Edit]) -> None:
    """Write the whole record: there are few, and so no line is ever torn."""
    lines = [json.dumps({k: v for k, v in asdict(e).items() if v is not None}) for e in edits]
    write_atomic(run / EDITS, "".join(f"{line}\n" for line in lines))


def in_force(edits: list[Edit]) -> list[Edit]:
    """The edits that led to where the run is now: those that no rollback has undone."""
    before: dict[int, list[Edit]] = {}
    history: list[Edit] = []
    for edit in edits:
        before[edit.edit] = list(history)
        if edit.kind == "rollback":
            assert edit.to is not None
            history = list(before[edit.to])
        else:
            history.append(edit)
    return history


def facts(run: Path) -> dict[str, Any]:
    """What ``result.json`` says of a run's edits; empty for a run that its config alone made."""
    edits = read_edits(run)
    if not edits:
        return {}
    return {"edits": len(edits), "edits_in_force": [e.in_words() for e in in_force(edits)]}
