"""A working folder with sweeps and runs of every sort in it, made for real."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests import copies
from tests.waiting import until

SMALL = ("model.width=8", "trainer.max_epochs=2")
ROWS = [f"{i},{i % 7 / 7:.3f},{'ab'[i % 2]},{i % 3}" for i in range(90)]
TABLE = "\n".join(["id,x,kind,y", *ROWS]) + "\n"


def environment(place: Path) -> dict[str, str]:
    """What the commands are run with: a cache, a home and outputs of their own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CAVIAR")}
    own = {"HOME": str(place / "home"), "CAVIAR_CACHE": str(place / "cache")}
    return {**kept, **own, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def make(place: Path) -> None:
    """Make it all in ``place``: two sweeps, one confirmed, one zoomed in, three runs, two watched."""
    (place / "home").mkdir(parents=True)
    (place / "spaces").mkdir()
    (place / "table.csv").write_text(TABLE)
    table = ("data=table", f"data.path={place / 'table.csv'}", "data.target=y", "data.ignore=[id]")
    lr = "optimizer.lr=tag(log,interval(1e-4,1e-1))"
    sweep = (
        "-m",
        "hydra.sweeper.params=null",
        "hydra.sweeper.when=null",
        *SMALL,
        *table,
        lr,
        "hydra.sweeper.sampler.seed=1",
    )
    train = (sys.executable, "-m", "project.train")
    caviar = (sys.executable, "-m", "caviar.cli")
    made_up = (*SMALL, "data=synthetic", "data.samples=120")
    _run(
        place,
        *train,
        *sweep,
        "name=lanes",
        "engine=fused",
        "metric=val/loss",
        "direction=minimize",
        "hydra.sweeper.n_trials=8",
    )
    _run(place, *train, *sweep, "name=solo", "engine=solo", "search=cmaes",
         "model.dropout=interval(0,0.5)", "hydra.sweeper.n_trials=4")  # fmt: skip
    _run(place, *train, *table, *SMALL, "name=single")
    _watched(place, [*train, *made_up, "panda=true", "name=cub"], signal.SIGINT)
    _watched(place, [*train, *made_up, "panda=true", "name=killed"], signal.SIGKILL)
    _run(place, *caviar, "confirm", "outputs/sweeps/lanes", "--top=1", "--seeds=2")
    _run(place, *caviar, "zoom", "outputs/sweeps/lanes", "--out=spaces")
    _run(place, *caviar, "report", "outputs/sweeps/solo")
    _run(place, *caviar, "runs", "list", "--where=model.width == 8")
    _run(place, *caviar, "runs", "tag", "solo/1", "good")


def _watched(place: Path, words: list[str], end: signal.Signals) -> None:
    """A watched run that was edited once, and ended by a signal."""
    begun = copies.Popen([*words, "trainer.max_epochs=100000"], cwd=place,
                             env=environment(place), stdout=subprocess.DEVNULL)  # fmt: skip
    run = place / "outputs" / "runs" / words[-1].removeprefix("name=")
    file = run / "metrics.csv"
    try:
        until(lambda: file.exists() and file.read_text().count("\n") > 2, f"{run} to train")
        _run(place, sys.executable, "-m", "caviar.cli", "set", str(run), "optimizer.lr=3")
    finally:
        begun.send_signal(end)
        begun.wait(60)


def _run(place: Path, *words: str) -> None:
    done = copies.run(words, cwd=place, env=environment(place), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
