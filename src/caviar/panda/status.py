"""The content of ``status.json``: a watched run's state, settings, findings and program."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from caviar.panda import settings
from caviar.panda.inbox import now
from caviar.reading.find import outputs_root
from caviar.runs.program import started_as

if TYPE_CHECKING:
    from caviar.panda.callback import Panda


def status_of(panda: Panda) -> dict[str, Any]:
    """What `write_status` puts into the file."""
    trainer, epochs = panda.trainer, panda.health.history.epochs
    module, script = started_as()
    return {
        "state": panda.now,
        "epoch": trainer.current_epoch,
        "step": trainer.global_step,
        "steps_an_epoch": int(min(trainer.num_training_batches, 2**31)),
        "max_epochs": trainer.fit_loop.max_epochs,
        "settings": settings.values(trainer),
        "missing": {
            key: setting.missing
            for key, setting in settings.SETTINGS.items()
            if key not in panda.names
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
        "overhead": round(panda.overhead, 5),
        "when": now(),
    }


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
