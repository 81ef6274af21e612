"""Each file of a real sweep and of a real run, damaged: what looks at it says so in a line, and goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

import caviar
from tests import copies
from tests.damage import outside
from tests.damage.kinds import BYTES, PLACE
from tests.damage.made import SMALL, environment
from tests.damage.structure import SECRET

KINDS = {
    name: {**PLACE, **BYTES}[name]
    for name in ("fifo", "folder", "dangling link", "link to a file", "emptied", "random bytes",
                 "deep whole")
}  # fmt: skip
LOOKING = (
    "status --all", "runs show {run} --json", "runs best sweep --ckpt",
    "runs diff {run} sweep/1", "logs {run} --lines 2",
    "runs export out.csv sweep --epochs", "report {run} --no-page --json", "report sweep",
    "watch {run} --once", "runs tag {run}", "zoom sweep --out .", "stop {run}",
    "status sweep --json", "load",
)  # fmt: skip
DEADLINE = 20.0
"""Seconds of any command: a pipe would keep it for ever."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a sweep, a single run that was watched, and a folder beside it."""
    root = tmp_path_factory.mktemp("damaged")
    place = root / "work"
    place.mkdir()
    made_up = (*SMALL, "data=synthetic", "data.samples=120")
    space = (
        "hydra.sweeper.params=null",
        "hydra.sweeper.when=null",
        "optimizer.lr=interval(1e-4, 1e-1)",
    )
    count = ("hydra.sweeper.n_trials=2", "hydra.sweeper.report=false")
    sweep = ("-m", "name=sweep", "engine=solo", "executor=inline", *space, *count)
    begun = [
        copies.Popen([sys.executable, "-m", "project.train", *words, *made_up], cwd=place,
                         env=environment(place), stdout=subprocess.DEVNULL)
        for words in (sweep, ("name=cub", "panda=true"))
    ]  # fmt: skip
    assert [process.wait(120) for process in begun] == [0, 0]
    (place / "outputs/runs/cub/edits.jsonl").touch()
    outside.lay_out(root / "outside", place)
    return place


@contextmanager
def in_time() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"not done in {DEADLINE:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def damaged(file: Path, kind: str, chance: Random, beside: Path) -> Iterator[None]:
    """``file`` with damage done to it; whole again afterwards."""
    kept = beside / "kept"
    shutil.copy2(file, kept)
    try:
        KINDS[kind](file, chance, beside / "outside")
        yield
    finally:
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        os.replace(kept, file)


def files_of(place: Path) -> list[Path]:
    """All of the sweep but its second trial, and of the run."""
    found = [file for file in (place / "outputs").rglob("*") if file.is_file()]
    return sorted(file for file in found if "0001" not in file.parts and file.name[0] != ".")


@pytest.mark.parametrize("kind", KINDS)
def test_no_damage_to_any_file_hangs_a_command_or_ends_it_in_a_traceback(
    place: Path, kind: str, caviar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    for name, value in environment(place).items():
        monkeypatch.setenv(name, value)
    chance = Random(kind)
    files = files_of(place)
    assert len(files) > 18
    before = outside.seen(place.parent, place)
    for file in files:
        run = "cub" if "runs" in file.parts else "sweep/0"
        with damaged(file, kind, chance, place.parent):
            for line in ("runs list", *chance.sample(LOOKING, 2)):
                words = line.format(run=run).split()
                what = f"{' '.join(words)}, {file.relative_to(place)}: {kind}"
                with in_time():
                    if words == ["load"]:
                        _load()
                        continue
                    done = caviar(*words)
                assert done.status in ((0,) if line in ("runs list", "status --all") else (0, 2)), (
                    what,
                    done.err,
                )
                errors = [told for told in done.err.splitlines() if told.startswith("error: ")]
                assert len(errors) == (done.status == 2), (what, done.err)
                assert SECRET not in done.out + done.err, what
                if line == "runs list":
                    _others_are_shown(done, run, what)
    assert outside.seen(place.parent, place) == before


def _others_are_shown(done, run: str, what: str) -> None:
    for name in ("cub", "sweep/0", "sweep/1"):
        shown = any(line.split("\t")[0] == name for line in done.out.splitlines())
        told = "skipped: " in done.err
        assert shown or (name == run and told), (what, done.out, done.err)


def _load() -> None:
    sweep = caviar.load("sweep")
    assert 1 in sweep.numbers
    repr((sweep.trials, sweep.metrics, sweep.edits, sweep.space, sweep.directions))
    for number in sweep.numbers:
        repr((sweep.run(number).config, sweep.run(number).checkpoint, sweep.run(number).overrides))
