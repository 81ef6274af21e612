"""``caviar report``, as a process, and the report that a sweep ends with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from caviar.reports.at_end import Reporting
from tests import copies
from tests.made_up import make_run, make_sweep


def report(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "caviar.cli", "report", *words]
    return copies.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_latest_sweep_is_reported_on_and_its_verdicts_are_told(tmp_path: Path):
    folder = make_sweep(tmp_path / "outputs/sweeps/made", epochs=6)
    done = report(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"report: {folder / 'report.html'}\n"
    assert done.stdout.startswith("made: 8 trials\n")
    assert "\n  warn " in done.stdout
    assert "8 complete trials for 4 hyperparameters" in done.stdout
    text = (folder / "report.html").read_text()
    assert text.startswith("<!doctype html>")
    assert text.rstrip().endswith("</html>")


def test_several_sweeps_go_into_one_file(tmp_path: Path):
    for name in ("wide", "narrow"):
        make_sweep(tmp_path / "outputs/sweeps" / name)
    done = report(tmp_path, "wide", "narrow", "-o", "both.html")
    assert done.stderr == "report: both.html\n"
    assert "<title>wide · narrow</title>" in (tmp_path / "both.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["widr"], "sweep=widr: none of the sweeps"),
        (["wide", "-o", "no/such/report.html"], "output=no/such/report.html: there is no folder"),
        (["wide", "-o", "outputs"], "output=outputs: that is a folder"),
        (["--colour"], "--colour: no such option"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path: Path, words: list[str], message: str):
    make_sweep(tmp_path / "outputs/sweeps/wide", n_trials=1)
    done = report(tmp_path, *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("page", [True, False])
def test_a_sweep_ends_with_its_warnings_and_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], page: bool
):
    folder = make_sweep(tmp_path / "made", epochs=6)
    with Reporting(folder, page) as reporting:
        reporting.begin()
        reporting.wait()
        reporting.show()
    said = capsys.readouterr().out
    assert "warning: 8 complete trials for 4 hyperparameters" in said
    assert f"    next: caviar resume {folder} n_trials=40\n" in said
    assert said.endswith(f"report:          {folder / 'report.html'}\n") is page
    assert (folder / "report.html").exists() is page


def test_a_report_that_is_prepared_early_is_of_what_is_there_when_it_begins(tmp_path: Path):
    with Reporting(tmp_path / "made", page=False) as reporting:
        reporting.prepare()
        make_sweep(tmp_path / "made", epochs=6)
        reporting.begin()
        reporting.wait()
        assert len(reporting.worth) > 0


def test_a_report_that_never_began_ends_with_its_sweep(tmp_path: Path):
    with Reporting(make_sweep(tmp_path / "made"), page=True) as reporting:
        reporting.prepare()
        process = reporting._process
    assert process is not None
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "made/report.html").exists()


def test_a_report_whose_sweep_is_gone_before_it_began_writes_nothing(tmp_path: Path):
    folder = make_sweep(tmp_path / "made")
    line = [sys.executable, "-m", "caviar.cli", "report", str(folder), "--when-told"]
    done = copies.run(line, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (folder / "report.html").exists()


def test_verdicts_as_json_have_a_schema_version_and_write_no_file(tmp_path: Path):
    folder = make_sweep(tmp_path / "outputs/sweeps/made", epochs=6)
    done = report(tmp_path, "--json", "--no-page")
    told = json.loads(done.stdout)
    assert (told["schema"], told["report"], done.stderr) == (1, None, "")
    (sweep,) = told["sweeps"]
    assert (sweep["name"], sweep["trials"]) == ("made", 8)
    assert {v["status"] for v in sweep["verdicts"]} <= {"pass", "warn", "unknown"}
    assert not (folder / "report.html").exists()


def test_a_run_has_a_report_too(tmp_path: Path):
    folder = make_run(tmp_path / "outputs/runs/cub", config={"direction": "maximize"})
    done = report(tmp_path, "cub")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "cub: 1 trials\n"
    assert "<title>cub</title>" in (folder / "report.html").read_text()


def test_a_report_that_fails_is_one_line_and_no_exception(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = make_sweep(tmp_path / "made")
    (folder / "report.html").mkdir()
    with Reporting(folder, page=True) as reporting:
        reporting.begin()
        reporting.wait()
        reporting.show()
    said = capsys.readouterr().out
    assert said.startswith("no report: ")
    assert said.count("\n") == 1
