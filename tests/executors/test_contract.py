"""Each executor passes the same suite."""

import subprocess
import sys
from pathlib import Path

import pytest

from caviar.executors.base import TaskSource
from caviar.executors.inline import InlineExecutor
from caviar.executors.listen import ListenExecutor
from caviar.executors.local import LocalExecutor
from tests.contracts import tasks
from tests.contracts.executors import ExecutorContract, run


@pytest.mark.fast
class TestInline(ExecutorContract):
    can_stop = False

    def make(self):
        return InlineExecutor(tasks.main)


class TestLocal(ExecutorContract):
    fork = False

    def make(self):
        return LocalExecutor(workers=2, gpus_per_trial=0, fork=self.fork)

    def test_what_a_task_left_for_the_exit_is_done_when_its_worker_ends(self, executor, job):
        left = job(0, "leave work for the exit")
        run(executor, [left])
        executor.close()
        files = {file.name for file in Path(left.folder).iterdir()}
        assert {"at exit", "in a thread"} <= files


class TestCopies(TestLocal):
    """The same workers, as copies of this process."""

    fork = True
    task = TaskSource("main", "tests.contracts.tasks", None, function=tasks.main)


class Joined(ListenExecutor):
    """Starts an agent by itself, as a person would."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1")
        self.worker_settings = {"workers": 2, "gpus_per_trial": 0}

    def begin(self) -> None:
        super().begin()
        words = [sys.executable, "-m", "caviar.cli", "join", str(self.folder)]
        self.joined = subprocess.Popen(words, stdout=subprocess.DEVNULL)

    def close(self) -> None:
        super().close()
        self.joined.wait(30)


class TestListen(ExecutorContract):
    def make(self):
        return Joined()
