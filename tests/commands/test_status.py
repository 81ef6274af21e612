"""``caviar status``: which sweeps are under way."""

import json

import pytest

from caviar.reading.sweep import Sweep
from caviar.reports.evidence import Evidence
from caviar.reports.model import tried
from caviar.runs.program import hold
from caviar.sweep.owner import Owner
from tests.made_up import make_run, make_sweep

pytestmark = pytest.mark.fast


def test_only_sweeps_under_way_are_shown(caviar, outputs, wide):
    done = caviar("status")
    assert (done.status, done.out) == (0, "")
    assert done.err == "no sweep or run is under way; --all shows those that ended\n"
    owner = Owner(wide)
    try:
        (line,) = json.loads(caviar("status", "--json").out)["sweeps"]
    finally:
        owner.release()
    assert (line["sweep"], line["is"]) == ("wide", "under way")
    assert (line["done"], line["of"], line["running"]) == (7, 8, 1)
    assert (line["complete"], line["pruned"], line["failed"]) == (5, 1, 1)
    assert line["left_s"] > 0


def test_a_damaged_date_hides_no_sweep(caviar, wide):
    for result in wide.glob("trials/*/result.json"):
        facts = json.loads(result.read_text())
        result.write_text(json.dumps({**facts, "started": "yesterday"}))
    owner = Owner(wide)
    try:
        (line,) = json.loads(caviar("status", "--json").out)["sweeps"]
    finally:
        owner.release()
    assert (line["done"], line["left_s"]) == (7, None)


def test_an_ended_sweep_is_told_from_an_interrupted_one(caviar, outputs, wide):
    make_sweep(outputs / "sweeps/whole", n_trials=2)
    (outputs / "sweeps/empty").mkdir()
    (outputs / "sweeps/empty/sweep.yaml").write_text("n_trials: 5\n")
    lines = json.loads(caviar("status", "--all", "--json").out)["sweeps"]
    assert {line["sweep"]: line["is"] for line in lines} == {
        "wide": "interrupted",
        "whole": "ended",
        "empty": "interrupted",
    }
    assert [line["running"] for line in lines] == [0, 0, 0]
    assert len(caviar("status", "whole", "wide").out.splitlines()) == 3


def test_nothing_at_all_is_no_error(caviar, outputs):
    assert caviar("status", "--all").status == 0
    assert json.loads(caviar("status", "--json").out) == {
        "schema": 1,
        "sweeps": [],
        "runs": [],
    }


def test_what_steers_a_sweep_takes_its_name(caviar, wide):
    for name in ("wide", "latest", "-1"):
        for command in ("stop", "cancel"):
            done = caviar(command, name)
            assert done.status == 2
            assert done.err == f"error: {wide}: nobody is running this sweep\n"
    assert "did you mean wide?" in caviar("cancel", "wied").err
    assert "--nosuch: no such option" in caviar("cancel", "--nosuch").err


def test_many_sweeps_are_read_by_way_of_one_index(caviar, outputs, monkeypatch):
    from caviar.reading import index

    for number in range(5):
        make_sweep(outputs / f"sweeps/s{number}", n_trials=1)
    read = []
    remembered = index._remembered
    monkeypatch.setattr(index, "_remembered", lambda path: read.append(path) or remembered(path))
    assert len(json.loads(caviar("status", "--all", "--json").out)["sweeps"]) == 5
    assert len(read) == 1


def test_trials_that_were_stopped_or_repeated_are_not_counted_as_ended(caviar, outputs):
    sweep = make_sweep(outputs / "sweeps/s", n_trials=4)
    trials = sweep / "trials"
    stopped = "TrialInterrupted: the sweep was stopped at step 3"
    make_run(trials / "0004", "FAIL", number=4, error=stopped)
    make_run(trials / "0005", "FAIL", number=5, error="OSError: No space left on device")
    make_run(trials / "0006", number=6, facts={"retry_of": 5})
    sweep.joinpath("sweep.yaml").write_text(
        sweep.joinpath("sweep.yaml").read_text().replace("n_trials: 4", "n_trials: 6")
    )
    (line,) = json.loads(caviar("status", "s", "--json").out)["sweeps"]
    assert (line["done"], line["failed"], line["is"]) == (5, 0, "interrupted")
    (line,) = json.loads(caviar("runs", "list", "--summary", "--json").out)["sweeps"]
    assert (line["trials"], line["complete"], line["fail"]) == (5, 5, 0)
    found = tried(Evidence.of(Sweep.whole(sweep)))
    assert len(found) == 5
    assert all(trial.loss is not None for trial in found)


def test_single_runs_under_way_are_shown_watched_ones_too(caviar, outputs):
    for name in ("plain", "ended", "cub"):
        make_run(outputs / "runs" / name, "COMPLETE" if name == "ended" else "RUNNING", epochs=3)
    (outputs / "runs/cub/panda").mkdir()
    paused = {"state": "paused", "epoch": 1, "step": 9, "max_epochs": 3}
    (outputs / "runs/cub/panda/status.json").write_text(json.dumps(paused))
    held = [hold(outputs / "runs" / name) for name in ("plain", "cub")]
    try:
        runs = {run["run"]: run for run in json.loads(caviar("status", "--json").out)["runs"]}
        assert "run\tis\tepoch" in caviar("status").out
    finally:
        for file in held:
            file.close()
    assert {name: run["is"] for name, run in runs.items()} == {"plain": "training", "cub": "paused"}
    assert {name: run["panda"] for name, run in runs.items()} == {"plain": False, "cub": True}
    assert runs["plain"]["epoch"] == "1/3"
    assert runs["plain"]["score"] == 0.5
    everything = json.loads(caviar("status", "--all", "--json").out)["runs"]
    assert {run["run"]: run["is"] for run in everything}["ended"] == "COMPLETE"


def test_a_pause_between_two_sessions_is_no_time_of_training(caviar, wide):
    for number, result in enumerate(sorted(wide.glob("trials/*/result.json"))):
        facts = json.loads(result.read_text())
        ran = facts["state"] != "RUNNING"
        day = 1 if number < 4 else 2
        started = f"2026-01-{day:02}T00:00:{10 * (number % 4):02}+00:00"
        facts |= {"started": started if ran else None, "seconds": 10.0 if ran else None}
        result.write_text(json.dumps(facts))
    owner = Owner(wide)
    try:
        (line,) = json.loads(caviar("status", "--json").out)["sweeps"]
    finally:
        owner.release()
    # 7 trials in 70 s; the last one counts as half done.
    assert line["left_s"] == pytest.approx(70 / 7.5 * 0.5, abs=0.1)


def test_a_terminal_of_80_columns_shows_a_line_a_sweep(caviar, outputs, monkeypatch):
    for name in ("2026-11-29_20-19-52", "second"):
        make_sweep(outputs / "sweeps" / name, n_trials=4, settings={"n_trials": 256})
    make_run(outputs / "runs/2026-11-29_20-19-52-2", metric="val/accuracy_macro")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("caviar.commands.status.one_format", lambda json: "terminal")
    lines = caviar("status", "--all").out.splitlines()
    assert all(len(line.rstrip()) <= 80 for line in lines)
    for words in (
        ("2026-11-29_20-19-52", "interrupted", "4/256", "0"),
        ("second", "interrupted", "4/256"),
        ("2026-11-29_20-19-52-2", "COMPLETE", "3/3", "val/accuracy_macro", "0.5"),
    ):
        assert any(set(words) <= set(line.split()) for line in lines), (words, lines)
