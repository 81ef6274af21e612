"""A sweep from its settings to its result: the file to read first in this package."""

from __future__ import annotations

import shutil
from pathlib import Path

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from caviar.app.parts import Prepared, make_executor, prepare
from caviar.base.collecting import collect_from_now
from caviar.base.errors import UsageError, name_and_text, usage_error
from caviar.base.hydra_versions import whitelist_of
from caviar.base.plain import echo
from caviar.base.security import allow
from caviar.base.versions import warn_untested
from caviar.executors.base import Executor
from caviar.executors.task import task_source
from caviar.runs.elsewhere import note_place
from caviar.runs.folder import TRIALS, make_folder
from caviar.runs.history import write_history
from caviar.runs.places import JOURNAL, SWEEP_FILE, never_began, typed
from caviar.sweep import record
from caviar.sweep.folders import TrialFolders
from caviar.sweep.owner import Owner, is_running
from caviar.sweep.resume import folder_to_resume
from caviar.sweep.settings import Settings

DEFAULT_TRIALS = 20


def run_sweep(
    settings: Settings,
    arguments: list[str],
    master: DictConfig,
    context: HydraContext,
    task: TaskFunction,
) -> int:
    """Run a whole sweep, or the rest of one, and return its exit status.

    Args:
        settings: what stands under ``hydra.sweeper``.
        arguments: the task's overrides from the command line; those with a sweep join the space.
        master: the config that Hydra composed.
        context: Hydra's, for composing.
        task: the app's function.

    Raises:
        UsageError: something cannot work. Where nothing had been started, nothing is left behind.
    """
    allow(master.get("allow"))
    resumed = folder_to_resume()
    sweep = prepare(settings, arguments, master, context, resumed)
    executor = make_executor(sweep.settings)
    folder, owner = _claim(resumed, _wanted(master))
    try:
        try:
            executor.log = folder / "workers.txt"
            executor.start(task_source(task, whitelist_of(context)))
            note_place(folder)
            # From here on the workers load torch, while the controller loads Optuna.
            if not resumed:
                write_history(folder, sweep.earlier)
            return _run(sweep, executor, folder, owner)
        finally:
            executor.close()
            owner.release()
    except (UsageError, OSError, KeyboardInterrupt, SystemExit) as error:
        if not (folder / SWEEP_FILE).exists():
            # Nothing had begun, and nothing in there can be gone on with.
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise UsageError(f"{folder}: {error}") from error
        raise


def _wanted(master: DictConfig) -> Path:
    """Where the sweep's folder is to be.

    Raises:
        UsageError: that is not known as a sweep begins, as what ``${hydra:…}`` gives.
    """
    try:
        return Path(master.hydra.sweep.dir).absolute()
    except OmegaConfBaseException as error:
        written = OmegaConf.to_container(master.hydra.sweep, resolve=False)
        assert isinstance(written, dict)
        raise usage_error("hydra.sweep.dir", written["dir"], name_and_text(error)) from error


def _claim(resumed: Path | None, wanted: Path) -> tuple[Path, Owner]:
    """The sweep's folder, which this process has now, without what a killed one left half done.

    One that was killed before it had begun anything leaves its name free.

    Raises:
        UsageError: another process has the sweep that is to be gone on with.
    """
    while True:
        folder = resumed or make_folder(wanted, lambda f: never_began(f) and not is_running(f))
        try:
            owner = Owner(folder)
        except OSError as error:
            if not resumed:
                shutil.rmtree(folder, ignore_errors=True)
            raise UsageError(f"{folder}: {error}") from error
        except UsageError:
            if resumed:
                raise
            continue  # two that began at once: the other one was faster
        left = [JOURNAL, f"{JOURNAL}.lock", "workers.txt"] if not resumed else []
        for file in [*folder.glob(".*.partial"), *(folder / name for name in left)]:
            file.unlink(missing_ok=True)
        return folder, owner


def _run(sweep: Prepared, executor: Executor, folder: Path, owner: Owner) -> int:
    from optuna.exceptions import StorageInternalError

    from caviar.app.study import open_study
    from caviar.base.messages import Failed
    from caviar.reports.at_end import Reporting
    from caviar.reports.progress import make_view
    from caviar.reports.table import exit_status, print_summary
    from caviar.sweep.asking import INTERRUPTIONS
    from caviar.sweep.jobs import JobMaker
    from caviar.sweep.loop import Loop
    from caviar.sweep.store import StorageGoneError

    warn_untested()
    settings, space, recorded = sweep.settings, sweep.space, sweep.recorded
    folders = TrialFolders(folder / TRIALS)
    name = str((recorded or {}).get("study") or folder.name)
    study = open_study(sweep, folder, name, folders)
    n_trials = settings.n_trials or study.finite or DEFAULT_TRIALS
    if study.finite is not None and n_trials > study.finite:
        first = len(settings.enqueue) + (sweep.baseline is not None)
        before = f", and {first} trials come before it" if first else ""
        points = f"the grid has {study.finite - first} points{before}"
        echo(f"{points}: n_trials={n_trials} becomes {study.finite}")
        n_trials = study.finite
    described = recorded or record.describe(settings, space, n_trials, sweep.arguments, name)
    record.write(folder, {**described, "n_trials": n_trials})
    for number in study.orphans:
        folders.give_up(Failed(number, "Interrupted: the sweep's process was killed"))
    for number in study.given_up:
        why = f"under way each of the {INTERRUPTIONS} times that the sweep's process was killed"
        folders.give_up(Failed(number, f"GivenUp: {why}; not tried again"))
    earlier = study.current() if recorded else []
    view = make_view(folder, settings, n_trials, executor.lanes, earlier)
    if settings.metric and not (settings.check or settings.build):
        values = "the value" if len(settings.labels) == 1 else "the values"
        view.say(f"{', '.join(settings.labels)}: so this sweep calls {values} that the app returns")
    # Reading all run folders takes a second or more: worth it where trainings took longer.
    wanted = bool(settings.report or settings.metric)
    with Reporting(folder, settings.report) as reporting:
        jobs = JobMaker(sweep.composer, folders, settings)
        soon = reporting.prepare if wanted else None
        loop = Loop(study, executor, n_trials, jobs, view, settings, owner, folders, soon)
        collect_from_now()
        try:
            outcome = loop.run()
        finally:
            view.close()
        reported = wanted and not outcome.interrupted
        if reported:
            reporting.begin()
        try:
            study.release()
            trials = study.current()
        except StorageInternalError as error:
            if isinstance(error, StorageGoneError):
                echo(f"stopped: {outcome.stopped}")
                echo(f"go on with it:   caviar resume {typed(folder)}")
                return exit_status([], outcome)
            raise UsageError(
                f"{folder}: its study cannot be read: {str(error).splitlines()[0]}"
            ) from error
        if reported:
            reporting.wait()
        print_summary(folder, trials, space, settings, outcome, reporting.worth)
        if reported:
            reporting.show()
        return exit_status(trials, outcome)
