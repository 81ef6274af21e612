"""A sweep from its settings to its result: the file to read first in this package."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from caviar.app.parts import check_sampler, make_executor, read_space
from caviar.base.collecting import collect_from_now
from caviar.base.errors import UsageError, name_and_text, usage_error
from caviar.base.hydra_versions import whitelist_of
from caviar.base.plain import echo
from caviar.base.security import allow, check_target, instantiate
from caviar.base.versions import warn_untested
from caviar.executors.base import Executor
from caviar.executors.task import task_source
from caviar.runs.elsewhere import note_place
from caviar.runs.folder import make_folder
from caviar.runs.history import Earlier, read_history, write_history
from caviar.runs.places import SWEEP_FILE, never_began, typed
from caviar.runs.sweep_file import read_sweep_file
from caviar.space.space import Space
from caviar.sweep import record
from caviar.sweep.baseline import config_values
from caviar.sweep.compose import Composer
from caviar.sweep.folders import TrialFolders
from caviar.sweep.owner import Owner, is_running
from caviar.sweep.resume import check_same_space, folder_to_resume, recorded_settings
from caviar.sweep.settings import Settings

if TYPE_CHECKING:
    from caviar.sweep.study import SweepStudy

DEFAULT_TRIALS = 20
JOURNAL = "study.journal"


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
    recorded = read_sweep_file(resumed, whole=True) if resumed else None
    if recorded:
        settings = recorded_settings(settings, recorded)
    settings = replace(settings, sampler=_seeded(settings.sampler))
    space, composer = read_space(settings, arguments, master, context)
    check_sampler(settings, space)
    baseline = None
    if settings.baseline:
        try:
            baseline = config_values(space, composer)
        except UsageError as error:
            echo(f"no baseline, as the config cannot be run as it stands: {error}")
    check_target(settings.pruner.get("_target_", "optuna.pruners.NopPruner"), import_it=False)
    for index, point in enumerate(settings.enqueue):
        space.check(point, f"enqueue.{index}")
    if resumed and recorded:
        check_same_space(space, recorded, resumed)
    earlier: list[Earlier] = []
    if settings.earlier and not resumed:
        from caviar.sweep.history import earlier_trials

        earlier = earlier_trials(settings, space, composer)
    elif resumed:
        earlier = read_history(resumed)
    executor = make_executor(settings)
    folder, owner = _claim(resumed, _wanted(master))
    try:
        try:
            executor.log = folder / "workers.txt"
            executor.start(task_source(task, whitelist_of(context)))
            note_place(folder)
            # From here on the workers load torch, while the controller loads Optuna.
            if not resumed:
                write_history(folder, earlier)
            return _run(
                settings,
                space,
                composer,
                executor,
                folder,
                owner,
                recorded,
                arguments,
                baseline,
                earlier,
            )
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


def _run(
    settings: Settings,
    space: Space,
    composer: Composer,
    executor: Executor,
    folder: Path,
    owner: Owner,
    recorded: Mapping[str, Any] | None,
    arguments: list[str],
    baseline: dict[str, Any] | None,
    history: list[Earlier],
) -> int:
    from optuna.exceptions import StorageInternalError

    from caviar.base.messages import Failed
    from caviar.reports.at_end import Reporting
    from caviar.reports.progress import make_view
    from caviar.reports.table import exit_status, print_summary
    from caviar.sweep.asking import INTERRUPTIONS
    from caviar.sweep.jobs import JobMaker
    from caviar.sweep.loop import Loop
    from caviar.sweep.store import StorageGoneError

    warn_untested()
    folders = TrialFolders(folder / "trials")
    name = str((recorded or {}).get("study") or folder.name)
    study = _open_study(
        settings, space, folder, name, folders if recorded else None, baseline, history
    )
    n_trials = settings.n_trials or study.finite or DEFAULT_TRIALS
    if study.finite is not None and n_trials > study.finite:
        first = len(settings.enqueue) + (baseline is not None)
        before = f", and {first} trials come before it" if first else ""
        points = f"the grid has {study.finite - first} points{before}"
        echo(f"{points}: n_trials={n_trials} becomes {study.finite}")
        n_trials = study.finite
    described = recorded or record.describe(settings, space, n_trials, arguments, name)
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
    loop = Loop(
        study,
        executor,
        n_trials,
        JobMaker(composer, folders, settings.metric, len(settings.directions)),
        view,
        settings,
        owner,
        folders,
        study.learns,
    )
    collect_from_now()
    try:
        outcome = loop.run()
    finally:
        view.close()
    # Reading all run folders takes a second or more: worth it where trainings took longer.
    reported = (settings.report or settings.metric) and not outcome.interrupted
    reporting = Reporting(folder, settings.report) if reported else None
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
    if reporting:
        reporting.wait()
    print_summary(folder, trials, space, settings, outcome, reporting.worth if reporting else [])
    if reporting:
        reporting.show()
    return exit_status(trials, outcome)


def _open_study(
    settings: Settings,
    space: Space,
    folder: Path,
    name: str,
    resumed: TrialFolders | None,
    baseline: dict[str, Any] | None,
    earlier: list[Earlier],
) -> SweepStudy:
    from caviar.sweep.history import EVER_NEW, as_trials
    from caviar.sweep.journal import Journal
    from caviar.sweep.study import SweepStudy

    sampler = dict(settings.sampler)
    if resumed and not str(sampler.get("_target_")).startswith("caviar."):
        # Begun again with the same seed, Optuna's own would propose the same again.
        sampler["seed"] = secrets.randbelow(2**31)
    history = as_trials(earlier, space)
    kind = str(sampler.get("_target_")).rpartition(".")[2]
    if history and kind in EVER_NEW:
        echo(f"history: {kind} learns of its own trials alone; the report has the earlier ones")
    given: dict[str, Any] = {"source_trials": history} if history and kind == "CmaEsSampler" else {}
    made = {}
    for part, config in (("sampler", sampler), ("pruner", settings.pruner)):
        try:
            more = given if part == "sampler" else {}
            made[part] = instantiate(config, **more) if config else None
        except UsageError as error:
            raise UsageError(f"hydra.sweeper.{part}: {error}") from error
    storage: Journal | str
    if settings.storage:
        storage = settings.storage
    else:
        if resumed:
            journal = folder / JOURNAL
            if not journal.exists() or not journal.stat().st_size:
                state = "empty" if journal.exists() else "lost"
                raise UsageError(
                    f"{journal} is {state}, and with it which trials were asked for: the runs in there "
                    "can be looked at, but the sweep cannot be gone on with"
                )
            # This process has the sweep: a lock is that of a controller killed while it wrote.
            (folder / f"{JOURNAL}.lock").unlink(missing_ok=True)
        storage = Journal(folder / JOURNAL)
        if storage.torn:
            echo(f"{folder / JOURNAL}: cut {storage.torn} bytes of a torn last line")
    return SweepStudy(
        space,
        made["sampler"],
        settings.directions,
        storage,
        name,
        made["pruner"],
        settings.enqueue,
        resumed.ended if resumed else None,
        settings.storage_timeout,
        baseline,
        history,
    )


def _seeded(sampler: Mapping[str, Any]) -> dict[str, Any]:
    """A sampler's settings with its seed drawn, where it was left open: ``sweep.yaml`` records it."""
    seed = secrets.randbelow(2**31) if "seed" in sampler and sampler["seed"] is None else None
    return {**sampler, "seed": seed} if seed is not None else dict(sampler)
