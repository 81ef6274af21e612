"""Starting a run's training once more, from what its folder says, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from caviar.errors import UsageError, usage_error
from caviar.panda.files import FOLDER, STATUS, alive, read_status
from caviar.runs.active import GO_ON
from caviar.runs.folder import CONFIG, RESULT, Result
from caviar.runs.program import PROGRAM, under_way
from caviar.runs.signals import heard
from caviar.security import ALLOWED, check_target


def go_on(run: Path, trusted: Sequence[str] = ()) -> int:
    """Go on with a run that was killed, in its own folder, and return the exit status.

    From its last checkpoint; where it had come to none, from the start, its edits made again. A run
    that was not watched goes on after a failure too.

    Args:
        run: the run folder.
        trusted: what its config may add to `caviar.security.ALLOWED`.

    Raises:
        UsageError: it ended, or it cannot be started from its folder.
    """
    if (run / FOLDER / STATUS).exists():
        started = read_status(run)
        # The training may have ended, and the disk been too full for its last checkpoint.
        whole = not (run / RESULT).exists() or Result.read(run).state == "COMPLETE"
        ended = started["state"] == "ended" and whole
    else:
        result = Result.read(run)
        started = result.facts.get(PROGRAM)
        ended = result.state == "COMPLETE"
    if ended:
        raise UsageError(f"run={run.name}: it is not training any more (it ended)")
    if alive(run) or under_way(run):
        raise UsageError(f"run={run.name}: another process is training it")
    if not isinstance(started, dict):
        raise UsageError(f"run={run.name}: its {RESULT} does not say how it was started")
    with training_of(run, trusted, started) as command:
        environment = {**command.environment, GO_ON: str(run.absolute())}
        process = subprocess.Popen(
            [*command.words, *overrides_for(run)], cwd=command.folder, env=environment
        )

        def pass_on(signum: int) -> None:
            if signum != signal.SIGINT:  # of Ctrl-C it was told too
                process.send_signal(signum)

        with heard(pass_on):  # it leaves a checkpoint
            status = process.wait()
        return status if status >= 0 else 128 - status


@dataclass(frozen=True)
class Command:
    """How to start a training: words, to which overrides are added, working folder, environment."""

    words: list[str]
    folder: str
    environment: dict[str, str]


@contextmanager
def training_of(
    run: Path, trusted: Sequence[str] = (), started: dict[str, Any] | None = None
) -> Iterator[Command]:
    """What starts the training of ``run`` once more, for as long as the block lasts.

    Args:
        run: the run folder.
        trusted: what its config may add to `caviar.security.ALLOWED`.
        started: how it was started; None for what a watched run says of that.

    Raises:
        UsageError: its config or its program cannot be used.
    """
    status = started or read_status(run)
    config = _config(run, trusted)
    words = [sys.executable, *_app(status)]
    # A sum over several threads is rounded otherwise: as many as the run had.
    threads = status.get("threads")
    environment = dict(os.environ)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(int(threads))
    # What was checked is what Hydra reads: a copy, with none of the run's other files beside it.
    with TemporaryDirectory() as place:
        OmegaConf.save(config, Path(place) / CONFIG)
        words += [f"--config-path={place}", f"--config-name={Path(CONFIG).stem}"]
        yield Command(words, status["cwd"], environment)


def overrides_for(folder: Path) -> list[str]:
    """What has the run kept in ``folder``."""
    run_dir = f"hydra.run.dir='{folder.absolute()}'"
    return [run_dir, "hydra.output_subdir=null", "hydra/job_logging=stdout"]


def _config(run: Path, trusted: Sequence[str]) -> DictConfig:
    """The run's config, if it holds what a run's config holds and nothing that steers Hydra."""
    if not (run / CONFIG).is_file():
        raise UsageError(f"run={run}: it has no {CONFIG}")
    try:
        config = OmegaConf.load(run / CONFIG)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise UsageError(f"{run / CONFIG}: not readable as YAML ({problem})") from None
    if not isinstance(config, DictConfig):
        raise UsageError(f"{run / CONFIG}: not a config")
    for key in ("hydra", "defaults"):
        if key in config:
            raise UsageError(f"{run / CONFIG}: it has a {key} node, which no run writes")
    written = OmegaConf.to_container(config, resolve=False)
    asked = written.get("allow") or []  # type: ignore[union-attr]
    for prefix in asked if isinstance(asked, list) else [asked]:
        if prefix not in [*ALLOWED, *trusted]:
            raise usage_error(
                "allow", prefix, f"the run's config asks for it; --allow {prefix} trusts it"
            )
    return config


def _app(status: dict[str, Any]) -> list[str]:
    """The arguments of python that start the app; what a run's folder says is not trusted blindly."""
    module, script = status.get("module"), status.get("script")
    if module:
        check_target(module if "." in module else f"{module}.", import_it=False)
        return ["-P", "-m", module]  # from where it is installed, not from the folder it ran in
    if (
        isinstance(script, str)
        and Path(script).is_file()
        and Path(script).is_relative_to(Path.cwd())
    ):
        return [script]
    raise usage_error("run", script, "the script it was started with is not in this folder")
