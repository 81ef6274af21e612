"""Editing a training under way: check, save the state, write the edit down, put it in force."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from caviar.base.errors import UsageError, usage_error
from caviar.panda import settings
from caviar.panda.files import FOLDER
from caviar.panda.inbox import Request, now
from caviar.panda.rewind import Rewind
from caviar.runs.edits import Edit, in_force, read_edits, write_edits
from caviar.runs.folder import CHECKPOINTS, METRICS
from caviar.runs.inside import copy_inside, remove_inside

STATE = "state.ckpt"


class States:
    """Whole states, each under the number of the edit that it was saved before."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._before = run / FOLDER / "before"

    def path(self, edit: int) -> Path:
        """The checkpoint from before ``edit``, which need not be there."""
        return self._before / f"{edit:04}" / STATE

    def has(self, edit: int) -> bool:
        """Whether there is a state to go back to."""
        return self.path(edit).exists()

    def keep_files(self, edit: int) -> None:
        """Keep the run's checkpoints and metrics with the state."""
        place = self.path(edit).parent
        # The best checkpoint may be of a part that a rollback undoes. A checkpoint is replaced, not
        # written into, so a second name for it costs nothing.
        for file in (self._run / CHECKPOINTS).glob("*.ckpt"):
            copy = place / file.name
            remove_inside(copy)
            try:
                os.link(file, copy, follow_symlinks=False)
            except OSError:
                copy_inside(file, copy)
        if (self._run / METRICS).exists():
            copy_inside(self._run / METRICS, place / METRICS)

    def put_back_files(self, state: Path) -> None:
        """Make the run's checkpoints those that were kept with ``state``."""
        for file in (self._run / CHECKPOINTS).glob("*.ckpt"):
            remove_inside(file)
        for file in state.parent.glob("*.ckpt"):
            if file != state:
                copy_inside(file, self._run / CHECKPOINTS / file.name)


