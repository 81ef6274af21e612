"""Agents in a real Slurm: preempted, cancelled, killed, waiting while their controller is."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from caviar.base.messages import Broken
from caviar.executors.slurm import SlurmExecutor
from caviar.executors.task import TaskSource
from tests.apps import App, make_app
from tests.contracts.executors import events_until
from tests.executors import clusters
from tests.sweep.test_faults import GATED, check_whole, open_the_gate, pids
from tests.waiting import gone, until

SLURM = (
    *("hydra/sweeper/executor=slurm", "hydra.sweeper.executor.host=127.0.0.1"),
    *("hydra.sweeper.executor.jobs=2", "hydra.sweeper.executor.workers_per_job=1"),
    "hydra.sweeper.executor.cpus=4",  # a whole node
)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory) -> Iterator[clusters.Slurm]:
    with clusters.slurm(tmp_path_factory.mktemp("slurm")) as made:
        yield made


@pytest.fixture
def app(tmp_path: Path) -> App:
    app = make_app(tmp_path / "app", GATED)
    (app.folder / "talk").touch()
    return app


def under_way(app: App, process, count: int) -> None:
    def so_many() -> bool:
        assert process.poll() is None, app.out
        return sum(not gone(pid) for pid in pids(app)) == count

    until(so_many, f"{count} trials are under way", 90)


def check(app: App, n_trials: int) -> None:
    for log in (app.folder / "sweep").glob("slurm-*.txt"):
        log.unlink()
    check_whole(app, n_trials)


def test_agents_that_slurm_ends_cost_no_trial(slurm: clusters.Slurm, app: App):
    process = app.start(*SLURM, "hydra.sweeper.n_trials=6", "hydra.sweeper.retries=1")
    under_way(app, process, 2)
    other = ("-phigh", "-c4", "--output=/dev/null", "--wrap=exec sleep 600")
    high = slurm.run("sbatch", "--parsable", *other).strip()
    until(lambda: "again: TrialInterrupted" in app.out, "the first is preempted")
    until(lambda: "ended by SIGTERM" in app.out, "its agent says why it goes")
    until(lambda: high in slurm.jobs(), "the other one's job runs")
    slurm.run("scancel", high)
    under_way(app, process, 2)
    agents, trained = slurm.jobs(), [pid for pid in pids(app) if not gone(pid)]
    slurm.run("scancel", agents[0])
    until(lambda: app.out.count("again: TrialInterrupted") == 2, "the second is cancelled")
    until(lambda: sum(map(gone, trained)) == 1, "its worker has ended")
    under_way(app, process, 2)
    killed = next(pid for pid in trained if not gone(pid))
    agent = int(Path(f"/proc/{killed}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(agent, signal.SIGKILL)
    until(lambda: "AgentLost" in app.out, "the third is killed")
    under_way(app, process, 2)
    open_the_gate(app)
    assert process.wait(90) == 0, app.out
    until(lambda: not slurm.jobs(""), "no job is left")
    check(app, 6)


def test_a_node_that_loses_its_power_costs_its_trials_work_alone(slurm: clusters.Slurm, app: App):
    process = app.start(*SLURM, "hydra.sweeper.n_trials=4", "hydra.sweeper.retries=1")
    under_way(app, process, 2)
    slurm.kill_node("n2")
    until(lambda: "AgentLost" in app.out, "it is missed")
    under_way(app, process, 1)
    slurm.start_node("n2")
    under_way(app, process, 2)
    open_the_gate(app)
    assert process.wait(90) == 0, app.out
    assert app.out.count("AgentLost") == 1
    until(lambda: not slurm.jobs(""), "no job is left")
    check(app, 4)


def test_agents_that_wait_while_their_controller_is_killed_serve_the_resumed_one(
    slurm: clusters.Slurm, app: App
):
    for _ in slurm.nodes:
        slurm.run("sbatch", "-c4", "--output=/dev/null", "--wrap=exec sleep 600")
    until(lambda: len(slurm.jobs()) == len(slurm.nodes), "the cluster is full")
    full = slurm.jobs()
    process = app.start(*SLURM, "hydra.sweeper.n_trials=4")
    until(lambda: "4 trials" in app.out, "it has begun")
    until(lambda: len(slurm.jobs("PENDING")) == 2, "agents wait")
    process.kill()
    process.wait()
    resumed = app.start_resume()
    until(lambda: app.out.count("4 trials") == 2, "it goes on")
    assert len(slurm.jobs("PENDING")) == 2
    slurm.run("scancel", *full)
    under_way(app, resumed, 2)
    resumed.kill()  # and once more, with agents that run
    resumed.wait()
    open_the_gate(app)
    done = app.resume()
    assert done.status == 0, done.out + done.err
    until(lambda: not slurm.jobs(""), "no job is left")
    check(app, 4)


def test_what_sbatch_refuses_is_told_in_one_line_and_leaves_nothing(
    slurm: clusters.Slurm, app: App
):
    done = app.sweep(*SLURM, "hydra.sweeper.executor.partition=nowhere")
    assert done.status == 2
    assert done.err.startswith("error: executor=slurm: sbatch: error: invalid partition")
    assert done.err.count("\n") == 1
    assert not (app.folder / "sweep").exists()


def test_agents_that_never_come_end_the_sweep_and_say_where_to_look(slurm, tmp_path, monkeypatch):
    monkeypatch.setattr("caviar.executors.slurm.LOOK_SECONDS", 0.5)
    executor = SlurmExecutor(jobs=5, setup=["exit 3"], host="127.0.0.1")
    executor.log = tmp_path / "workers.txt"
    try:
        executor.start(TaskSource("main", "tests.contracts.tasks", None))
        broken = events_until(executor, lambda event: isinstance(event, Broken))[-1]
    finally:
        executor.close()
    assert "5 agents in a row ended within a minute, without a trial" in broken.error
    assert f"see {tmp_path}/slurm-" in broken.error
    assert list(tmp_path.glob("slurm-*.txt"))


def test_an_allocation_that_ends_leaves_checkpoints_and_another_goes_on(slurm, app: App):
    limits = ("hydra.sweeper.executor.time=1", "hydra.sweeper.n_trials=2")
    process = app.start(*SLURM, *limits, "hydra.sweeper.retries=0")
    under_way(app, process, 2)
    until(lambda: "ended by SIG" in app.out, "time is up", 150)
    until(lambda: "again: TrialInterrupted" in app.out, "its trial is interrupted")
    open_the_gate(app)
    assert process.wait(120) == 0, app.out
    assert any("went_on_from" in result["facts"] for result in app.results())
    check(app, 2)


def test_a_trial_is_a_training_by_itself_in_a_job_of_two_tasks_and_has_a_gpu_of_it(
    slurm, tmp_path: Path
):
    code = """
