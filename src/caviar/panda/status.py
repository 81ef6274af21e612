"""``status.json``: a watched run's state, settings, findings and program, and when it is written."""

from __future__ import annotations

import os
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from caviar.panda import settings
from caviar.panda.files import write_status
from caviar.panda.inbox import now
from caviar.panda.remedies import Remedies
from caviar.runs.active import TrialInterrupted, active_run, asked_to_stop
from caviar.runs.edits import in_force
from caviar.runs.folder import outputs_root
from caviar.runs.program import started_as

if TYPE_CHECKING:
    from caviar.panda.callback import Panda


class Status:
    """Writes ``status.json`` of the training that ``panda`` watches, once it has `began`."""

    def __init__(self, panda: Panda) -> None:
        self._panda = panda
        self._writing = self._next = 0.0
        self.began: float | None = None

    def begin(self) -> None:
        """The training begins: its settings are known."""
        panda = self._panda
        self.began = time.perf_counter()
        self._has = list(settings.values(panda.trainer))
        started = command_line() if active_run() is not None else ()
        self._called = name_for_commands(panda.folder), started

    def write(self) -> None:
        """Write it as the training is now."""
        write_status(self._panda.folder, self._content())

    def write_if_due(self, began: float) -> None:
        """Write it at the end of an epoch, unless that was done a moment ago.

        Args:
            began: when what was done for this end began, by `time.perf_counter`: it costs as well.
        """
        if began >= self._next:
            self.write()
            cost = time.perf_counter() - began
            self._writing += cost
            self._next = began + cost / self._panda.share

    def remedies(self) -> Remedies:
        """Commands that may help, as the run is now."""
        panda = self._panda
        undo = panda.replay is None and bool(in_force(panda.editor.edits))
        return Remedies(*self._called, lambda: settings.values(panda.trainer), undo)

    @property
    def overhead(self) -> float:
        """The share of the time that watching has taken, edits and pauses apart."""
        spent = self._panda.health.spent + self._writing
        return spent / (time.perf_counter() - (self.began or 0.0) + 1e-9)

    def _content(self) -> dict[str, Any]:
        panda = self._panda
        paused = panda.service.paused and panda.state == "training"
        trainer, epochs = panda.trainer, panda.health.history.epochs
        module, script = started_as()
        return {
            "state": "paused" if paused else panda.state,
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "steps_an_epoch": int(min(trainer.num_training_batches, 2**31)),
            "max_epochs": trainer.fit_loop.max_epochs,
            "settings": settings.values(trainer),
            "missing": {
                key: setting.missing
                for key, setting in settings.SETTINGS.items()
                if key not in self._has
            },
            "schedulers": [type(c.scheduler).__name__ for c in trainer.lr_scheduler_configs],
            "lr": [group["lr"] for o in trainer.optimizers for group in o.param_groups][:1],
            "metric": panda.metric,
            "direction": panda.direction,
            "losses": list(panda.losses),
            "findings": [asdict(finding) for finding in panda.health.findings.values()],
            "vitals": asdict(epochs[-1]) if epochs else None,
            "replay": None if panda.replay is None else str(panda.replay),
            "auto": panda.auto,
            "pid": os.getpid(),
            "host": platform.node(),
            "module": module,
            "script": script,
            "cwd": os.getcwd(),
            "threads": torch.get_num_threads(),
            "overhead": round(self.overhead, 5),
            "when": now(),
        }


def ended_by(error: BaseException) -> str:
    """``interrupted`` of a training that ended because somebody asked for it, else ``failed``."""
    stopped = isinstance(error, TrialInterrupted | KeyboardInterrupt | SIGTERMException)
    return "interrupted" if stopped or asked_to_stop() else "failed"


def name_for_commands(folder: Path) -> str:
    """What to call a run in a command: its name where that is enough, else its path."""
    if folder.parent == outputs_root() / "runs":
        return folder.name
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)


def command_line() -> tuple[str, ...]:
    """The words that started this process, without python's own options."""
    module, script = started_as()
    return ("python", *(("-m", module) if module else (script or "",)), *sys.argv[1:])
