"""Each executor passes the same suite."""

import subprocess
import sys
from pathlib import Path

import pytest

from caviar.executors.inline import InlineExecutor
from caviar.executors.local import LocalExecutor
from caviar.executors.remote import RemoteExecutor
from caviar.executors.slurm import SlurmExecutor
from caviar.executors.task import TaskSource
from caviar.executors.token import TOKEN
from tests import copies
from tests.contracts import tasks
from tests.contracts.executors import ExecutorContract, run
from tests.executors import clusters


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


def can_unshare() -> bool:
    """Whether a process here can be given mounts of its own."""
    try:
        return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


class Joined(RemoteExecutor):
    """Starts an agent by itself, as a person would."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1")
        self.worker_settings = {"workers": 2, "gpus_per_trial": 0}

    before: tuple[str, ...] = ()
    """What the agent is started by."""

    def begin(self) -> None:
        super().begin()
        words = [*self.before, sys.executable, "-m", "caviar.cli", "join", str(self.token)]
        start = subprocess.Popen if self.before else copies.Popen
        self.joined = start(words, stdout=subprocess.DEVNULL)

    @property
    def token(self) -> Path:
        return self.folder

    def close(self) -> None:
        super().close()
        self.joined.wait(30)


class TestListen(ExecutorContract):
    def make(self):
        return Joined()


class Elsewhere(Joined):
    """The agent finds an empty folder where the sweep's is, as on another machine."""

    @property
    def before(self) -> tuple[str, ...]:
        hide = f'mount -t tmpfs tmpfs {self.folder} && exec "$@"'
        return ("unshare", "--mount", "sh", "-c", hide, "sh")

    @property
    def token(self) -> Path:
        copy = Path(f"{self.folder}.token")
        copy.touch(0o600)
        copy.write_bytes((self.folder / TOKEN).read_bytes())
        return copy


@pytest.mark.skipif(not can_unshare(), reason="needs root, to hide the disk from an agent")
class TestListenWithoutASharedDisk(ExecutorContract):
    def make(self):
        return Elsewhere()


class TestSlurm(ExecutorContract):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def slurm(cls, tmp_path_factory):
        with clusters.slurm(tmp_path_factory.mktemp("slurm")) as slurm:
            yield slurm

    def make(self):
        return SlurmExecutor(jobs=2, workers_per_job=1, cpus=2, host="127.0.0.1")


class TestRay(ExecutorContract):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def ray(cls, tmp_path_factory):
        with clusters.ray(tmp_path_factory.mktemp("ray")) as ray:
            yield ray

    def make(self):
        from caviar.executors.ray import RayExecutor

        return RayExecutor(workers=2)
