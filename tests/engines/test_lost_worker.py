"""A worker with lanes that is killed costs its trials the time since their last checkpoint, no more."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from caviar.base.messages import Failed, Finished, Reported
from caviar.engines.lanes.run_folder import LANE
from caviar.executors.local import LocalExecutor
from caviar.executors.task import TaskSource
from tests import copies
from tests.contracts.executors import events_until
from tests.engines.lanes import TINY
from tests.engines.test_engine import Jobs, fused, jobs, rates, result, serve  # noqa: F401
from tests.waiting import until

EPOCHS = 400
RUN = ("model.dropout=0.1", f"trainer.max_epochs={EPOCHS}")
SWEEP = (
    "name=s", "engine=fused", "space=none", "optimizer.lr=tag(log, interval(1e-4, 1e-2))",
    "hydra.sweeper.n_trials=4", "hydra.sweeper.report=false", "hydra.sweeper.executor.workers=1",
    "hydra.sweeper.executor.threads=1",
    "hydra.sweeper.fused.lanes=4", "hydra.sweeper.fused.checkpoint_every=0.1",
)  # fmt: skip


def trials(folder: Path) -> list[Path]:
    return sorted((folder / "sweeps/s/trials").glob("*"))


@pytest.mark.parametrize(
    ("how", "words"),
    [(signal.SIGKILL, "ended with signal SIGKILL"), (signal.SIGTERM, "again: TrialInterrupted")],
)
def test_lanes_of_a_lost_worker_go_on_from_their_checkpoints_to_the_same_curves(
    jobs: Jobs,  # noqa: F811
    tmp_path: Path,
    how: int,
    words: str,
) -> None:
    out = tmp_path / "out.txt"
    with out.open("w") as file:
        process = copies.Popen(
            [sys.executable, "-m", "project.train", "-m", *TINY, *RUN, *SWEEP],
            env={**os.environ, "CAVIAR_OUTPUTS": str(tmp_path), "OMP_NUM_THREADS": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:

        def kept() -> bool:
            found = [trial / "checkpoints" / LANE for trial in trials(tmp_path)]
            return len(found) == 4 and all(path.exists() for path in found)

        until(kept, "every lane has been written down", 120)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        (worker,) = children.read_text().split()
        os.kill(int(worker), how)
        assert process.wait(240) == 0, out.read_text()
    finally:
        process.kill()
        process.wait()
    assert words in out.read_text()
    said = re.findall(r"(\d+) of \d+ lane-ticks", (tmp_path / "sweeps/s/workers.txt").read_text())
    assert 0 < int(said[0]) < 4 * EPOCHS
    undisturbed = jobs([result(trial)["params"] for trial in trials(tmp_path)], *RUN)
    serve(undisturbed)
    for mine, its in zip(trials(tmp_path), undisturbed, strict=True):
        assert (mine / "metrics.csv").read_text() == (Path(its.folder) / "metrics.csv").read_text()
        assert result(mine)["value"] == result(its.folder)["value"]
        assert not (mine / "checkpoints" / LANE).exists()


def test_trials_shorter_than_that_write_no_lane_down(
    jobs: Jobs,  # noqa: F811
    monkeypatch: Any,
) -> None:
    written = []
    monkeypatch.setattr(torch, "save", lambda *_: written.append(1))
    assert len(serve(jobs(rates(8)), fused(keep=0)).ends()) == 8
    assert written == []


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
