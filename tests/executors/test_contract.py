"""Each executor passes the same suite."""

from caviar.executors.inline import InlineExecutor
from caviar.executors.local import LocalExecutor
from tests.contracts import tasks
from tests.contracts.executors import ExecutorContract


class TestInline(ExecutorContract):
    can_stop = False

    def make(self):
        return InlineExecutor(tasks.main)


class TestLocal(ExecutorContract):
    def make(self):
        return LocalExecutor(workers=2, gpus_per_trial=0)
