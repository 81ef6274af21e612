"""What every task must do by all verbs: inherit this class, say which words name it, and it is tested.

Each verb is the real command; programs are copies of a process that has imported torch already.
"""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pytest
import torch

from caviar import cli
from caviar.confirm import plan
from caviar.panda import again
from caviar.runs.edits import read_edits
from caviar.runs.folder import Result
from tests import copies
from tests.waiting import until

PORTS = Path(__file__).parents[1] / "ports"
SMALL = ("trainer.max_epochs=25", "callbacks.checkpoint.every_seconds=0")
ENDLESS = "trainer.max_epochs=100000"


class VerbsContract:
    """The suite.

    Attributes:
        lr: the key of a learning rate.
        edit: the setting that a panda changes.
        space: what is searched, as typed; empty: the space that the model names.
        columns: of the table of predictions.
        on_lanes: whether lanes train it; else the reason that the sweep says.
    """

    lr = "optimizer.lr"
    edit = "optimizer.lr=1e-3"
    space: Sequence[str] = ()
    columns: Sequence[str] = ()
    on_lanes: bool | str = True

    def words(self, root: Path) -> list[str]:
        """What is typed to train it; files of its own go into ``root``."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def root(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        torch.set_num_threads(1)
        return tmp_path_factory.mktemp("verbs")

    @pytest.fixture(scope="class")
    @classmethod
    def program(cls, root: Path) -> list[str]:
        return [
            "project.train",
            *(f"hydra.searchpath=[file://{PORTS}/configs]", "allow=[tests.ports.]"),
            *cls().words(root),
            *SMALL,
        ]

    @pytest.fixture(scope="class")
    @classmethod
    def train(cls, root: Path, program: list[str]) -> Callable[..., copies.Popen]:
        """Start a run, or with ``-m`` a sweep, of a name."""

        def started(name: str, *words: str) -> copies.Popen:
            module, *rest = program
            many = [one for one in words if one == "-m"]
            more = [one for one in words if one != "-m"]
            line = [sys.executable, "-m", module, *many, *rest, f"name={name}", *more]
            with (root / f"{name}.txt").open("a") as out:
                return copies.Popen(line, cwd=root, stdout=out, stderr=subprocess.STDOUT)

        return started

    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls, root: Path, train: Callable[..., copies.Popen]) -> Path:
        """A run that nothing disturbed."""
        done = train("whole")
        assert done.wait(120) == 0, (root / "whole.txt").read_text()
        return root / "outputs/runs/whole"

    @pytest.fixture(scope="class")
    @classmethod
    def sweep(cls, root: Path, train: Callable[..., copies.Popen]) -> Path:
        words = (
            *("hydra.sweeper.n_trials=3", "engine=fused", "hydra.sweeper.executor.workers=1"),
            *("hydra.sweeper.executor.fork=true", *cls.space),
        )
        done = train("sweep", "-m", *words, "hydra.sweeper.report=false", "trainer.max_epochs=2")
        assert done.wait(120) == 0, (root / "sweep.txt").read_text()
        return root / "outputs/sweeps/sweep"

    @pytest.fixture
    def caviar(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
        """A command, here in this process; what it prints."""
        monkeypatch.chdir(root)

        def run(*words: str | Path) -> str:
            out, err = io.StringIO(), io.StringIO()
            line = ["caviar", *map(str, words)]
            with (
                redirect_stdout(out),
                redirect_stderr(err),
                mock.patch.object(sys, "argv", line),
                pytest.raises(SystemExit) as ended,
            ):
                cli.main()
            assert ended.value.code == 0, err.getvalue() + out.getvalue()
            return out.getvalue()

        return run

    def test_it_trains_and_its_score_is_that_of_its_best_epoch(self, whole: Path) -> None:
        result = Result.read(whole)
        assert result.state == "COMPLETE"
        assert len(rows(whole)) == 25
        scores = [float(row[result.metric]) for row in rows(whole)]
        assert result.value == scores[result.best_epoch]
        assert result.value in (min(scores), max(scores))

    def test_it_is_tested_and_predicts_from_its_folder_alone(
        self, whole: Path, root: Path, caviar: Callable[..., str]
    ) -> None:
        caviar("test", whole)
        facts = Result.read(whole).facts
        assert facts["tested"] is True
        assert all(name.startswith("test/") for name in facts["test"])
        assert all(value == value for value in facts["test"].values())
        (root / "out.csv").unlink(missing_ok=True)
        caviar("predict", whole, *self.rows_to_predict(root), "out=out.csv")
        found = pd.read_csv(root / "out.csv")
        assert list(found) == list(self.columns)
        assert len(found) > 20
        assert not found.isna().any(axis=None)

    def rows_to_predict(self, root: Path) -> list[str]:
        return []

    def test_a_run_that_was_killed_goes_on_to_the_very_same_curve(
        self,
        whole: Path,
        root: Path,
        train: Callable[..., copies.Popen],
        caviar: Callable[..., str],
    ) -> None:
        cut = root / "outputs/runs/cut"
        begun = train("cut")
        until(lambda: len(rows(cut)) >= 2 or begun.poll() is not None, "two epochs")
        begun.kill()
        assert begun.wait(60) == -9, (root / "cut.txt").read_text()
        assert Result.read(cut).state == "RUNNING"
        assert len(rows(cut)) < 25
        assert (cut / "checkpoints/last.ckpt").is_file()
        first = mark(cut)
        with mock.patch.object(again, "subprocess", copies.AS_SUBPROCESS):
            caviar("resume", cut)
        assert rows(cut)[0] == first  # an epoch that is trained again would write its row anew
        assert rows(cut)[1:] == rows(whole)[1:]
        result = Result.read(cut)
        assert (result.state, result.facts["resumed"]) == ("COMPLETE", True)
        assert result.value == Result.read(whole).value

    def test_a_panda_takes_an_edit_and_a_rollback_undoes_it_to_the_last_digit(
        self, root: Path, train: Callable[..., copies.Popen], caviar: Callable[..., str]
    ) -> None:
        cub = root / "outputs/runs/cub"
        begun = train("cub", "panda=true", ENDLESS)
        try:
            self._epochs(begun, cub, 2)
            caviar("set", cub, self.edit)
            self._epochs(begun, cub, len(rows(cub)) + 2)
            caviar("rollback", cub)
            self._epochs(begun, cub, len(rows(cub)) + 2)
            caviar("stop", cub)
            assert begun.wait(120) == 0, (root / "cub.txt").read_text()
        finally:
            begun.kill()
        edits = read_edits(cub)
        assert [set(one.changes) for one in edits][:1] == [{self.edit.partition("=")[0]}]
        found = rows(cub)
        calm = train("calm", f"trainer.max_epochs={len(found)}")
        assert calm.wait(120) == 0
        assert found[:-1] == rows(root / "outputs/runs/calm")[: len(found) - 1]

    @staticmethod
    def _epochs(begun: copies.Popen, folder: Path, many: int) -> None:
        until(lambda: len(rows(folder)) >= many or begun.poll() is not None, "epochs")
        assert begun.poll() is None, begun.args

    def test_a_sweep_trains_it_on_lanes_or_says_why_not(self, sweep: Path, root: Path) -> None:
        results = trials(sweep)
        assert [one["state"] for one in results] == ["COMPLETE"] * 3
        said = (root / "sweep.txt").read_text()
        engines = {one["facts"]["engine"] for one in results}
        if self.on_lanes is True:
            assert engines == {"fused"}, said
            assert "not on lanes" not in said
        else:
            assert engines == {"solo"}
            lines = [line for line in said.splitlines() if "not on lanes" in line]
            assert len(lines) == 1, said
            assert str(self.on_lanes) in lines[0]

    def test_a_sweep_is_reported_and_confirmed_with_one_look_at_the_test_part(
        self, sweep: Path, root: Path, caviar: Callable[..., str]
    ) -> None:
        said = json.loads(caviar("report", sweep, "--json"))
        assert said
        assert (sweep / "report.html").is_file()
        with mock.patch.object(plan, "subprocess", copies.AS_SUBPROCESS):
            told = caviar("confirm", sweep, "--top", "1", "--seeds", "2")
        assert "over 2 fresh seeds" in told
        assert "test part, looked at once" in told
        look = json.loads((sweep / "test_set.json").read_text())
        assert look


def rows(folder: Path) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv that are whole; none where it has not begun."""
    try:
        text = (folder / "metrics.csv").read_text()
    except FileNotFoundError:
        return []
    return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))


def mark(run: Path) -> dict[str, str]:
    """Put a number into the first row of ``metrics.csv`` that no training gives; the row."""
    head, first, *rest = (run / "metrics.csv").read_text().splitlines()
    marked = f"{first.rpartition(',')[0]},12345.0"
    (run / "metrics.csv").write_text("\n".join([head, marked, *rest]) + "\n")
    return rows(run)[0]


def trials(sweep: Path) -> list[dict[str, Any]]:
    files = sorted(sweep.glob("trials/*/result.json"))
    return [json.loads(file.read_text()) for file in files]
