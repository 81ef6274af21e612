"""The report's first sentence says what was trained, and what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import caviar
from caviar.reports.data import OneRun
from caviar.reports.summary import summary
from tests.made_up import make_run, make_sweep

pytestmark = pytest.mark.fast

CONFIG = {
    "model": {"_target_": "project.models.mlp.MLP"},
    "data": {"_target_": "project.data.Table.read", "path": "in/churn.csv"},
    "trainer": {"max_epochs": 20},
}


def told(folder: Path, **more: Any) -> dict[str, Any]:
    return summary(caviar.load(folder), False, more.get("verdicts", []), more.get("worth", []))


def change(run: Path, **fields: Any) -> None:
    path = run / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_the_best_that_is_the_default_is_told_as_such(tmp_path: Path) -> None:
    values = iter([0.9, 0.8, 0.7])
    folder = make_sweep(tmp_path / "mine", lambda p: next(values), n_trials=3)
    change(folder / "trials/0000", facts={"baseline": True})
    found = told(folder)
    assert found["sentence"].endswith("The best val/acc is 0.9 (trial 0): it is the default.")
    assert found["title"] == "mine"
    assert not found["best"]["default"]
    change(folder / "trials/0000", facts={})
    change(folder / "trials/0001", facts={"baseline": True})
    assert told(folder)["sentence"].endswith("(trial 0); the default has 0.8.")
    assert told(folder)["best"]["default"]


def test_what_a_fresh_seed_says_stands_beside_the_best(tmp_path: Path) -> None:
    values = iter([0.9, 0.8])
    folder = make_sweep(tmp_path / "mine", lambda p: next(values), n_trials=2)
    fresh = {"mean": 0.85, "low": 0.8, "high": 0.9}
    expected = [{"trial": 0, "expected": fresh, "confirmed": None}]
    assert "0.9 (trial 0), worth 0.85 [0.8, 0.9] on a" in told(folder, worth=expected)["sentence"]
    confirmed = [{"trial": 0, "expected": fresh, "confirmed": {**fresh, "n": 5}}]
    assert "0.85 [0.8, 0.9] over 5 fresh seeds" in told(folder, worth=confirmed)["sentence"]


def test_the_first_advice_is_what_to_do_next_and_else_the_best_is_used(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "my sweep", n_trials=2)
    verdicts = [
        {"sentence": "fine.", "next": None},
        {"sentence": "too short.", "next": "python -m x trainer.max_epochs=40"},
    ]
    found = told(folder, verdicts=verdicts)
    assert (found["next"], found["command"]) == ("too short.", "python -m x trainer.max_epochs=40")
    assert told(folder)["command"] == f"caviar runs best '{folder}' --ckpt"


def test_a_sweep_in_which_nothing_is_complete_says_so(tmp_path: Path) -> None:
    states = {0: "FAIL", 1: "RUNNING"}
    folder = make_sweep(tmp_path / "mine", n_trials=2, states=states, settings={"n_trials": 9})
    found = told(folder)
    assert found["sentence"].startswith(
        "2 of 9 trials by random search, over lr, momentum, width and"
    )
    assert found["sentence"].endswith(
        "(1 failed, 1 running). None is complete, so there is no best one."
    )
    assert found["best"] is None
    empty = make_sweep(tmp_path / "none", n_trials=0)
    assert told(empty)["sentence"].startswith("0 trials by random search")


@pytest.mark.parametrize(
    ("name", "title"), [("2026-11-29_20-19-52", "MLP on churn.csv"), ("a", "a")]
)
def test_a_date_is_no_name_and_a_run_says_how_long_it_was(
    tmp_path: Path, name: str, title: str
) -> None:
    folder = make_run(tmp_path / name, config={**CONFIG, "direction": "maximize"})
    found = summary(OneRun(folder), True, [], [])
    assert found["title"] == title
    assert found["sentence"] == (
        "One run of MLP on churn.csv, 20 epochs in 1 s. The best val/acc is 0.5 at epoch 2."
    )


@pytest.mark.parametrize(("score", "words"), [("last", "last epoch"), ("last5", "last 5 epochs")])
def test_it_says_which_epochs_are_scored(tmp_path: Path, score: str, words: str) -> None:
    config = {**CONFIG, "direction": "maximize", "score": score}
    found = summary(OneRun(make_run(tmp_path / "a", config=config)), True, [], [])
    assert found["sentence"].endswith(f"The best val/acc ({words}) is 0.5 at epoch 2.")
