"""caviar beside hydra-optuna-sweeper, 1.3.0 and the newest, with joblib: the same scripts and trials."""

from __future__ import annotations

import argparse
import atexit
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APPS = Path(__file__).resolve().parent / "apps"
OUT = ROOT / "outputs" / "bench"
PEERS = {
    "1.3.0": [
        "hydra-optuna-sweeper==1.3.0",
        "hydra-joblib-launcher==1.2.0",
        "hydra-core==1.3.8",  # left open, pip takes a pre-release of 1.4
        "omegaconf==2.3.1",
        "optuna==2.10.1",  # the last that it allows
        "sqlalchemy<2",
    ],
    "1.4.0rc3": [
        "hydra-optuna-sweeper==1.4.0rc3",
        "hydra-joblib-launcher==1.4.0rc3",
        "hydra-core==1.4.0rc3",
        "omegaconf==2.4.1rc1",
        "optuna==5.0.0",
    ],
}
"""By version of hydra-optuna-sweeper, what stands in its venv."""
SPACE = [
    "optimizer.lr=tag(log, interval(1e-4, 1e-1))",
    "optimizer.beta1=interval(0.8, 0.99)",
    "optimizer.weight_decay=tag(log, interval(1e-6, 1e-1))",
    "model.loss.label_smoothing=interval(0, 0.2)",
]
"""The space of apps/digits.py, as the project calls it."""
NETWORK = ["model.hidden=[64,32]", "trainer.max_epochs=10", "trainer.accelerator=cpu"]
"""The training of apps/digits.py, where the project's own default differs from it."""
SIDES = {
    "caviar": "**caviar**",
    **{version: f"hydra-optuna-sweeper {version}" for version in PEERS},
    "default": "**caviar's default**, `python -m project.train -m`",
}
TARGETS = {
    "nothing": "at least 15x less time a trial",
    "sleeping": "at least 1.7x the trials an hour, workers at least 95 % busy",
    "digits": "at least 2x the trials an hour",
}


@dataclass
class Measured:
    """One sweep of one side.

    Attributes:
        seconds: wall time of the whole process, its start included.
        busy: the share of workers x time, from the first trial's start to the last one's end, that
            was spent inside the task; None where the task does nothing.
    """

    side: str
    app: str
    trials: int
    workers: int
    seconds: float
    busy: float | None

    @property
    def trials_an_hour(self) -> float:
        return self.trials / self.seconds * 3600


def main() -> None:
    """Run what the command line asks for, print the table and write the JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench sweep", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer trials: about two minutes")
    parser.add_argument("--only", choices=list(TARGETS), action="append", help="this row alone")
    options = parser.parse_args()
    rows = {
        "nothing": [(30, 2), (120, 2)] if options.quick else [(200, 2), (2000, 2)],
        "sleeping": [(40, 4)] if options.quick else [(200, 4)],
        "digits": [(16, 2)] if options.quick else [(64, 2)],
    }
    pythons = {side: peer_python(side) if side in PEERS else sys.executable for side in SIDES}
    found: list[Measured] = []
    for app in options.only or rows:
        # The project's own training of the digits is no like for like: it is what one gets.
        sides = [side for side in SIDES if app == "digits" or side != "default"]
        for side in sides:
            # Not counted: nobody is to pay for being the first to read his files from the disk, and
            # the default compiles its loop (3 s) once for a machine.
            measure(side, pythons[side], app, 4, 2)
        for trials, workers in rows[app]:
            for side in sides:
                found.append(measure(side, pythons[side], app, trials, workers))
                print(f"  {app} {trials} {side}: {found[-1].seconds:.1f} s", file=sys.stderr)
    print(table(found))
    write(found, options.quick)


def peer_python(peer: str) -> str:
    """Make a peer's own venv, once; return its Python. torch and lightning are this venv's."""
    venv = OUT / f"peer-{peer}"
    python = venv / "bin" / "python"
    stamp = venv / "whole"
    if not stamp.exists() or stamp.read_text().splitlines() != PEERS[peer]:
        print(f"installing hydra-optuna-sweeper {peer} into a venv of its own", file=sys.stderr)
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # The same numpy as ours: the torch and scikit-learn that it borrows were built for that.
        done = subprocess.run(
            [*pip, *PEERS[peer], f"numpy=={version('numpy')}"], capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{done.stderr}\nthe peer cannot be installed")
        site = subprocess.run(
            [str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        # Searched after the peer's own packages, so these come first and ours fill the gaps. The
        # editable install in there is no path of its own: caviar's plugin is not seen.
        Path(site, "zz_borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
        stamp.write_text("\n".join(PEERS[peer]))
    return str(python)


def fresh(folder: Path) -> Path:
    """Move away what was there before; it is deleted when all has been measured.

    Some file systems (ext4 without a journal) do not reuse what was deleted within the last minutes,
    and look for long where to put a new file.
    """
    if folder.exists():
        old = folder.with_name(f"{folder.name}.{time.time_ns()}.old")
        folder.rename(old)
        atexit.register(shutil.rmtree, old)
    return folder


def measure(side: str, python: str, app: str, trials: int, workers: int) -> Measured:
    """Run one sweep in a fresh folder."""
    folder = fresh(OUT / "work" / f"{app}-{side}")
    shutil.copytree(APPS, folder)
    log = folder / "log.txt"
    command = [python, *words(side, app, workers), f"hydra.sweeper.n_trials={trials}"]
    start = time.perf_counter()
    with (folder / "out.txt").open("w") as out:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "BENCH_LOG": str(log), "CAVIAR_OUTPUTS": str(folder)},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    seconds = time.perf_counter() - start
    if done.returncode:
        tail = (folder / "out.txt").read_text()[-3000:]
        raise SystemExit(f"{tail}\n{side} failed: {' '.join(command)} (in {folder})")
    return Measured(side, app, trials, workers, seconds, busy(log, trials, workers))


def words(side: str, app: str, workers: int) -> list[str]:
    """What Python is told, the number of trials left out."""
    ours = f"hydra.sweeper.executor.workers={workers}"
    if side == "default":
        return ["-m", "project.train", "-m", "space=none", "name=default", ours, *NETWORK, *SPACE]
    config = f"--config-name={'peer' if side in PEERS else side}{'_mlp' if app == 'digits' else ''}"
    theirs = [f"hydra.sweeper.n_jobs={workers}", f"hydra.launcher.n_jobs={workers}"]
    return [f"{app}.py", "-m", config, *([ours] if side == "caviar" else theirs)]


def busy(log: Path, trials: int, workers: int) -> float | None:
    """The share of the workers' time that was spent inside the task."""
    if not log.exists():
        return None
    spans = [tuple(map(float, line.split())) for line in log.read_text().splitlines()]
    assert len(spans) == trials, f"{log}: {len(spans)} of {trials} trials"
    begin, end = min(start for start, _ in spans), max(end for _, end in spans)
    return sum(end - start for start, end in spans) / (workers * (end - begin))


