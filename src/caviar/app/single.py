"""A single run: the task called inside a run folder of its own, and how it ends there."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from caviar.base.errors import UsageError
from caviar.base.plain import echo
from caviar.base.signals import Asked, exit_status
from caviar.base.versions import warn_untested
from caviar.runs import folder as names
from caviar.runs.active import GO_ON, ActiveRun, RankLost, activate
from caviar.runs.code import git_commit, versions
from caviar.runs.config import resolved
from caviar.runs.files import is_full, write_atomic
from caviar.runs.folder import Result, make_folder
from caviar.runs.inside import open_inside
from caviar.runs.life import Life, add_to_log
from caviar.runs.ours import mark
from caviar.runs.places import typed
from caviar.runs.program import PROGRAM, hold, program
from caviar.runs.tags import FACT as TAGS
from caviar.runs.tags import tags_of
from caviar.runs.text import to_yaml

Task = Callable[[DictConfig], Any]


def run_recorded(task: Task, config: DictConfig) -> Any:
    """Call ``task`` inside a run folder of its own, at Hydra's output directory.

    A process that was told to go on in that folder keeps what stands in it.

    Raises:
        SystemExit: a signal ended it (130 for Ctrl-C, 143 for SIGTERM); ``caviar resume`` goes on.
    """
    with Asked() as asked:
        return _run_recorded(task, config, asked)


def _run_recorded(task: Task, config: DictConfig, asked: Asked) -> Any:
    hydra_config = HydraConfig.get()
    wanted = Path(hydra_config.runtime.output_dir)
    going_on = os.environ.pop(GO_ON, None) == str(wanted)
    folder = wanted if going_on else _claim(wanted)
    with read_write(hydra_config), open_dict(hydra_config):  # type: ignore[arg-type]
        hydra_config.runtime.output_dir = str(folder)
    if not going_on:
        overrides = OmegaConf.to_container(hydra_config.overrides.task)
        said = {names.CONFIG: to_yaml(resolved(config)), names.OVERRIDES: to_yaml(overrides)}
        mark(folder, said, program())
        for name, text in said.items():
            write_atomic(folder / name, text)
    life = Life(folder, Result("RUNNING"))
    with closing(hold(folder)):
        life.begin()
        if going_on:
            earlier = Result.read(folder)
            life.result.started, life.result.facts = earlier.started, earlier.facts
            life.result.facts["resumed"] = True
        warn_untested()
        life.result.facts |= {
            "git_commit": git_commit(),
            "versions": versions(),
            PROGRAM: program(),
        }
        if tags := tags_of(config):
            life.result.facts[TAGS] = tags
        life.write(life.result)
        checkpoints = folder / names.CHECKPOINTS if going_on else None
        run = ActiveRun(folder, life.facts, resume_from=checkpoints, interrupted=asked, task=task)
        try:
            with _logged_to(folder / names.LOG), activate(run):
                value = task(config)
        except BaseException as error:
            _end_by(error, life, asked, going_on)
            raise
        life.write(life.complete(value).result)
        return value


def _end_by(error: BaseException, life: Life, asked: Asked, going_on: bool) -> None:
    """Write how a run ended by an error, and say how it is gone on with.

    Raises:
        SystemExit: a signal ended it, one of its processes is lost, or the disk is full.
    """
    folder = life.folder
    if isinstance(error, UsageError):
        # A training's hours are not thrown away over what was found wrong only after it.
        if going_on or names.has_trained(folder):
            life.failed(str(error)).written(life.write)
        else:
            # Nothing was done: leave nothing behind, neither files nor a taken name.
            shutil.rmtree(folder)
            _remove_if_empty(folder.parent)
        return
    end = life.failed(error, stopped=asked.signum is not None)
    add_to_log(folder, end.log)
    end.written(life.write)  # with no room for that it says RUNNING, and so can be gone on with
    again = f"caviar resume {typed(folder)}"
    if is_full(error):
        # What stood there before is there still, and a training goes on from its last checkpoint.
        echo(f"error: {error}; free some space, and go on with it: {again}", file=sys.stderr)
        raise SystemExit(75) from error
    if isinstance(error, RankLost):
        echo(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error
    if asked.signum is not None:
        echo(f"interrupted; go on with it: {again}", file=sys.stderr)
        raise SystemExit(exit_status(asked.signum)) from error


@contextmanager
def _logged_to(path: Path) -> Iterator[None]:
    file = open_inside(path, "a")
    handler = logging.StreamHandler(file)
    handler.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
        with suppress(OSError):  # what a full disk had no room for
            file.close()


def _claim(wanted: Path) -> Path:
    """Hydra has just made ``wanted``, or found it: an empty one is ours, a filled one somebody's."""
    try:
        names.check_place(wanted)
    except UsageError:
        _remove_if_empty(wanted)
        raise
    # It may be a link that the user has put there: what is in the run's folder may not.
    return wanted.resolve() if not any(wanted.iterdir()) else make_folder(wanted)


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder that nothing is in, and those above it in the outputs that are then empty."""
    root = names.outputs_root()
    with suppress(OSError):
        folder.rmdir()
        for parent in folder.parents:
            if root not in parent.parents:
                break
            parent.rmdir()
