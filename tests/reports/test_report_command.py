"""``caviar report`` and the end of a sweep say what the sweep means."""

import os
import subprocess
import sys

from tests.apps import make_app


def test_the_end_of_a_sweep_and_the_command_say_the_same_warnings(tmp_path):
    app = make_app(tmp_path / "app")
    done = app.sweep("hydra.sweeper.n_trials=4", "hydra.sweeper.metric=score", timeout=300)
    assert done.status == 0, done.err
    warning = "4 complete trials for 1 hyperparameters"
    assert f"warning: {warning}" in done.out
    assert "next: caviar resume sweep n_trials=10" in done.out
    told = subprocess.run(
        [sys.executable, "-m", "caviar.cli", "report", "sweep"],
        cwd=app.folder,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert told.returncode == 0, told.stderr
    assert f"warn     enough trials: {warning}" in told.stdout
    missing = subprocess.run(
        [sys.executable, "-m", "caviar.cli", "report", "nothing-here"],
        cwd=app.folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (missing.returncode, missing.stdout) == (2, "")
