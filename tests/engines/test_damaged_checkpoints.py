"""A trial whose checkpoint is damaged begins afresh, by solo and on lanes, and says so in its log."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from caviar.base.messages import Event, Failed, Finished, Job, Reported
from caviar.engines.lanes.run_folder import LANE
from caviar.engines.solo import Solo
from caviar.lightning.callbacks.checkpoint import LAST
from project.train import main
from tests.engines.test_engine import Jobs, Memory, fused, jobs, result, serve  # noqa: F401


def saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "random bytes": lambda whole: bytes(range(256)) * 20,
    "truncated": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "of something else": lambda whole: saved({"weights": torch.zeros(2)}),
    "code": lambda whole: saved(Path("x")),
}


@pytest.fixture(params=["solo", "lanes"])
def solo(request: pytest.FixtureRequest) -> bool:
    return request.param == "solo"


def interrupted(mine: list[Job], solo: bool) -> None:
    """Train until each trial has had two epochs; each leaves a checkpoint and the curve so far."""
    inbox = Memory(mine)

    def interrupt(event: Event) -> None:
        inbox.interrupted |= isinstance(event, Reported) and event.step == 1

    inbox.when = interrupt
    (Solo(main) if solo else fused()).serve(inbox, inbox.send)
    ends = inbox.ends().values()
    assert all(isinstance(end, Failed) and end.interrupted for end in ends)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_lets_its_trial_begin_afresh_and_its_log_says_so(
    jobs: Jobs,  # noqa: F811
    solo: bool,
    damage: Callable[[bytes], bytes],
) -> None:
    name = LAST if solo else LANE
    (whole,) = jobs([{}], to="whole")
    (first,) = jobs([{}], to="first")
    (again,) = jobs([{}], to="again")
    interrupted([first], solo)
    checkpoint = Path(first.folder) / "checkpoints" / name
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    again = Job(**{**vars(again), "resume_from": str(checkpoint.parent)})
    for job in (whole, again):
        (end,) = serve([job], Solo(main) if solo else None).ends().values()
        assert isinstance(end, Finished)
    told = (Path(again.folder) / "log.txt").read_text()
    assert f"begins afresh: {checkpoint} is damaged (" in told
    assert "Traceback" not in told
    assert told.count("begins afresh") == 1
    curves = [(Path(job.folder) / "metrics.csv").read_text() for job in (whole, again)]
    assert curves[0] == curves[1]
    assert result(again.folder)["value"] == result(whole.folder)["value"]


def test_a_trial_goes_on_from_a_checkpoint_that_is_whole(jobs: Jobs, solo: bool) -> None:  # noqa: F811
    (first,) = jobs([{}], to="first")
    (again,) = jobs([{}], to="again")
    interrupted([first], solo)
    again = Job(**{**vars(again), "resume_from": f"{first.folder}/checkpoints"})
    inbox = serve([again], Solo(main) if solo else None)
    assert [event.step for event in inbox.of(Reported)] == [2, 3, 4]
    assert "begins afresh" not in (Path(again.folder) / "log.txt").read_text()


def test_a_fold_whose_lane_is_damaged_begins_afresh(jobs: Jobs) -> None:  # noqa: F811
    first, again = (jobs([{"trainer.max_epochs": 9}], "data.folds=2", to=to)[0] for to in "ab")
    inbox = Memory([first])

    looks = 0

    def take(timeout: float | None) -> Any:
        nonlocal looks
        looks += 1
        inbox.interrupted |= looks == 5
        return inbox.jobs.pop(0) if inbox.jobs else None

    inbox.take = take  # type: ignore[method-assign]
    fused().serve(inbox, inbox.send)
    (damaged,) = Path(first.folder).glob(f"*/checkpoints/{LANE}")
    damaged.write_bytes(b"")
    again = Job(**{**vars(again), "resume_from": f"{first.folder}/checkpoints"})
    (end,) = serve([again]).ends().values()
    assert isinstance(end, Finished)
    told = (Path(again.folder) / "log.txt").read_text()
    assert f"begins afresh: {damaged} is damaged (EOFError" in told
