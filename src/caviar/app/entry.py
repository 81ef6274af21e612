"""The entry of an app: `hydra.main`, with bad input told in one line and single runs recorded."""

import atexit
import functools
import gc
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from caviar.app.single import Task, run_recorded
from caviar.base import hydra_versions, references  # noqa: F401 - so that ${data:…} is known
from caviar.base.configs import keys_of
from caviar.base.errors import UsageError, check_words, name_and_text, usage_error
from caviar.base.hydra_errors import explain
from caviar.base.plain import echo
from caviar.base.security import allow, trusting_allowed
from caviar.base.streams import make_patient
from caviar.base.versions import check_python, warn_untested
from caviar.executors import forkserver
from caviar.runs.active import active_run
from caviar.runs.folder import no_folder

Composed = Callable[[], DictConfig | None]
"""Composes what the command line says, but for what it sweeps; None of what cannot be composed."""

Completed = Callable[[Sequence[str], Composed], Sequence[str]]
"""What follows from the overrides of a command line and the config that they make, as more overrides."""


def main(
    config_path: str | None,
    config_name: str,
    complete: Completed | None = None,
    preload: Sequence[str] = (),
) -> Callable[[Task], Task]:
    """Decorate a task (config -> score): what `hydra.main` does, and some things more.

    What ``complete`` makes of the command line's overrides is added to them, as if typed: it is in a
    run's ``overrides.yaml`` and in every command that is printed later.

    ``preload`` names the modules that every training imports and that take long: a sweep on this machine
    imports them once for all its workers, while it is still composed.

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
                if preload and _sweeps_here(sys.argv[1:]):
                    forkserver.begin(preload)
                if folder is not None:
                    _quote_options(folder)
                    if hydra_versions.CHECKS_TARGETS:
                        allow(_allowed_beforehand(folder / f"{config_name}.yaml"))
                    if complete is not None:
                        compose_now = functools.partial(_composed, folder, config_name)
                        _add_words(complete(_overrides(), compose_now))
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


def _sweeps_here(words: Sequence[str]) -> bool:
    """Whether a command line asks for a sweep, as far as can be seen on workers of this machine."""
    said = {name: value for name, _, value in (w.lstrip("+").partition("=") for w in words)}
    executor = said.get("executor", said.get("hydra/sweeper/executor", "local"))
    otherwise = executor != "local" or "hydra.sweeper.executor.fork" in said
    return not otherwise and not {"-m", "--multirun"}.isdisjoint(words)


def _overrides() -> list[str]:
    return [word for word in sys.argv[1:] if "=" in word and not word.startswith("-")]


def _add_words(words: Sequence[str]) -> None:
    """Add them behind an override: Hydra takes no overrides on both sides of an option."""
    if words:
        behind = sys.argv.index(_overrides()[-1], 1) + 1
        sys.argv[behind:behind] = words


def _composed(folder: Path, config_name: str) -> DictConfig | None:
    parser = OverridesParser.create()
    try:
        said = {word: parser.parse_override(word) for word in _overrides()}
        fixed = [word for word, override in said.items() if not override.is_sweep_override()]
        with initialize_config_dir(str(folder), **hydra_versions.BASE):
            return compose(config_name, fixed)
    except (HydraException, OmegaConfBaseException):
        return None  # told by Hydra


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
