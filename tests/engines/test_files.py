"""What is written of a trial on a lane, when, and by whom."""

import os
import re
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caviar.base.messages import Event, Finished
from caviar.engines.lanes import showing
from caviar.engines.lanes.endings import BestFew
from caviar.engines.lanes.run_folder import RunFolder
from caviar.engines.lanes.writer import Writer
from caviar.engines.solo import Solo
from caviar.runs.folder import Result
from caviar.runs.life import Life
from project.train import main
from tests.engines.test_engine import Jobs, Memory, fused, jobs, rates  # noqa: F401 - a fixture
from tests.waiting import until

FILES = {"config.yaml", "overrides.yaml", "metrics.csv", "result.json", "preprocessing.json"}


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The paths of all files that have been synced to the disk, as they come to be."""
    fsync, found = os.fsync, set[str]()

    def noting(file: int) -> None:
        fsync(file)
        path = os.readlink(f"/proc/self/fd/{file}")
        found.add(re.sub(r"\.[0-9a-f]{12}\.partial$", ".partial", path))

    monkeypatch.setattr(os, "fsync", noting)
    return found


def test_a_trials_files_are_on_the_disk_before_its_end_is_told(
    jobs: Jobs,  # noqa: F811
    synced: set[str],
) -> None:
    missing: list[str] = []
    mine = jobs(rates(6))
    inbox = Memory(mine)

    def told(event: Event) -> None:
        if isinstance(event, Finished):
            folder = Path(mine[event.number].folder)
            partials = {f"{folder}/.{name}.partial" for name in FILES}
            best = f"{folder}/checkpoints/.best.ckpt.partial"
            missing.extend((partials | {best}) - synced)
            missing.extend(name for name in FILES if not (folder / name).exists())

    inbox.when = told
    fused().serve(inbox, inbox.send)
    assert len(inbox.ends()) == 6
    assert missing == []


def test_solo_syncs_the_score_before_it_is_told_and_the_config_after(
    jobs: Jobs,  # noqa: F811
    synced: set[str],
) -> None:
    when_told: list[str] = []
    (job,) = jobs(rates(1))
    inbox = Memory([job])

    def told(event: Event) -> None:
        if isinstance(event, Finished):
            when_told.extend(synced)

    inbox.when = told
    Solo(main).serve(inbox, inbox.send)
    config = {f"{job.folder}/config.yaml", f"{job.folder}/overrides.yaml"}
    assert f"{job.folder}/.result.json.partial" in when_told
    assert not config & set(when_told)
    assert config <= synced


def test_a_short_trials_files_are_written_once(
    jobs: Jobs,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replace, written = os.replace, []

    def noting(source: str, target: str, **folders: int) -> None:
        replace(source, target, **folders)
        if folders:
            written.append(Path(os.readlink(f"/proc/self/fd/{folders['dst_dir_fd']}"), target))

    monkeypatch.setattr(os, "replace", noting)
    monkeypatch.setattr(showing, "_SHOWN_AFTER", 60.0)
    monkeypatch.setattr(showing, "_SHOWN_EVERY", 60.0)
    mine = jobs(rates(3))
    inbox = Memory(mine)
    fused(keep=0).serve(inbox, inbox.send)
    folders = {Path(job.folder) for job in mine}
    own = sorted(path for path in written if path.parent in folders)
    assert own == sorted(folder / name for folder in folders for name in FILES)


def test_a_trial_under_way_has_a_folder_to_look_at(
    jobs: Jobs,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(showing, "_SHOWN_AFTER", 0.0)
    monkeypatch.setattr(showing, "_SHOWN_EVERY", 0.0)
    (job,) = jobs([{"trainer.max_epochs": 200}])
    inbox, seen = Memory([job]), set[str]()

    def look(_: Event) -> None:
        for name in ("result.json", "metrics.csv"):
            path = Path(job.folder) / name
            if path.exists():
                text = path.read_text()
                assert text.endswith("\n")  # whole
                seen.add("RUNNING" if '"state": "RUNNING"' in text else name)

    inbox.when = look
    fused().serve(inbox, inbox.send)
    assert {"RUNNING", "metrics.csv"} <= seen


def test_things_of_one_run_are_done_in_their_order_and_of_several_side_by_side() -> None:
    writer, done, both = Writer(2), list[tuple[int, int]](), threading.Barrier(2, timeout=60)
    for run in (0, 1):
        writer.do(run, lambda: both.wait() and None)  # passed only if the other run is not held up
        for number in range(50):
            writer.do(run, lambda run=run, number=number: done.append((run, number)))
    writer.close()
    for run in (0, 1):
        assert [number for whose, number in done if whose == run] == list(range(50))


def test_what_is_to_be_done_later_lets_others_pass_and_is_done_at_the_latest_at_the_end() -> None:
    writer, done = Writer(1), list[str]()
    writer.do(0, lambda: done.append("at the end"), after=3600)
    writer.do(0, lambda: done.append("soon"), after=0.01)
    writer.do(0, lambda: done.append("at once"))
    until(lambda: len(done) == 2, "what is soon is done")
    writer.close()
    assert sorted(done[:2]) == ["at once", "soon"]
    assert done[2:] == ["at the end"]


def test_what_goes_wrong_in_a_writer_is_raised_where_the_lanes_are(
    capfd: pytest.CaptureFixture[str],
) -> None:
    writer = Writer()
    writer.do(3, lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    with pytest.raises(ZeroDivisionError):
        writer.close()
    assert "ZeroDivisionError" in capfd.readouterr().err


SCORES = st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=6)


@given(batches=SCORES, most=st.integers(0, 4), maximize=st.booleans())
def test_of_all_that_ended_the_best_few_are_kept_the_earlier_of_equals(
    batches: list[list[int]], most: int, maximize: bool
) -> None:
    best = BestFew[int](most, "maximize" if maximize else "minimize")
    kept, scores = set[int](), list[int]()
    for batch in batches:
        ended = [(float(score), len(scores) + n) for n, score in enumerate(batch)]
        among, dropped = best.add(ended)
        kept |= {number for (_, number), yes in zip(ended, among, strict=True) if yes}
        assert set(dropped) <= kept
        kept -= set(dropped)
        scores += batch
    sign = -1 if maximize else 1
    ranked = sorted(range(len(scores)), key=lambda number: (sign * scores[number], number))
    assert kept == set(ranked[:most])


def test_what_a_lane_was_still_to_write_of_a_trial_that_left_it_is_never_written(tmp_path: Path):
    folder, writer = RunFolder(Life(tmp_path / "trial", Result("RUNNING", 0))), Writer()
    writer.do(0, folder.begin, after=0.05)
    writer.do(0, lambda: folder.rows([{"epoch": 0}]), after=0.05)
    writer.do(0, lambda: folder.checkpoint("lane.ckpt", {}), after=0.05)
    folder.give_away()
    writer.close()
    assert not folder.path.exists()
