"""Each executor passes the same suite."""

from pathlib import Path

import pytest

from caviar.executors.base import TaskSource
from caviar.executors.inline import InlineExecutor
from caviar.executors.local import LocalExecutor
from tests.contracts import tasks
from tests.contracts.executors import ExecutorContract, run


@pytest.mark.fast
class TestInline(ExecutorContract):
    task = TaskSource("main", "tests.contracts.tasks", None, function=tasks.main)

    def make(self):
        return InlineExecutor()


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
