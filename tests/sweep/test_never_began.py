"""A sweep that is killed in its first second leaves nothing to go on with, and nothing in the way."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.apps import App, make_app
from tests.waiting import until

# It is killed at a moment of its start, or waits there for the signal that ends it.
AT = """
import os, signal, time
from pathlib import Path
from caviar.sweep.samplers import RandomSampler

class Sampler(RandomSampler):
    def bind(self, space):
        how = os.environ.get("HOW")
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "wait":
            Path("waits").touch()
            time.sleep(60)
        return super().bind(space)
"""
SAMPLER = (
    "hydra.sweeper.sampler._target_=at.Sampler",
    "hydra.sweeper.sampler.seed=0",
    "+allow=[at.]",
)


@pytest.fixture
def app(tmp_path: Path) -> App:
    app = make_app(tmp_path / "app")
    (app.folder / "at.py").write_text(AT)
    return app


def test_what_is_left_of_it_is_told_and_removed_and_leaves_its_name_free(app: App) -> None:
    where = "hydra.sweep.dir=outputs/sweeps/s"
    folder = app.folder / "outputs/sweeps/s"
    died = app.sweep(where, *SAMPLER, env={"HOW": "kill"})
    assert died.status == -signal.SIGKILL
    assert (folder / "owner.json").exists()
    assert not (folder / "sweep.yaml").exists()
    for words, told in (
        (("resume", "outputs/sweeps/s"), "nothing had begun in it"),
        (("resume", "s"), "nothing had begun in it"),
        (("report", "s"), "nothing had begun in it"),
        (("runs", "list", "s"), "caviar runs rm s removes"),
    ):
        done = app.caviar(*words)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1), done.err
        assert told in done.err
    assert "s: killed as it started" in app.caviar("status", "--all").err
    assert app.caviar("runs", "rm", "s", "--yes").status == 0
    assert not folder.exists()
    app.sweep(where, *SAMPLER, env={"HOW": "kill"})
    done = app.sweep(where, *SAMPLER)
    assert done.status == 0, done.out + done.err
    assert [path.name for path in folder.parent.iterdir()] == ["s"]
    assert len(app.results("outputs/sweeps/s")) == 4


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGUSR2, 143, "terminated"),
        (signal.SIGINT, 130, "interrupted"),
    ],
)
def test_a_signal_while_a_sweep_starts_leaves_nothing_behind(
    app: App, number, status, word
) -> None:
    process = app.start(*SAMPLER, env={"HOW": "wait"})
    until(lambda: (app.folder / "waits").exists(), "it starts")
    os.kill(process.pid, number)
    assert process.wait(30) == status
    assert app.out == f"{word}\n"
    assert not (app.folder / "sweep").exists()


def test_of_two_sweeps_of_one_name_that_start_at_once_one_takes_a_suffix(app: App) -> None:
    (app.folder / "sweep").mkdir()
    both = [app.start(*SAMPLER) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0], app.out
    assert len(app.results("sweep")) == len(app.results("sweep-2")) == 4
