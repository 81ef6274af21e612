"""What every executor must do: inherit this class, say how to make one, and all of it is tested."""

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict

from caviar.base import hydra_versions
from caviar.base.messages import Base, Event, Failed, Finished, Job, Pruned, Reported, Started
from caviar.executors.base import Executor
from caviar.executors.task import TaskSource
from caviar.runs.folder import Result
from tests.waiting import gone, until

DEADLINE = 90.0


class ExecutorContract:
    """The suite."""

    task = TaskSource("main", "tests.contracts.tasks", None)

    def make(self) -> Executor:
        """A fresh executor, not started."""
        raise NotImplementedError

    @pytest.fixture
    def executor(self, tmp_path: Path) -> Iterator[Executor]:
        made = self.make()
        made.log = tmp_path / "workers.txt"
        try:
            made.start(self.task)
            until(lambda: made.lanes or made.events(0.2) is None, "it has lanes")
            yield made
        finally:
            made.close()

    @pytest.fixture
    def job(self, tmp_path: Path):
        """Makes jobs: ``job(number, what, x)``."""
        (tmp_path / "conf").mkdir()
        (tmp_path / "conf" / "config.yaml").write_text("what: score\nx: 0.0\n")
        with initialize_config_dir(str(tmp_path / "conf"), **hydra_versions.BASE):
            config = compose("config", return_hydra_config=True)
        with open_dict(config):
            config.hydra.job.chdir = False
        OmegaConf.set_readonly(config.hydra, False)
        base = Base(0, pickle.dumps(config))

        def made(number: int, what: str = "score", x: float = 0.0) -> Job:
            values = {"what": what, "x": x}
            folder = str(tmp_path / "trials" / f"{number:04}")
            return Job(number, base, values, [f"x={x}"], {"x": x}, folder)

        return made

    def test_every_job_starts_once_and_ends_once_with_its_own_score(self, executor, job):
        ended = run(executor, [job(n, x=n / 2) for n in range(7)])
        for number in range(7):
            started, finished = ended[number]
            assert isinstance(started, Started)
            assert isinstance(finished, Finished)
            assert finished.values == [number / 2]

    def test_no_more_than_its_lanes_are_under_way(self, executor, job):
        run(executor, [job(0)])  # all lanes are known once a worker is up
        most = [0]
        run(executor, [job(n) for n in range(1, 9)], most=most)
        assert most[0] <= executor.lanes
        assert 0 <= executor.spare < executor.lanes

    def test_every_trial_leaves_its_run_folder_whole(self, executor, job, capsys):
        jobs = [job(0), job(1, "fail"), job(2, "report")]
        with capsys.disabled():  # a trial's output is caught below Python
            run(executor, jobs)
        states = [Result.read(Path(job.folder)).state for job in jobs]
        assert states == ["COMPLETE", "FAIL", "COMPLETE"]
        for one in jobs:
            files = {file.name for file in Path(one.folder).iterdir()}
            assert {"config.yaml", "overrides.yaml", "result.json", "log.txt"} <= files
            assert "output of the trial" in Path(one.folder, "log.txt").read_text()

    def test_a_failing_trial_fails_alone_and_says_how(self, executor, job):
        ended = run(executor, [job(0), job(1, "fail"), job(2, "exit"), job(3)])
        assert [type(ended[n][-1]) for n in range(4)] == [Finished, Failed, Failed, Finished]
        assert ended[1][-1].error == "KeyError: 'no such thing'"
        assert "Traceback" in ended[1][-1].traceback
        assert ended[2][-1].error == "SystemExit: 3"
        assert not ended[1][-1].transient

    def test_reports_arrive_in_order_and_before_the_end(self, executor, job):
        judged = []
        executor.judge = lambda report: bool(judged.append(report))
        events = run(executor, [job(4, "report", x=1.0)])[4]
        reports = [event for event in events if isinstance(event, Reported)] or judged
        assert [(r.value, r.step) for r in reports] == [(1.0, 0), (2.0, 1), (3.0, 2)]
        assert isinstance(events[-1], Finished)

    def test_a_pruned_trial_ends_at_a_report_with_the_last_value_and_its_lane_is_free(
        self, executor, job
    ):
        executor.judge = lambda report: report.step >= 1
        ended = run(executor, [job(0, "report until ended", x=7.0)], prune_at=1)
        assert isinstance(ended[0][-1], Pruned)
        assert ended[0][-1].value == 7.0
        assert Result.read(Path(job(0).folder)).state == "PRUNED"
        assert isinstance(run(executor, [job(1)])[1][-1], Finished)

    def test_a_stopped_trial_fails_with_the_reason_and_all_it_started_is_gone(self, executor, job):
        if not executor.can_stop:
            pytest.skip("a trial in this process cannot be stopped from outside")
        hanging = job(0, "hang")
        executor.submit(hanging)
        pids = Path(hanging.folder, "pids")
        until(lambda: executor.events(0.1) is None or pids.exists(), "the trial hangs")
        executor.stop(0, "Timeout: enough")
        failed = events_until(executor, lambda event: isinstance(event, Failed))[-1]
        assert (failed.error, failed.transient) == ("Timeout: enough", False)
        for pid in map(int, pids.read_text().split()):
            until(lambda pid=pid: gone(pid), f"process {pid} ends")
        assert isinstance(run(executor, [job(1)])[1][-1], Finished)

    def test_closing_leaves_no_process_and_may_be_done_twice(self, executor, job):
        ended = run(executor, [job(n) for n in range(4)])
        executor.close()
        executor.close()
        for pid in {events[-1].facts["pid"] for events in ended.values()} - {os.getpid()}:
            until(lambda pid=pid: gone(pid), f"worker {pid} ends")


def run(
    executor: Executor,
    jobs: list[Job],
    prune_at: int | None = None,
    most: list[int] | None = None,
) -> dict[int, list[Event]]:
    """Run jobs as a sweep does, and gather each one's events."""
    waiting, under_way = list(jobs), set()
    events: dict[int, list[Event]] = {job.number: [] for job in jobs}
    deadline = monotonic() + DEADLINE
    while waiting or under_way:
        while waiting and len(under_way) < executor.lanes:
            job = waiting.pop(0)
            under_way.add(job.number)
            executor.submit(job)
        if most is not None:
            most[0] = max(most[0], len(under_way))
        for event in executor.events(0.2):
            number = getattr(event, "number", None)
            if number is None:
                continue
            events[number].append(event)
            if isinstance(event, Reported) and prune_at is not None and event.step >= prune_at:
                executor.prune(number)
            if isinstance(event, Finished | Pruned | Failed):
                assert number in under_way, "a trial ended twice"
                under_way.discard(number)
        assert monotonic() < deadline, f"still under way: {under_way}"
    return events


def events_until(executor: Executor, last) -> list[Event]:
    """All events up to the first for which ``last`` holds."""
    found: list[Event] = []
    deadline = monotonic() + DEADLINE
    while not (found and last(found[-1])):
        assert monotonic() < deadline, found
        for event in executor.events(0.2):
            found.append(event)
            if last(event):
                break
    return found
