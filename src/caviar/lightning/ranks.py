"""One training in several processes, one a device: the first is the run, and has the others join it."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, NoReturn

import torch
from hydra.core.hydra_config import HydraConfig
from lightning.fabric.plugins.environments.lightning import (
    LightningEnvironment,
    find_free_network_port,
)
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from caviar.base.errors import UsageError, usage_error
from caviar.executors.task import TaskSource, task_source
from caviar.lightning.check import check_strategy
from caviar.runs.active import RankLost, active_run

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from caviar.lightning.joining import main; main()"
)
_GRACE = 15.0
"""Seconds after a process's death in which this one is to notice it in its own waiting for that."""

_OF_THE_OTHERS = re.compile("gloo|nccl|peer|store|socket", re.IGNORECASE)
"""What torch says where another process of the training is gone."""


@dataclass(frozen=True)
class Place:
    """What a process that joins is told: its place in a training, and all that the training is.

    Attributes:
        port: where the first process listens.
        hydra: `HydraConfig`'s, so that the config resolves as it does in the first process.
        resume_from: the run's own folder of checkpoints, where it goes on from one.
        ready: the file descriptor by which it says that it is about to train.
    """

    rank: int
    port: int
    source: TaskSource
    config: DictConfig
    hydra: DictConfig | None
    folder: Path
    resume_from: Path | None
    ready: int


class JoinedTraining(BaseException):
    """Raised in a process that has joined, when the training is over: nothing else is its affair."""


joined: Place | None = None
"""This process's place in another's training: set by `caviar.lightning.joining`."""


class Ranks(LightningEnvironment):
    """The processes that `together` starts. Lightning's own way would run the command line again."""

    def __init__(self) -> None:
        super().__init__()
        self._port = joined.port if joined else find_free_network_port()
        rank_zero_only.rank = self.local_rank()  # what says whether this process writes logs

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        return self._port

    def local_rank(self) -> int:
        return joined.rank if joined else 0

    def node_rank(self) -> int:
        return 0

    def teardown(self) -> None:
        """Nothing: `together` gives the environment back."""


@contextmanager
def together(
    trainer: Trainer, module: LightningModule, config: DictConfig, resumed: Path | None
) -> Iterator[None]:
    """For the block, in which ``trainer`` trains, have the processes of its other devices do so too.

    They call the run's task with its config, as far as here, record nothing, and end with the block. What
    the module logs is the mean over all processes meanwhile.

    Args:
        resumed: the checkpoint that it goes on from.

    Raises:
        UsageError: processes cannot join by this strategy or in a fold, or one refused its settings.
        RankLost: one of them failed, or was killed.
    """
    if trainer.world_size == 1:
        yield
        return
    if joined:
        os.write(joined.ready, b"1")
        with _logging_means(module):
            yield
        raise JoinedTraining
    task = _task_to_join(trainer)
    environment, threads = dict(os.environ), torch.get_num_threads()
    # By it Lightning shuffles for several processes: by the run's own, not by what was left in there.
    os.environ["PL_GLOBAL_SEED"] = str(config.seed)
    others = _Others(trainer, task, config, resumed)
    try:
        others.wait_until_ready()
        with _logging_means(module):
            yield
        others.wait()
    except (RuntimeError, OSError) as error:
        if _OF_THE_OTHERS.search(str(error)):
            others.blame(error)
        raise
    finally:
        others.end()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()  # the next training has one of its own
        os.environ.clear()
        os.environ.update(environment)
        torch.set_num_threads(threads)


def _task_to_join(trainer: Trainer) -> TaskSource:
    """How the others find what this process has been called for."""
    launcher = getattr(trainer.strategy, "launcher", None)
    if type(launcher).__name__ == "_MultiProcessingLauncher":
        check_strategy(f"ddp_{getattr(trainer.strategy, '_start_method', 'spawn')}")
    run = active_run()
    if run is None or run.task is None:
        why = "is for a run: outside of one, or in a fold, a training is one process"
        raise usage_error("trainer.devices", trainer.world_size, why)
    return replace(task_source(run.task), function=None)


