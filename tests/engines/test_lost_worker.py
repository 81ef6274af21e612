"""A worker with lanes that is killed costs its trials the time since their last checkpoint, no more."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from caviar.engines.fused.files import LANE
from caviar.executors.base import TaskSource
from caviar.executors.local import LocalExecutor
from caviar.trials import Failed, Finished, Job, Reported
from tests.contracts.executors import events_until
from tests.engines.test_engine import Jobs, fused, jobs, rates, result, serve  # noqa: F401
from tests.waiting import until

EPOCHS = 400
SWEEP = (
    "name=s", "engine=fused", "space=none", "optimizer.lr=tag(log, interval(1e-4, 1e-2))",
    "data=synthetic", "data.samples=120", "model.width=9", "model.dropout=0.1",
    f"trainer.max_epochs={EPOCHS}", "hydra.sweeper.n_trials=4", "hydra.sweeper.report=false",
    "hydra.sweeper.executor.workers=1", "hydra.sweeper.fused.lanes=4",
)  # fmt: skip


def started(folder: Path, checkpoint_every: str) -> subprocess.Popen[bytes]:
    folder.mkdir()
    every = f"hydra.sweeper.fused.checkpoint_every={checkpoint_every}"
    with (folder / "out.txt").open("w") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "project.train", "-m", *SWEEP, every],
            env={**os.environ, "CAVIAR_OUTPUTS": str(folder), "OMP_NUM_THREADS": "1"},
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def trials(folder: Path) -> list[Path]:
    return sorted((folder / "sweeps/s/trials").glob("*"))


def test_lanes_of_a_killed_worker_go_on_from_their_checkpoints_to_the_same_curves(
    tmp_path: Path,
) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    first, second = started(undisturbed, "null"), started(killed, "0.1")
    try:

        def kept() -> bool:
            found = [trial / "checkpoints" / LANE for trial in trials(killed)]
            return len(found) == 4 and all(path.exists() for path in found)

        until(kept, "every lane has been written down", 120)
        (worker,) = Path(f"/proc/{second.pid}/task/{second.pid}/children").read_text().split()
        os.kill(int(worker), signal.SIGKILL)
        for process, folder in ((first, undisturbed), (second, killed)):
            assert process.wait(240) == 0, (folder / "out.txt").read_text()
    finally:
        for process in (first, second):
            process.kill()
            process.wait()
    assert "ended with signal SIGKILL" in (killed / "out.txt").read_text()
    for mine, its in zip(trials(killed), trials(undisturbed), strict=True):
        assert (mine / "metrics.csv").read_text() == (its / "metrics.csv").read_text()
        assert result(mine)["value"] == result(its)["value"]
        assert not (mine / "checkpoints" / LANE).exists()
    said = re.findall(
        r"(\d+) of \d+ lane-ticks busy", (killed / "sweeps/s/workers.txt").read_text()
    )
    assert 0 < int(said[0]) < 4 * EPOCHS


def test_trials_shorter_than_that_write_no_lane_down(
    jobs: Jobs,  # noqa: F811
    monkeypatch: Any,
) -> None:
    written = []
    monkeypatch.setattr(torch, "save", lambda *_: written.append(1))
    assert len(serve(jobs(rates(8)), fused(keep=0)).ends()) == 8
    assert written == []


def test_a_checkpoint_that_cannot_be_read_lets_its_trial_begin_afresh(
    jobs: Jobs,  # noqa: F811
) -> None:
    (job,) = jobs(rates(1))
    checkpoints = Path(job.folder) / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / LANE).write_bytes(b"PK\x03\x04 no more than this")
    (end,) = serve([Job(**{**vars(job), "resume_from": str(checkpoints)})]).ends().values()
    assert isinstance(end, Finished)


def test_a_trial_past_its_deadline_leaves_its_lane_and_its_neighbour_ends_well(
    jobs: Jobs,  # noqa: F811
    tmp_path: Path,
) -> None:
    options = {"lanes": 2, "keep": 0}
    executor = LocalExecutor(
        1, 0, 1, engine={"name": "fused", "build": "project.recipe.recipe", "options": options}
    )
    executor.log = tmp_path / "workers.txt"
    executor.start(TaskSource("main", "project.train", None))
    endless, neighbour = jobs([{"trainer.max_epochs": n} for n in (10**6, 500)])
    try:
        executor.submit(endless)
        events_until(executor, lambda event: isinstance(event, Reported))
        executor.submit(neighbour)
        events_until(executor, lambda event: getattr(event, "number", 0) == neighbour.number)
        executor.stop(endless.number, "Timeout: enough")
        executor.stop(endless.number, "Timeout: enough")
        events = events_until(executor, lambda event: isinstance(event, Finished))
    finally:
        executor.close()
    assert events[-1].number == neighbour.number  # type: ignore[union-attr]
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert (failed.error, failed.transient) == ("Timeout: enough", False)
    assert result(endless.folder)["error"] == "Timeout: enough"
    assert (Path(endless.folder) / "metrics.csv").exists()