def table(found: list[Measured]) -> str:
    """Markdown: a row a sweep, the two sides next to each other."""
    lines = [
        "| task | trials | workers | ms a trial, start included | trials an hour | workers busy |",
        "|---|---|---|---|---|---|",
    ]
    ours = [m for m in found if m.side == "caviar"]
    notes = []
    for m in found:
        share = "" if m.busy is None else f"{m.busy:.0%}"
        lines.append(
            f"| {m.app}: {SIDES[m.side]} | {m.trials} | {m.workers} "
            f"| {m.seconds / m.trials * 1e3:.1f} | {m.trials_an_hour:,.0f} | {share} |"
        )
    for peer in PEERS:
        theirs = [m for m in found if m.side == peer]
        for mine, there in zip(ours, theirs, strict=True):
            what = f"{mine.app}, {mine.trials} trials, beside {peer}"
            ratio = there.seconds / mine.seconds
            notes.append(f"{what}: {ratio:.1f}x (target: {TARGETS[mine.app]})")
            for m in found:
                if m.side == "default" and (m.app, m.trials) == (mine.app, mine.trials):
                    ratio = there.seconds / m.seconds
                    notes.append(f"the same by caviar's default, engine=auto: {ratio:.1f}x")
        if len({m.trials for m in ours if m.app == "nothing"}) == 2:
            notes.append(
                f"nothing, each further trial: {marginal(ours):.1f} ms, {marginal(theirs):.1f} ms "
                f"by {peer}: {marginal(theirs) / marginal(ours):.1f}x"
            )
    return "\n".join([*lines, "", *notes, "", machine()])


def marginal(found: list[Measured]) -> float:
    """Milliseconds that one more do-nothing trial takes, the start left out."""
    few, many = sorted((m for m in found if m.app == "nothing"), key=lambda m: m.trials)
    return (many.seconds - few.seconds) / (many.trials - few.trials) * 1e3


def machine() -> str:
    """The machine and the versions, in a line."""
    names = (
        [*Path("/proc/cpuinfo").read_text().splitlines()] if Path("/proc/cpuinfo").exists() else []
    )
    model = next((n.partition(":")[2].strip() for n in names if n.startswith("model name")), "")
    return (
        f"{os.cpu_count()} cores {model or platform.processor()}, {platform.system()}, "
        f"Python {platform.python_version()}, torch {version('torch')}, optuna {version('optuna')}; "
        f"beside it: {'; '.join(', '.join(packages) for packages in PEERS.values())}"
    )


def write(found: list[Measured], quick: bool) -> None:
    """Write what was measured to ``outputs/bench``."""
    now = datetime.now(UTC)
    path = OUT / f"sweep-{now:%Y-%m-%d_%H-%M-%S}.json"
    data = {
        "time": now.isoformat(timespec="seconds"),
        "machine": machine(),
        "quick": quick,
        "load_average": os.getloadavg(),
        "sweeps": [{**asdict(m), "trials_an_hour": m.trials_an_hour} for m in found],
    }
    path.write_text(json.dumps(data, indent=1) + "\n")
    print(f"\nwritten to {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
