"""The command as a function, for many cases; as a process it is in ``test_process.py``."""

import sys

import pytest

from caviar.cli import main
from tests.apps import Done
from tests.made_up import make_run, make_sweep


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """An outputs folder, and a working directory beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CAVIAR_OUTPUTS", raising=False)
    return tmp_path / "outputs"


@pytest.fixture
def wide(outputs):
    """A sweep with trials in all four states; its best is the largest lr."""
    return make_sweep(
        outputs / "sweeps/wide", n_trials=8, states={1: "PRUNED", 2: "FAIL", 3: "RUNNING"}
    )


@pytest.fixture
def single(outputs):
    """A run that no sweep asked for."""
    return make_run(outputs / "runs/single", config={"optimizer": {"lr": 0.5}})


@pytest.fixture
def caviar(monkeypatch, capsys):
    """Runs ``caviar …`` in this process."""

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["caviar", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        out, err = capsys.readouterr()
        return Done(status, out, err)

    return run
