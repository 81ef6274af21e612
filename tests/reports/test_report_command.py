"""``caviar report`` and the end of a sweep say what the sweep means."""

import sys

from tests import copies
from tests.apps import make_app

# Whoever judges says so: the sweep's own process, or one that it starts.
TELLS_WHO_JUDGES = """
import atexit, os, sys

@atexit.register
def told():
    if "caviar.reports.verdicts.registry" in sys.modules:
        with open(os.environ["JUDGES"], "a") as file:
            file.write(f"{os.getpid()}\\n")
"""


def test_a_sweep_is_judged_once_at_its_end_and_the_command_says_the_same(tmp_path):
    app = make_app(tmp_path / "app")
    (app.folder / "sitecustomize.py").write_text(TELLS_WHO_JUDGES)
    judges = tmp_path / "judges"
    done = app.sweep(
        *("hydra.sweeper.n_trials=4", "hydra.sweeper.metric=score", "hydra.sweeper.report=true"),
        env={"PYTHONPATH": str(app.folder), "JUDGES": str(judges)},
        timeout=300,
    )
    assert done.status == 0, done.err
    assert len(judges.read_text().splitlines()) == 1
    warning = "4 complete trials for 1 hyperparameters"
    assert f"warning: {warning}" in done.out
    assert f"next: caviar resume {app.folder / 'sweep'} n_trials=10" in done.out
    assert "report:          " in done.out
    command = [sys.executable, "-m", "caviar.cli", "report", "sweep", "--no-page"]
    told = copies.run(command, cwd=app.folder, capture_output=True, text=True, timeout=300)
    assert told.returncode == 0, told.stderr
    assert f"warn     enough trials: {warning}" in told.stdout
