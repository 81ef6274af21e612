"""Many faults at once: workers die at random, the controller is killed and resumed, and all adds up.

``CAVIAR_SOAK=2000`` makes it as long as it is meant to be; by itself it is short.
"""

import json
import os
import random
import signal
from pathlib import Path
from time import monotonic

from tests.apps import make_app
from tests.waiting import gone, until

TRIALS = int(os.environ.get("CAVIAR_SOAK", "60"))
CONTROLLER_KILLS = 5 if TRIALS >= 1000 else 2
SECONDS_BETWEEN_KILLS = 1.0

CODE = """
import hydra, os, time
import caviar

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    (caviar.run_dir() / "pid").write_text(str(os.getpid()))
    for step in range(3):
        time.sleep(0.02)
        caviar.report(config.x, step)
    with open("done.txt", "a") as file:
        file.write(f"{config.x!r}\\n")
    return config.x

if __name__ == "__main__":
    main()
"""


def test_whatever_is_killed_every_trial_ends_once_and_nothing_is_left_behind(tmp_path: Path):
    app = make_app(tmp_path / "app", CODE)
    random_number = random.Random(0)
    # Killed at random, a worker may well die twice over one trial: that is not the trial's failure.
    settings = (f"hydra.sweeper.n_trials={TRIALS}", "hydra.sweeper.executor.workers=4")
    process = app.start(*settings, "hydra.sweeper.retries=20")
    seen: set[int] = set()
    kills, worker_kills, next_kill = 0, 0, monotonic() + SECONDS_BETWEEN_KILLS
    deadline = monotonic() + 60 + TRIALS
    trials = app.folder / "sweep" / "trials"
    while process.poll() is None or kills < CONTROLLER_KILLS:
        assert monotonic() < deadline, app.out[-2000:]
        ended = len((app.folder / "done.txt").read_text().split()) if _has(app, "done.txt") else 0
        if kills < CONTROLLER_KILLS and ended >= TRIALS * (kills + 1) / (CONTROLLER_KILLS + 1):
            process.kill()
            process.wait()
            kills += 1
            process = app.start_resume()
        assert process.poll() in (None, 0), app.out[-2000:]
        if process.poll() == 0:
            break
        alive = {pid for pid in _workers(trials, ended) if not gone(pid)}
        seen |= alive
        if monotonic() > next_kill and alive:
            next_kill = monotonic() + SECONDS_BETWEEN_KILLS
            os.kill(random_number.choice(sorted(alive)), signal.SIGKILL)
            worker_kills += 1
    assert process.wait(60) == 0, app.out[-2000:]
    assert kills == CONTROLLER_KILLS
    assert worker_kills > 0

    study = app.study()
    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    assert len(complete) == TRIALS
    assert all(trial.state.is_finished() for trial in study.trials)
    repeated = {n for trial in study.trials for n in trial.user_attrs.get("retry_of", [])}
    assert {t.number for t in study.trials if t.state.name != "COMPLETE"} == repeated
    assert len({trial.params["x"] for trial in complete}) == TRIALS
    for trial in study.trials:
        result = json.loads((trials / f"{trial.number:04}" / "result.json").read_text())
        assert result["state"] == trial.state.name
    # A trial may have come to its last line before its worker was killed, and be done again: but
    # none that was told as complete was.
    for pid in seen:
        until(lambda pid=pid: gone(pid), "a worker ends")
    left = {file.name for file in (app.folder / "sweep").iterdir()}
    assert left <= {
        "made.json",
        "study.journal",
        "sweep.yaml",
        "trials",
        "workers.txt",
        "report.html",
    }
    print(f"{TRIALS} trials, {worker_kills} workers and {kills} controllers killed")


def _has(app, name: str) -> bool:
    return (app.folder / name).exists()


def _workers(trials: Path, ended: int) -> list[int]:
    """The pids that the latest trials wrote down."""
    folders = sorted(trials.glob("*"))[-8:] if trials.exists() else []
    found = []
    for folder in folders:
        file = folder / "pid"
        text = file.read_text() if file.exists() else ""
        if text:
            found.append(int(text))
    return found
