"""Asking something of a run under way: checked first, so that what cannot work changes no file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caviar.base.errors import UsageError, usage_error
from caviar.base.plain import echo
from caviar.panda import settings
from caviar.panda.again import go_on
from caviar.panda.files import alive, how_ended, is_watched, read_status
from caviar.panda.inbox import answer_to, ask
from caviar.reading.find import TRIALS, find, find_run
from caviar.runs.edits import in_force, read_edits
from caviar.runs.folder import RESULT
from caviar.runs.places import is_sweep

WAIT = 30.0
"""Seconds that a command waits for the run to say that it is done."""


def find_watched(name: str) -> Path:
    """The folder of the run that ``name`` means: the path of any watched run, or as `find_run`.

    Raises:
        UsageError: there is none.
    """
    return Path(name).absolute() if is_watched(Path(name)) else find_run(name)


def single(name: str) -> Path | None:
    """The folder of the run, no sweep's trial, that ``name`` means; None where it means something else."""
    try:
        folder = Path(name) if is_watched(Path(name)) else find(name)
    except UsageError:
        return None
    if is_sweep(folder) or folder.parent.name == TRIALS:
        return None
    return folder if is_watched(folder) or (folder / RESULT).is_file() else None


def running(name: str) -> tuple[Path, dict[str, Any]]:
    """A watched run under way, and its status.

    Raises:
        UsageError: there is none of that name, or it has ended.
    """
    run = find_watched(name)
    status = read_status(run)
    if not alive(run):
        raise UsageError(f"run={name}: it is not training any more (it {how_ended(status)})")
    return run, status


def request(name: str | Path, kind: str, wait: float = WAIT) -> str:
    """Ask, wait, and give back what the run says.

    Raises:
        UsageError: the run has ended, or refuses.
    """
    run, _ = running(str(name))
    return _answer(run, ask(run, kind, waits=True), wait)


def resume(run: Path, trust: bool = False) -> None:
    """Go on with a paused run, or start one that was killed again where it was; ``trust``: see `go_on`.

    Raises:
        UsageError: it ended.
        SystemExit: the training that was started again failed.
    """
    if alive(run):
        echo(request(run, "resume"))
    elif status := go_on(run, trust):
        raise SystemExit(status)


def edit(name: str, assignments: list[str], at: int | None = None, wait: float = WAIT) -> str:
    """Ask for new values, ``["optimizer.lr=3e-4"]``, from the next step or from epoch ``at`` on.

    Raises:
        UsageError: a value cannot be, the run has no such setting, or it has ended.
    """
    run, status = running(name)
    changes: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"{assignment}: write it as KEY=VALUE, such as optimizer.lr=3e-4")
        changes[key] = settings.parse(key, text)
        if key in status["missing"]:
            raise usage_error(key, text, status["missing"][key])
    _refuse_replay(status)
    epoch, last = status["epoch"], status["max_epochs"]
    if at is not None and (at <= epoch or (last >= 0 and at >= last)):
        raise usage_error("--at", at, f"must be an epoch to come, from {epoch + 1} to {last - 1}")
    epochs = changes.get("trainer.max_epochs")
    if epochs is not None and epochs <= max(epoch, at or 0):
        raise usage_error("trainer.max_epochs", epochs, f"epoch {epoch} is under way already")
    id = ask(run, "set", changes=changes, at=at, waits=True)
    text = _answer(run, id, wait)
    if epochs is not None and status["schedulers"]:
        text += f"\nnote: the schedule ({status['schedulers'][0]}) keeps the length it began with"
    return text


def roll_back(name: str, to: int | None, wait: float = WAIT) -> str:
    """Ask for a return to where the run was before edit ``to``, or before the last in force.

    Raises:
        UsageError: there is no such edit, or the run has ended.
    """
    run, status = running(name)
    _refuse_replay(status)
    edits = read_edits(run)
    if to is not None and to not in [one.edit for one in edits]:
        raise usage_error("--to", to, "no such edit", [one.edit for one in edits])
    if to is None and not in_force(edits):
        raise UsageError(f"run={name}: there is no edit to undo")
    return _answer(run, ask(run, "rollback", to=to, waits=True), wait)


def _answer(run: Path, id: str, wait: float) -> str:
    return answer_to(run, id, wait) or f"asked; the run has not come to it in {wait:.0f} s"


def _refuse_replay(status: dict[str, Any]) -> None:
    if status["replay"]:
        raise UsageError("this run replays another's edits, and takes none of its own")
