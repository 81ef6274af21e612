"""A sweep that really trained, cut short by a kill: complete, pruned, failed and running trials."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

from tests import copies
from tests.waiting import until

LRS = (1e12, 1e11, 1e-3, 1e-3, *(0.2 * 1.3**power for power in range(11)))
SETTINGS = (
    *("engine=solo", "executor=inline", "space=none", "optimizer=sgd", "trainer.max_epochs=8"),
    *("data=synthetic", "data.samples=200", "data.noise=0.4", "model.width=8", "model.depth=1"),
    "optimizer.lr=tag(log, interval(1e-3, 1e12))",
    "optimizer.momentum=tag(reverse_log, interval(0.5, 0.99))",
    "model.dropout=interval(0, 0.5)",
    "model.activation=choice(relu, gelu)",
    *(
        "pruner=threshold",
        "hydra.sweeper.pruner.lower=0.4",
        "hydra.sweeper.pruner.n_warmup_steps=1",
    ),
    # Two that diverge, two that are hopeless, and good ones, so that few trials do.
    f"hydra.sweeper.enqueue=[{','.join(f'{{optimizer.lr: {lr}}}' for lr in LRS)}]",
    "hydra.sweeper.max_same_failures=100",
    "hydra.sweeper.n_trials=1000",
)
WANTED = {"COMPLETE": 9, "PRUNED": 2, "FAIL": 2}


def really_trained(cwd: Path) -> Path:
    """Sweep in ``cwd`` until there are trials of every state, then kill the process; the folder."""
    folder = cwd / "outputs" / "sweeps" / "real"
    command = [sys.executable, "-m", "project.train", "-m", "name=real", *SETTINGS]
    with (cwd / "out.txt").open("w") as out:
        process = copies.Popen(
            command, cwd=cwd, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=out, stderr=out
        )

    def every_state() -> bool:
        assert process.poll() is None, (cwd / "out.txt").read_text()
        if len(list(folder.glob("trials/*"))) <= sum(WANTED.values()):
            return False
        # It stands still while it is looked at: a trial that is seen running is killed running.
        os.kill(process.pid, signal.SIGSTOP)
        states = Counter(state for state, _ in _trials(folder))
        running = [rows for state, rows in _trials(folder) if state == "RUNNING"]
        there = all(states[s] >= n for s, n in WANTED.items()) and any(n > 3 for n in running)
        if not there:
            os.kill(process.pid, signal.SIGCONT)
        return there

    try:
        until(every_state, "trials of every state", deadline=240)
    finally:
        process.kill()
        process.wait()
    return folder


def _trials(folder: Path) -> list[tuple[str, int]]:
    """State, and lines of metrics, of each trial."""
    found = []
    for file in folder.glob("trials/*/result.json"):
        metrics = file.with_name("metrics.csv")
        lines = metrics.read_text().count("\n") if metrics.exists() else 0
        found.append((json.loads(file.read_text())["state"], lines))
    return found