@contextmanager
def _logging_means(module: LightningModule) -> Iterator[None]:
    log = module.log

    def log_mean(*args: Any, **kwargs: Any) -> None:
        log(*args, **{**kwargs, "sync_dist": not kwargs.get("rank_zero_only")})

    vars(module)["log"] = log_mean
    try:
        yield
    finally:
        del vars(module)["log"]


class _Others:
    """The processes of a training beside the first.

    Each has a pipe to this one, which it holds open until it ends, and a pipe from it: where that is
    closed, because this process wants it or is gone, it ends.
    """

    def __init__(
        self, trainer: Trainer, task: TaskSource, config: DictConfig, resumed: Path | None
    ) -> None:
        environment: Any = trainer.strategy.cluster_environment  # type: ignore[union-attr]
        hydra: Any = HydraConfig.instance().cfg
        checkpoints = resumed.parent if resumed else None
        run = active_run()
        assert run is not None
        self._ended = False
        self._processes: list[subprocess.Popen[bytes]] = []
        self._said: list[IO[bytes]] = []
        self._ready: list[IO[bytes]] = []
        for rank in range(1, trainer.world_size):
            ready, tell = os.pipe()
            port = environment.main_port
            place = Place(rank, port, task, config, hydra, run.dir, checkpoints, tell)
            self._start(place, ready)
        threading.Thread(target=self._watch, daemon=True).start()

    def _start(self, place: Place, ready: int) -> None:
        said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, json.dumps(sys.path)],
            env={**os.environ, "LOCAL_RANK": str(place.rank)},
            pass_fds=[place.ready],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        os.close(place.ready)
        self._processes.append(process)
        self._said.append(said)
        self._ready.append(open(ready, "rb"))  # noqa: SIM115 - closed by `end`
        assert process.stdin is not None
        with suppress(OSError):  # it is gone: seen where it is waited for
            process.stdin.write(pickle.dumps(place))
            process.stdin.flush()

    def wait_until_ready(self) -> None:
        """Wait until all are about to train."""
        for index, pipe in enumerate(self._ready):
            if not pipe.read(1):
                self._blame(index, None)

    def wait(self) -> None:
        """Wait until all have ended in order, as they do after the training."""
        for index, process in enumerate(self._processes):
            try:
                status = process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                continue  # it has trained; what holds it up is told to nobody
            if status:
                self._blame(index, None)

    def blame(self, error: BaseException) -> None:
        """Raise for the one that has failed, where one has: this process has only lost it."""
        for index, process in enumerate(self._processes):
            with suppress(subprocess.TimeoutExpired):
                if process.wait(_GRACE / len(self._processes)):
                    self._blame(index, error)

    def _blame(self, index: int, error: BaseException | None) -> NoReturn:
        status, file = self._processes[index].wait(), self._said[index]
        file.seek(0)
        said = file.read().decode(errors="replace")
        last = said.strip().rpartition("\n")[2]
        if status == 2 and last.startswith("error: "):
            raise UsageError(last.removeprefix("error: ")) from error
        how = f"ended with signal {signal.Signals(-status).name}" if status < 0 else last
        who = f"process {index + 2} of the training's {len(self._processes) + 1}"
        raise RankLost(f"{who}: {how}", said) from error

    def end(self) -> None:
        """End all that still are."""
        self._ended = True
        for process, said, ready in zip(self._processes, self._said, self._ready, strict=True):
            process.kill()
            process.wait()
            for file in (process.stdin, said, ready):
                if file is not None:
                    with suppress(OSError):
                        file.close()

    def _watch(self) -> None:
        """End this process too where one was lost, and it waits for that one for ever."""
        while not self._ended:
            time.sleep(1)
            if any(process.poll() for process in self._processes):
                break
        time.sleep(2 * _GRACE)
        if not self._ended:
            os.write(2, b"error: a process of the training is lost, and torch waits for it\n")
            os._exit(1)
