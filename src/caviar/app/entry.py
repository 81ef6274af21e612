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
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from caviar.base import hydra_versions, references  # noqa: F401 - so that ${data:…} is known
from caviar.base.configs import keys_of
from caviar.base.errors import UsageError, check_words, name_and_text, usage_error
from caviar.base.hydra_errors import explain
from caviar.base.plain import echo
from caviar.base.security import allow, trusting_allowed
from caviar.base.signals import Asked, exit_status
from caviar.base.streams import make_patient
from caviar.base.versions import check_python, warn_untested
from caviar.runs import folder as names
from caviar.runs.active import GO_ON, ActiveRun, RankLost, activate, active_run
from caviar.runs.code import git_commit, versions
from caviar.runs.config import resolved, to_yaml
from caviar.runs.files import is_full, write_atomic
from caviar.runs.folder import Result, make_folder, no_folder
from caviar.runs.inside import open_inside
from caviar.runs.life import Life, add_to_log
from caviar.runs.ours import mark
from caviar.runs.program import PROGRAM, hold, program
from caviar.runs.tags import FACT as TAGS
from caviar.runs.tags import tags_of

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

        called = False

        @functools.wraps(task)
        def recorded(config: DictConfig) -> Any:
            nonlocal called
            called = True
            if active_run():
                with trusting_allowed():
                    return task(config)
            try:
                allow(config.get("allow"))
                with trusting_allowed():
                    return run_recorded(task, config)
            except UsageError as error:
                # Not raised any further: Hydra would print it a second time.
                refuse(error)

        app = hydra.main(config_path=config_path, config_name=config_name, **hydra_versions.BASE)(
            recorded
        )

        @functools.wraps(recorded)
        def entry(config: DictConfig | None = None) -> Any:
            if config is not None:
                return recorded(config)
            make_patient()
            if folder is not None:
                _load_env(folder.parent / ".env")
            if not os.environ.get("CAVIAR_OUTPUTS", "unset"):
                del os.environ["CAVIAR_OUTPUTS"]  # set to nothing: a config would put runs into /
            try:
                check_python()
                check_words(sys.argv[1:])
                if folder is not None:
                    _quote_options(folder)
                    if hydra_versions.CHECKS_TARGETS:
                        allow(_allowed_beforehand(folder / f"{config_name}.yaml"))
            except UsageError as error:
                refuse(error)
            try:
                with trusting_allowed():  # for hydra.callbacks and hydra.job_logging
                    return _run_app(app, lambda: _config_keys(folder, config_name), folder)
            except OSError as error:
                if called or not error.filename:
                    raise
                refuse(no_folder(Path(error.filename), error))  # Hydra makes it before it calls

        return entry

    return decorate


def _load_env(file: Path) -> None:
    """Set what ``.env`` beside the configs' folder sets, where the environment has no such variable.

    Beside the configs, and not in the current folder, which may be one that somebody has sent.
    """
    if file.is_file():
        from dotenv import load_dotenv

        try:
            load_dotenv(file)
        except (OSError, UnicodeError) as error:
            refuse(f"{file}: {name_and_text(error)}")


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
    again = f"caviar resume {shlex.quote(str(folder))}"
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


def _allowed_beforehand(config: Path) -> Any:
    """What the command line, else the app's own config file allows.

    Hydra 1.4 checks ``hydra.callbacks`` and ``hydra.job_logging`` before this app sees its config.
    """
    said = [word for word in sys.argv[1:] if word.lstrip("+").startswith("allow=")]
    try:
        if said:
            return OverridesParser.create().parse_override(said[-1]).value()
        return OmegaConf.select(OmegaConf.load(config), "allow")
    except (HydraException, OmegaConfBaseException, OSError, YAMLError):
        return None  # told by Hydra


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
    except Exception:
        warn_untested()  # it may be why
        raise
    finally:
        if not full_errors:
            del os.environ["HYDRA_FULL_ERROR"]


def _config_keys(folder: Path | None, config_name: str) -> list[str]:
    """Every key and config group of the app, as it is composed with no overrides at all."""
    if folder is None:
        return []
    with initialize_config_dir(str(folder), **hydra_versions.BASE):
        config = compose(config_name, return_hydra_config=True)
        return [*keys_of(config), *config.hydra.runtime.choices]


def refuse(problem: object) -> NoReturn:
    """End the process over bad input: one line on stderr, exit status 2."""
    echo(f"error: {problem}", file=sys.stderr)
    raise SystemExit(2)
