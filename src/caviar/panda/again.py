"""Starting a run's training once more, from what its folder says, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig, OmegaConf

from caviar.base.errors import UsageError
from caviar.base.signals import heard
from caviar.panda.files import FOLDER, STATUS, alive, read_status
from caviar.runs.active import GO_ON
from caviar.runs.config import read_config
from caviar.runs.folder import CONFIG, RESULT, Result
from caviar.runs.ours import check_trusted
from caviar.runs.program import PROGRAM, under_way
from caviar.space.grammar import as_override


def go_on(run: Path, trust: bool = False) -> int:
    """Go on with a run that was killed, in its own folder, and return the exit status.

    From its last checkpoint; where it had come to none, from the start, its edits made again. A run
    that was not watched goes on after a failure too. With ``trust`` it starts what the folder says,
    whatever that is.

    Raises:
        UsageError: it ended, it is not ours, or it cannot be started from its folder.
    """
    if (run / FOLDER / STATUS).exists():
        # The training may have ended, and the disk been too full for its last checkpoint.
        whole = not (run / RESULT).exists() or Result.read(run).state == "COMPLETE"
        ended = read_status(run)["state"] == "ended" and whole
    else:
        ended = Result.read(run).state == "COMPLETE"
    if ended:
        raise UsageError(f"run={run.name}: it is not training any more (it ended)")
    if alive(run) or under_way(run):
        raise UsageError(f"run={run.name}: another process is training it")
    with training_of(run, "resume", trust) as (words, folder, environment):
        environment[GO_ON] = str(run.absolute())
        process = subprocess.Popen([*words, *overrides_for(run)], cwd=folder, env=environment)

        def pass_on(signum: int) -> None:
            if signum != signal.SIGINT:  # of Ctrl-C it was told too
                process.send_signal(signum)

        with heard(pass_on):  # it leaves a checkpoint
            status = process.wait()
        return status if status >= 0 else 128 - status


@contextmanager
def training_of(
    run: Path, verb: str, trust: bool = False
) -> Iterator[tuple[list[str], str, dict[str, str]]]:
    """What starts the training of ``run`` once more, for as long as the block lasts: words, to which
    overrides are added, the working folder and the environment.

    Args:
        verb: the command of `caviar` that asks for it.
        trust: start what the folder says, whatever that is.

    Raises:
        UsageError: it is not ours, or its config or its program cannot be used.
    """
    # Signed, where the folder is ours; else, where it is trusted, what its files say.
    started = check_trusted(run, CONFIG, verb, trust) or _started_by_files(run)
    config = _config(run)
    words = [sys.executable, *_app(run, started)]
    # A sum over several threads is rounded otherwise: as many as the run had.
    threads = _threads(run, started)
    environment = os.environ | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
    folder = Path(str(started.get("cwd") or Path.cwd()))
    if not folder.is_dir():
        raise UsageError(f"run={run.name}: the folder it was started in is gone: {folder}")
    # What was checked is what Hydra reads: a copy, with none of the run's other files beside it.
    with TemporaryDirectory() as place:
        OmegaConf.save(config, Path(place) / CONFIG)
        words += [f"--config-path={place}", f"--config-name={Path(CONFIG).stem}"]
        yield words, str(folder), environment


def overrides_for(folder: Path) -> list[str]:
    """What has the run kept in ``folder``."""
    run_dir = as_override("hydra.run.dir", str(folder.absolute()))
    return [run_dir, "hydra.output_subdir=null", "hydra/job_logging=stdout"]


def _started_by_files(run: Path) -> dict[str, Any]:
    """How the run was started, as its unsigned files have it."""
    started = Result.read(run).facts.get(PROGRAM)
    if not isinstance(started, dict) and (run / FOLDER / STATUS).exists():
        started = read_status(run)
    if not isinstance(started, dict):
        raise UsageError(f"run={run.name}: its {RESULT} does not say how it was started")
    return started


def _threads(run: Path, started: Mapping[str, Any]) -> Any:
    """How many threads the training had: what a watched run says, else the environment."""
    with suppress(UsageError):
        if (threads := read_status(run)["threads"]) is not None:
            return threads
    return started.get("threads")


def _config(run: Path) -> DictConfig:
    """The run's config, if it holds what a run's config holds and nothing that steers Hydra."""
    config = read_config(run)
    for key in ("hydra", "defaults"):
        if key in config:
            raise UsageError(f"{run / CONFIG}: it has a {key} node, which no run writes")
    return config


def _app(run: Path, started: Mapping[str, Any]) -> list[str]:
    """The arguments of python that start the app."""
    module, script = started.get("module"), started.get("script")
    if isinstance(module, str):
        return ["-P", "-m", module]  # from where it is installed, not from the folder it ran in
    if isinstance(script, str) and Path(script).is_file():
        return [script]
    raise UsageError(f"run={run.name}: the script it was started with is not there: {script}")