import hydra, os, time
from pathlib import Path
import caviar
@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    from lightning.fabric.plugins.environments import SLURMEnvironment
    assert os.environ["SLURM_JOB_ID"]
    caviar.record(gpu=os.environ["CUDA_VISIBLE_DEVICES"])
    Path(f"{os.getpid()}.here").touch()
    end = time.monotonic() + 60
    while len(list(Path().glob("*.here"))) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    return float(SLURMEnvironment.detect())

if __name__ == "__main__":
    main()
"""
    app = make_app(tmp_path / "app", code)
    # The GPUs of this Slurm are plain files, of which it tells a job nothing.
    gpus = "hydra.sweeper.executor.setup=['export CUDA_VISIBLE_DEVICES=0,1']"
    more = ("hydra.sweeper.executor.sbatch=['--ntasks=2']", "hydra.sweeper.executor.gpus=2", gpus)
    done = app.sweep(*SLURM[:2], *more, "hydra.sweeper.n_trials=2", timeout=120)
    assert done.status == 0, done.out + done.err
    assert [result["value"] for result in app.results()] == [0.0, 0.0]
    assert {result["facts"]["gpu"] for result in app.results()} == {"0", "1"}


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        (90, 5400),
        ("90", 5400),
        ("1:30", 90),
        ("2:00:01", 7201),
        ("1-2", 93600),
        ("1-2:30", 95400),
        ("1-2:30:05", 95405),
        ("UNLIMITED", math.inf),
        (None, math.inf),
    ],
)
def test_a_time_is_read_as_slurm_reads_it(time, seconds):
    assert SlurmExecutor(time=time).lasts == seconds
