"""Which of two scores is better stands in sweep.yaml alone; where it does not, none is called the best."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

import caviar
from caviar.base.direction import directions, sign
from caviar.cli import main
from caviar.reports.data import sweep_data
from tests.made_up import make_sweep

LOST = {
    "the file is gone": (lambda file, held: file.unlink(), "no sweep.yaml"),
    "it has no direction": (lambda file, held: held.pop("direction"), "no direction"),
    "its direction is null": (lambda file, held: held.update(direction=None), "no direction"),
    "its direction is none": (lambda file, held: held.update(direction="up"), "direction=up"),
    "of two one is none": (
        lambda file, held: held.update(direction=["minimize", "up"]),
        "which is none",
    ),
    "there are none": (lambda file, held: held.update(direction=[]), "direction=[]"),
}


def test_only_what_is_a_direction_is_one() -> None:
    assert directions({"direction": "maximize"}) == ["maximize"]
    assert directions({"direction": ["minimize", "maximize"]}) == ["minimize", "maximize"]
    assert sign({"direction": "maximize"}) == sign({"direction": ["maximize"]}) == -1
    for damaged in ({}, {"direction": 3}, {"direction": {}}, {"direction": [["minimize"]]}):
        assert directions(damaged) == []
        assert sign(damaged) is None


@pytest.fixture(params=LOST.values(), ids=LOST)
def damaged(request, tmp_path: Path, monkeypatch) -> str:
    """A sweep that does not say any more what is better; gives what is said of that."""
    monkeypatch.setenv("CAVIAR_OUTPUTS", str(tmp_path))
    folder = make_sweep(tmp_path / "sweeps" / "s")
    damage, told = request.param
    file = folder / "sweep.yaml"
    held = yaml.safe_load(file.read_text())
    damage(file, held)
    if file.exists():
        file.write_text(yaml.safe_dump(held))
    return told


def run(capsys, monkeypatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["caviar", *words])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_no_command_names_a_best_trial_of_such_a_sweep(damaged: str, capsys, monkeypatch) -> None:
    for words in (
        ("runs", "list", "s", "--sort", "best"),
        ("runs", "best", "s"),
        ("runs", "best", "s", "--ckpt"),
        ("runs", "show", "best"),
        ("runs", "show", "s/best"),
        ("zoom", "s"),
        ("confirm", "s"),
    ):
        status, out, err = run(capsys, monkeypatch, *words)
        assert (status, out, err.count("\n")) == (2, "", 1), (words, out, err)
        assert "traceback" not in err.lower()
        if words[0] == "runs":
            assert damaged in err
            assert "none is called the best" in err
    for words, key in (
        (("status", "--all", "--json"), "sweeps"),
        (("runs", "list", "s", "--summary", "--json"), "sweeps"),
    ):
        status, out, err = run(capsys, monkeypatch, *words)
        assert status == 0
        (line,) = json.loads(out)[key]
        assert line["best"] is None
        assert damaged in err


def test_nothing_that_is_read_of_such_a_sweep_judges_by_its_best(
    damaged: str, capsys, tmp_path: Path
) -> None:
    sweep = caviar.load("s")
    assert sweep.directions == []
    assert len(sweep.trials) == 8
    assert sweep.trials["value"].notna().all()
    assert any(damaged in problem for problem in sweep.problems)
    data = sweep_data(sweep)
    told = {verdict["name"]: verdict for verdict in data["verdicts"]}
    assert damaged in told["best trials"]["sentence"]
    assert not told.keys() & {"edge", "alike", "region", "gap"}
    assert data["importance"] == []


def test_a_result_that_is_lost_is_told_and_the_others_are_read(
    tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("CAVIAR_OUTPUTS", str(tmp_path))
    folder = make_sweep(tmp_path / "sweeps" / "s")
    status, out, _ = run(capsys, monkeypatch, "runs", "best", "s", "--path")
    best = Path(out.strip())
    (best / "result.json").unlink()
    status, out, err = run(capsys, monkeypatch, "runs", "best", "s", "--path")
    assert (status, out.strip() != str(best)) == (0, True)
    assert str(best) in err
    sweep = caviar.load("s")
    assert len(sweep.trials) == 7
    assert sweep.problems
    assert folder.is_dir()
