"""One controller a sweep, on whatever host: what a file system without shared locks leaves to see."""

import json
import os
from pathlib import Path
from time import time

import pytest

from caviar.base.errors import UsageError
from caviar.sweep.owner import OWNER, STALE_SECONDS, Owner, is_running
from tests.apps import make_app


def owned_elsewhere(folder: Path, seconds_ago: float) -> None:
    """What a controller on another host leaves in a folder on a shared disk."""
    folder.mkdir(exist_ok=True)
    (folder / OWNER).write_text(json.dumps({"pid": 7, "host": "elsewhere", "token": "t"}))
    os.utime(folder / OWNER, (time() - seconds_ago,) * 2)


def test_a_controller_on_another_host_that_gives_signs_of_life_keeps_its_sweep(tmp_path: Path):
    app = make_app(tmp_path / "app")
    app.sweep("hydra.sweeper.n_trials=1")
    owned_elsewhere(app.folder / "sweep", seconds_ago=STALE_SECONDS / 3)
    assert is_running(app.folder / "sweep")
    done = app.resume("n_trials=2")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "process 7 on elsewhere is running this sweep" in done.err
    assert len(app.results()) == 1


def test_a_sweep_whose_controller_elsewhere_fell_silent_may_be_taken_over(tmp_path: Path):
    app = make_app(tmp_path / "app")
    app.sweep("hydra.sweeper.n_trials=1")
    owned_elsewhere(app.folder / "sweep", seconds_ago=STALE_SECONDS * 2)
    assert not is_running(app.folder / "sweep")
    done = app.resume("n_trials=2")
    assert done.status == 0, done.out + done.err
    assert len(app.results()) == 2


def test_who_was_taken_over_sees_it_and_leaves_the_other_ones_mark(tmp_path: Path):
    owner = Owner(tmp_path)
    assert owner.still_owns()
    owned_elsewhere(tmp_path, seconds_ago=0)
    owner._beat = 0.0  # its last look is long ago
    assert not owner.still_owns()
    owner.release()
    assert json.loads((tmp_path / OWNER).read_text())["host"] == "elsewhere"


def test_a_lock_that_is_held_names_who_holds_it(tmp_path: Path):
    owner = Owner(tmp_path)
    with pytest.raises(UsageError, match=f"process {os.getpid()} on"):
        Owner(tmp_path)
    owner.release()
    Owner(tmp_path).release()
    assert list(tmp_path.iterdir()) == []
