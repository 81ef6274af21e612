"""The entry of an app: `hydra.main`, with bad input told in one line and single runs recorded."""

import functools
import logging
import os
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from caviar.errors import UsageError
from caviar.runs import folder as names
from caviar.runs.active import ActiveRun, activate, active_run
from caviar.runs.config import resolved, to_yaml
from caviar.runs.files import write_atomic
from caviar.runs.folder import Result, make_folder

Task = Callable[[DictConfig], Any]


def main(config_path: str | None, config_name: str) -> Callable[[Task], Task]:
    """Decorate a task (config -> score): what `hydra.main` does, and two things more.

    Bad input ends the process with one line on stderr and exit status 2, and a single run leaves a
    run folder (config, overrides, result, log). In a sweep the worker keeps the folder instead.
    ``HYDRA_FULL_ERROR=1`` shows whole tracebacks, as in any Hydra app.
    """

    def decorate(task: Task) -> Task:
        @functools.wraps(task)
        def recorded(config: DictConfig) -> Any:
            return task(config) if active_run() else run_recorded(task, config)

        app = hydra.main(version_base="1.3", config_path=config_path, config_name=config_name)(
            recorded
        )

        @functools.wraps(recorded)
        def entry(config: DictConfig | None = None) -> Any:
            return recorded(config) if config is not None else _run_app(app)

        return entry

    return decorate


def run_recorded(task: Task, config: DictConfig) -> Any:
    """Call ``task`` inside a run folder of its own, at Hydra's output directory."""
    hydra_config = HydraConfig.get()
    folder = _claim(Path(hydra_config.runtime.output_dir))
    with read_write(hydra_config), open_dict(hydra_config):
        hydra_config.runtime.output_dir = str(folder)
    write_atomic(folder / names.CONFIG, to_yaml(resolved(config)))
    write_atomic(
        folder / names.OVERRIDES, to_yaml(OmegaConf.to_container(hydra_config.overrides.task))
    )
    log = logging.FileHandler(folder / names.LOG)
    log.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] %(message)s"))
    logging.getLogger().addHandler(log)
    result = Result(state="RUNNING", started=datetime.now(UTC).isoformat(timespec="seconds"))
    result.write(folder)
    start = perf_counter()
    try:
        with activate(ActiveRun(folder)) as run:
            value = task(config)
        result.state, result.value = "COMPLETE", value
        return value
    except BaseException as error:
        result.state, result.error = "FAIL", f"{type(error).__name__}: {error}"
        with (folder / names.LOG).open("a") as file:
            traceback.print_exc(file=file)
        raise
    finally:
        logging.getLogger().removeHandler(log)
        log.close()
        result.seconds = round(perf_counter() - start, 3)
        result.take(run.facts)
        result.write(folder)


def _claim(wanted: Path) -> Path:
    """Hydra has just made ``wanted``, or found it: an empty one is ours, a filled one somebody's."""
    names.check_name(wanted.name)
    return wanted if not any(wanted.iterdir()) else make_folder(wanted)


def _run_app(app: Callable[[], Any]) -> Any:
    full_errors = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Hydra ends the process with status 1 on its own errors; asked for full errors, it raises them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        return app()
    except (UsageError, HydraException, OmegaConfBaseException) as error:
        if full_errors:
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        raise SystemExit(2) from None


def one_line(error: Exception) -> str:
    """An error in one line: ours as it is, Hydra's with its lines joined and its cause added."""
    lines = [*str(error).splitlines()]
    if isinstance(error, HydraException) and error.__cause__ is not None:
        lines += str(error.__cause__).splitlines()[:1]
    return " ".join(line.strip() for line in lines if line.strip())
