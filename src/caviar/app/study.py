"""The study of a sweep, opened: its sampler, its pruner and where it is kept."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from caviar.app.parts import Prepared
from caviar.base.errors import UsageError
from caviar.base.plain import echo
from caviar.base.security import instantiate
from caviar.runs.places import JOURNAL
from caviar.sweep.folders import TrialFolders
from caviar.sweep.history import EVER_NEW, as_trials
from caviar.sweep.journal import Journal
from caviar.sweep.study import SweepStudy


def open_study(sweep: Prepared, folder: Path, name: str, folders: TrialFolders) -> SweepStudy:
    """The study called ``name`` of the sweep in ``folder``, new or gone on with.

    Raises:
        UsageError: a setting of its sampler or pruner cannot be; see `open_journal` and `SweepStudy`.
    """
    sampler = dict(sweep.settings.sampler)
    if sweep.recorded and not str(sampler.get("_target_")).startswith("caviar."):
        # Begun again with the same seed, Optuna's own would propose the same again.
        sampler["seed"] = secrets.randbelow(2**31)
    history = as_trials(sweep.earlier, sweep.space)
    kind = str(sampler.get("_target_")).rpartition(".")[2]
    if history and kind in EVER_NEW:
        echo(f"history: {kind} learns of its own trials alone; the report has the earlier ones")
    given: dict[str, Any] = {"source_trials": history} if history and kind == "CmaEsSampler" else {}
    made = {}
    for part, config in (("sampler", sampler), ("pruner", sweep.settings.pruner)):
        try:
            more = given if part == "sampler" else {}
            made[part] = instantiate(config, **more) if config else None
        except UsageError as error:
            raise UsageError(f"hydra.sweeper.{part}: {error}") from error
    resumes = sweep.recorded is not None
    return SweepStudy(
        sweep.space,
        made["sampler"],
        sweep.settings.directions,
        sweep.settings.storage or open_journal(folder / JOURNAL, resumes),
        name,
        made["pruner"],
        sweep.settings.enqueue,
        folders.ended if resumes else None,
        sweep.settings.storage_timeout,
        sweep.baseline,
        history,
    )


def open_journal(path: Path, resumes: bool) -> Journal:
    """The journal of a study that is new, or of one that is gone on with.

    Raises:
        UsageError: the latter is lost or empty.
    """
    if resumes:
        if not path.exists() or not path.stat().st_size:
            state = "empty" if path.exists() else "lost"
            raise UsageError(
                f"{path} is {state}, and with it which trials were asked for: the runs in there "
                "can be looked at, but the sweep cannot be gone on with"
            )
        # This process has the sweep: a lock is that of a controller killed while it wrote.
        path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    journal = Journal(path)
    if journal.torn:
        echo(f"{path}: cut {journal.torn} bytes of a torn last line")
    return journal
