"""Training a run again with the edits that were made to it, and comparing what came of it."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from caviar.errors import UsageError, usage_error
from caviar.panda.edits import in_force, read_edits
from caviar.panda.files import alive, read_status
from caviar.runs.folder import CONFIG, METRICS, Result, make_folder
from caviar.security import ALLOWED, check_target


@dataclass(frozen=True)
class Compared:
    """How two trainings compare.

    Attributes:
        epochs: rows that are the same, from the first.
        difference: the first that is not, in words; None where all are.
    """

    epochs: int
    difference: str | None


def replay(run: Path, trusted: Sequence[str] = ()) -> tuple[Path, int, Compared]:
    """Train ``run`` again beside itself, in a process of its own.

    Args:
        run: the run folder.
        trusted: what its config may add to `caviar.security.ALLOWED`.

    Returns:
        The new folder, the number of edits made again, and how the metrics compare.

    Raises:
        UsageError: it cannot be trained again.
        RuntimeError: the training failed; the new folder's log tells why.
    """
    status = read_status(run)
    if alive(run):
        raise UsageError(f"run={run.name}: it is still training; stop it, or wait for its end")
    config = _config(run, trusted)
    command = [sys.executable, *_app(status)]
    folder = make_folder(run.with_name(f"{run.name}-replay"))
    overrides = [
        f"hydra.run.dir='{folder.absolute()}'",
        "hydra.output_subdir=null",
        "hydra/job_logging=stdout",
        f"panda.replay='{run.absolute()}'",
    ]
    # A sum over several threads is rounded otherwise: as many as the run had.
    env = {**os.environ, "OMP_NUM_THREADS": str(int(status["threads"]))}
    # What was checked is what Hydra reads: a copy, with none of the run's other files beside it.
    with TemporaryDirectory() as place:
        OmegaConf.save(config, Path(place) / CONFIG)
        command += [f"--config-path={place}", f"--config-name={Path(CONFIG).stem}", *overrides]
        done = subprocess.run(
            command, cwd=status["cwd"], env=env, capture_output=True, text=True, check=False
        )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise RuntimeError(f"the replay failed: {''.join(last)} ({folder})")
    return folder, len(in_force(read_edits(run))), compare(run, folder)


def compare(run: Path, again: Path) -> Compared:
    """Compare two ``metrics.csv``, number by number, as they are written: to the last bit."""
    rows, others = _rows(run), _rows(again)
    for index, (row, other) in enumerate(zip_longest(rows, others)):
        if row == other:
            continue
        if row is None or other is None:
            return Compared(index, f"{len(rows)} epochs, but {len(others)} when replayed")
        name = next(name for name in row | other if row.get(name) != other.get(name))
        told = f"{name} is {row.get(name)}, but {other.get(name)} when replayed"
        return Compared(index, f"at epoch {row['epoch']}, {told}")
    return Compared(len(rows), None)


def last_recorded(run: Path) -> int | None:
    """The last epoch that a run logged which did not come to its end; None of one that did."""
    try:
        state = Result.read(run).state
    except UsageError:
        return None
    rows = _rows(run)
    if state == "COMPLETE" or not rows:
        return None
    return int(rows[-1]["epoch"])


def _rows(run: Path) -> list[dict[str, str]]:
    try:
        text = (run / METRICS).read_text()
    except FileNotFoundError:
        return []
    return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))


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
    module, script = status["module"], status["script"]
    if module:
        check_target(module if "." in module else f"{module}.", import_it=False)
        return ["-P", "-m", module]  # from where it is installed, not from the folder it ran in
    if script and Path(script).is_file() and Path(script).is_relative_to(Path.cwd()):
        return [script]
    raise usage_error("run", script, "the script it was started with is not in this folder")