class Editor:
    """Makes every edit of one run, whoever wants it.

    Args:
        edited: called after each edit.
        replay: the folder of another run, whose edits are made again in place of its own.

    Attributes:
        edits: all that were made, undone ones included.
        scheduled: edits made before that are to be made again, each at its place.
        last_epoch: the epoch of the last one made in this process.
    """

    def __init__(
        self,
        folder: Path,
        trainer: Trainer,
        rewind: Rewind,
        edited: Callable[[], None],
        replay: Path | None = None,
    ) -> None:
        self.edits = read_edits(folder)
        self.scheduled: list[Edit] = []
        self.states = States(folder)
        self.last_epoch = -1
        self._folder = folder
        self._trainer = trainer
        self._rewind = rewind
        self._edited = edited
        self._replay = replay

    @property
    def number(self) -> int:
        """The number of the next edit."""
        return len(self.edits) + 1

    def set(
        self, batch: int, changes: dict[str, Any], asked: Request, why: str | None = None
    ) -> Edit:
        """Change settings before ``batch`` is trained on.

        Args:
            asked: says ``who`` wants it, and the ``id`` of a request.

        Raises:
            UsageError: a value cannot be, or the training has no such setting; nothing was done.
        """
        present = settings.values(self._trainer)
        self._check(present, changes)
        self.save_state()
        pairs = {key: {"old": present[key], "new": new} for key, new in changes.items()}
        edit = self._record(batch, "set", asked, changes=pairs, why=why)
        self.put(changes)
        self._edited()
        return edit

    def roll_back(self, batch: int, to: int | None, asked: Request) -> Edit:
        """Write down that the run returns to before edit ``to``, or before the last in force.

        The caller then raises `caviar.panda.rewind.Rollback`.

        Raises:
            UsageError: there is no such edit, or none at all.
        """
        known = [edit.edit for edit in self.edits if self.states.has(edit.edit)]
        if to is None:
            here = (self._trainer.current_epoch, batch)
            made = [edit for edit in in_force(self.edits) if edit.at <= here]
            history = [edit.edit for edit in made if edit.edit in known]
            if not history:
                raise UsageError("rollback: there is no edit to undo")
            to = history[-1]
        if to not in known:
            raise usage_error("--to", to, "no such edit", known)
        self.save_state()
        return self._record(batch, "rollback", asked, to=to)

    def leave(self, batch: int, to: int, who: str, why: str) -> Edit:
        """`roll_back` from where nothing is worth saving: the weights are no numbers any more.

        ``to`` may be the number of this very edit, where a state was saved under it.
        """
        return self._record(batch, "rollback", {"who": who}, to=to, why=why)

    def stop(self, batch: int, request: Request) -> Edit:
        """End the training after this step."""
        edit = self._record(batch, "stop", request)
        self._trainer.should_stop = True
        self._edited()
        return edit

    def schedule(self, here: tuple[int, int]) -> None:
        """Note those edits on record that lie ahead of ``here``: each is made again at its place."""
        recorded = self.edits if self._replay is None else read_edits(self._replay)
        self.scheduled = [edit for edit in in_force(recorded) if edit.at >= here]

    def rolled_back_since(self, records: int) -> Path | None:
        """The state that the last rollback after so many edits returned to, where it is there.

        A checkpoint with so many edits may be of a part which has been rolled back since.
        """
        later = [edit for edit in self.edits[records:] if edit.kind == "rollback"]
        to = later[-1].to if later else None
        return self.states.path(to) if to is not None and self.states.has(to) else None

    def make_scheduled(self, batch: int) -> None:
        """Make those edits again whose place has come."""
        here = (self._trainer.current_epoch, batch)
        while self.scheduled and self.scheduled[0].at <= here:
            edit = self.scheduled.pop(0)
            if edit.kind == "stop":
                self._trainer.should_stop = True
            self.put({key: change["new"] for key, change in edit.changes.items()})

    def put(self, changes: dict[str, Any]) -> None:
        """Put values in force, writing nothing down."""
        for key, value in changes.items():
            # Asked for each anew: one setting of all optimizers moves those of each.
            present = settings.values(self._trainer)
            if key not in present or present[key] != value:
                settings.find(key).put(self._trainer, settings.check(key, value))

    def save_state(self) -> None:
        """Save everything, as it is before this batch, under the number of what comes next."""
        self._rewind.save(self.states.path(self.number))
        self.states.keep_files(self.number)

    def _check(self, present: dict[str, Any], changes: dict[str, Any]) -> None:
        for key, value in changes.items():
            settings.check(key, value)
            if key not in present:
                raise usage_error(key, value, settings.find(key).missing)
        epochs = changes.get("trainer.max_epochs")
        if epochs is not None and epochs <= self._trainer.current_epoch:
            raise usage_error("trainer.max_epochs", epochs, "that epoch is under way or over")
        nesterov = any(g.get("nesterov") for o in self._trainer.optimizers for g in o.param_groups)
        if changes.get("optimizer.momentum") == 0 and nesterov:
            raise usage_error("optimizer.momentum", 0, "nesterov needs a momentum above 0")

    def _record(self, batch: int, kind: str, asked: Request, **more: Any) -> Edit:
        edit = Edit(
            edit=self.number,
            kind=kind,
            who=asked["who"],
            when=now(),
            epoch=self._trainer.current_epoch,
            batch=batch,
            step=self._trainer.global_step,
            request=asked.get("id"),
            **more,
        )
        write_edits(self._folder, [*self.edits, edit])
        self.edits.append(edit)
        self.last_epoch = edit.epoch
        # Readers of a run folder draw edits.jsonl; other loggers get a curve of the edits' numbers.
        for logger in self._trainer.loggers:
            if not hasattr(logger, "rewind"):
                logger.log_metrics({"panda/edit": float(edit.edit)}, step=edit.step)
        return edit
