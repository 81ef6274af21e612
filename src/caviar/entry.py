"""The entry of an app: `hydra.main`, with bad input told in one line and single runs recorded."""

import atexit
import functools
import gc
import inspect
import logging
import os
import shlex
import shutil
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, NoReturn

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from caviar.configs import keys_of
from caviar.errors import UsageError, name_and_text, usage_error
from caviar.hydra_errors import explain
from caviar.runs import folder as names
from caviar.runs.active import GO_ON, ActiveRun, activate, active_run
from caviar.runs.code import git_commit, versions
from caviar.runs.config import resolved, to_yaml
from caviar.runs.files import FULL, write_atomic
from caviar.runs.folder import Result, make_folder
from caviar.runs.program import PROGRAM, hold, program
from caviar.runs.signals import Asked, exit_status
from caviar.security import allow

Task = Callable[[DictConfig], Any]


def main(config_path: str | None, config_name: str) -> Callable[[Task], Task]:
    """Decorate a task (config -> score): what `hydra.main` does, and two things more.

    Bad input ends the process with one line on stderr and exit status 2, and a single run leaves a
    run folder (config, overrides, result, log). In a sweep the worker keeps the folder instead.
    ``HYDRA_FULL_ERROR=1`` shows whole tracebacks, as in any Hydra app.
    """

    def decorate(task: Task) -> Task:
        here = Path(inspect.getfile(task)).parent
        folder = here.joinpath(config_path).resolve() if config_path else None

        @functools.wraps(task)
        def recorded(config: DictConfig) -> Any:
            if active_run():
                return task(config)
            try:
                allow(config.get("allow"))
                return run_recorded(task, config)
            except UsageError as error:
                # Not raised any further: Hydra would print it a second time.
                refuse(error)

        app = hydra.main(version_base="1.3", config_path=config_path, config_name=config_name)(
            recorded
        )

        @functools.wraps(recorded)
        def entry(config: DictConfig | None = None) -> Any:
            if config is not None:
                return recorded(config)
            try:
                if folder is not None:
                    _quote_options(folder)
            except UsageError as error:
                refuse(error)
            return _run_app(app, lambda: _config_keys(folder, config_name), folder)

        return entry

    return decorate


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
        write_atomic(folder / names.CONFIG, to_yaml(resolved(config)))
        overrides = OmegaConf.to_container(hydra_config.overrides.task)
        write_atomic(folder / names.OVERRIDES, to_yaml(overrides))
    held = hold(folder)
    log = logging.FileHandler(folder / names.LOG)
    log.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] %(message)s"))
    logging.getLogger().addHandler(log)
    result = Result(state="RUNNING", started=datetime.now(UTC).isoformat(timespec="seconds"))
    if going_on:
        earlier = Result.read(folder)
        result.started, result.facts = earlier.started, {**earlier.facts, "resumed": True}
    result.facts |= {"git_commit": git_commit(), "versions": versions(), PROGRAM: program()}
    result.write(folder)
    start = perf_counter()
    discarded = False
    checkpoints = folder / names.CHECKPOINTS if going_on else None
    try:
        with activate(ActiveRun(folder, resume_from=checkpoints, interrupted=asked)) as run:
            value = task(config)
        result.state, result.value = "COMPLETE", value
        return value
    except UsageError as error:
        # A training's hours are not thrown away over what was found wrong only after it.
        discarded = not (going_on or names.has_trained(folder))
        result.state, result.error = "FAIL", str(error)
        raise
    except BaseException as error:
        result.state, result.error = "FAIL", name_and_text(error)
        with suppress(OSError), (folder / names.LOG).open("a") as file:
            traceback.print_exc(file=file)
        again = f"caviar resume {shlex.quote(str(folder))}"
        if isinstance(error, OSError) and error.errno in FULL:
            # What stood there before is there still, and a training goes on from its last checkpoint.
            print(f"error: {error}; free some space, and go on with it: {again}", file=sys.stderr)
            raise SystemExit(75) from error
        if asked.signum is None:
            raise
        if not names.was_stopped(result.error):
            result.error = f"Interrupted: told to stop; it ended with {result.error}"
        print(f"interrupted; go on with it: {again}", file=sys.stderr)
        raise SystemExit(exit_status(asked.signum)) from error
    finally:
        logging.getLogger().removeHandler(log)
        log.close()
        result.seconds = round(perf_counter() - start, 3)
        if discarded:
            # Nothing was done: leave nothing behind, neither files nor a taken name.
            shutil.rmtree(folder)
        else:
            result.take(run.facts)
            _write_end(result, folder)
        held.close()


def _write_end(result: Result, folder: Path) -> None:
    try:
        result.write(folder)
    except OSError as error:
        if error.errno not in FULL or result.state == "COMPLETE":
            raise
        # It says RUNNING, and so can be gone on with; why it ended has been told.


def _claim(wanted: Path) -> Path:
    """Hydra has just made ``wanted``, or found it: an empty one is ours, a filled one somebody's."""
    names.check_name(wanted.name)
    return wanted if not any(wanted.iterdir()) else make_folder(wanted)


def _quote_options(folder: Path) -> None:
    """Let ``panda=true`` choose the option ``true`` of the config group ``panda``.

    Hydra reads it as a boolean, which no group can be set to; in quotes it is the option's name.

    Raises:
        UsageError: a group is set to a number, a boolean or null, and has no option of this name.
    """
    parser = OverridesParser.create()
    for index, word in enumerate(sys.argv[1:], 1):
        group, _, option = word.partition("=")
        options = sorted(file.stem for file in (folder / group).glob("*.yaml")) if option else []
        if not options:
            continue
        try:
            value = parser.parse_override(word).value()
        except HydraException:
            continue  # told by Hydra
        if option in options and not isinstance(value, str):
            sys.argv[index] = f"{group}='{option}'"
        elif value is None or isinstance(value, bool | int | float):
            problem = f"no such option of this group; ~{group} leaves it out"
            raise usage_error(group, option, problem, options)


def _run_app(app: Callable[[], Any], keys: Callable[[], Iterable[str]], folder: Path | None) -> Any:
    # The interpreter's last act is to look for garbage in all that is loaded: most of a second, with torch.
    atexit.register(gc.freeze)
    full_errors = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Hydra ends the process with status 1 on its own errors; asked for full errors, it raises them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        return app()
    except (HydraException, OmegaConfBaseException) as error:
        if full_errors:
            raise
        refuse(explain(error, keys, folder))
    finally:
        if not full_errors:
            del os.environ["HYDRA_FULL_ERROR"]


def _config_keys(folder: Path | None, config_name: str) -> list[str]:
    """Every key and config group of the app, as it is composed with no overrides at all."""
    if folder is None:
        return []
    with initialize_config_dir(str(folder), version_base="1.3"):
        config = compose(config_name, return_hydra_config=True)
        return [*keys_of(config), *config.hydra.runtime.choices]


def refuse(problem: object) -> NoReturn:
    """End the process over bad input: one line on stderr, exit status 2."""
    print(f"error: {problem}", file=sys.stderr)
    raise SystemExit(2)
