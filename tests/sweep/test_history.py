"""A sweep that begins with the trials of earlier ones: ``hydra.sweeper.history``."""

from __future__ import annotations

import json
import math
import shutil
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from omegaconf import OmegaConf

import caviar
from caviar.base.errors import UsageError
from caviar.reports.evidence import Evidence
from caviar.reports.importance import importance
from caviar.reports.model import tried
from caviar.runs.history import Earlier, read_history, write_history
from caviar.runs.ours import mark
from caviar.space.hyperparameters import Interval
from caviar.space.space import Space
from caviar.sweep.history import as_trials, earlier_trials
from caviar.sweep.journal import Journal
from caviar.sweep.settings import Settings
from caviar.sweep.study import SweepStudy
from tests.apps import GUARD, QUADRATIC, make_app
from tests.made_up import make_sweep

X = Interval("x", 0.0, 1.0)
SPACE = Space((X,))
BASE = OmegaConf.create({"x": 0.1, "y": 0.2, "seed": 5, "trainer": {"max_epochs": 3}})


def known(count, best=0.8):
    """Trials of a bowl whose lowest place is at ``best``."""
    rng = np.random.default_rng(0)
    places = rng.random(count)
    return [
        Earlier("first", n, "COMPLETE", [(x - best) ** 2], {"x": float(x)})
        for n, x in enumerate(places)
    ]


def asked(folder, history, count=10):
    folder.mkdir()
    sampler = optuna.samplers.TPESampler(seed=1, constant_liar=True)
    journal = Journal(folder / "study.journal")
    study = SweepStudy(SPACE, sampler, ["minimize"], journal, "s", history=history)
    found = [study.ask() for _ in range(count)]
    assert [one.number for one in found] == list(range(count))
    assert [trial.number for trial in study.trials()] == list(range(count))
    return np.array([one.values["x"] for one in found])


def test_a_sampler_that_learns_begins_with_what_earlier_sweeps_found(tmp_path):
    warm = asked(tmp_path / "warm", as_trials(known(40), SPACE))
    cold = asked(tmp_path / "cold", [])
    assert np.abs(warm - 0.8).mean() < 0.15 < 0.3 < np.abs(cold - 0.8).mean()
    failed = [Earlier("first", 0, "FAIL", [], {"x": 0.5})]
    assert as_trials(failed, SPACE) == []


def earlier_sweep(folder, space=None, **given):
    """A sweep of ours: it is signed."""
    space = space or {"x": "interval(0, 1)"}
    make_sweep(
        folder, lambda p: p.get("x", 0.5) ** 2, 6, space=space, direction="minimize", **given
    )
    mark(folder, {"sweep.yaml": (folder / "sweep.yaml").read_text()})
    return folder


def taken(folder, space=SPACE, base=BASE, **given):
    settings = Settings(**{"metric": "val/acc", "history": [str(folder)], **given})
    composer = SimpleNamespace(base=lambda _: base, is_group=lambda _: False)
    return earlier_trials(settings, space, composer)


def test_trials_that_do_not_fit_are_left_out_and_that_is_said(tmp_path, capsys):
    folder = earlier_sweep(tmp_path / "first", {"x": "interval(-1, 1)", "y": "choice(0.2, 0.3)"})
    sweep = caviar.load(folder)
    table = sweep.trials
    fit = table[(table["x"] >= 0) & (table["y"] == 0.2)]
    found = taken(folder)
    assert [one.number for one in found] == list(fit.index)
    assert 0 < len(found) < 6
    told = f"{len(found)} trials of first; {6 - len(found)} do not fit this space, and are left out"
    assert told in capsys.readouterr().out


def test_what_was_fixed_before_is_a_value_of_it_now(tmp_path):
    folder = earlier_sweep(tmp_path / "first")
    space = Space((X, Interval("trainer.max_epochs", 1, 8, integer=True)))
    assert {one.params["trainer.max_epochs"] for one in taken(folder, space)} == {3}


def test_a_sweep_that_was_trained_otherwise_tells_nothing(tmp_path, capsys):
    folder = earlier_sweep(tmp_path / "first")
    longer = OmegaConf.merge(BASE, {"trainer": {"max_epochs": 9}})
    assert taken(folder, base=longer) == []
    assert (
        "none of first, which was trained with trainer.max_epochs=3, not 9"
        in capsys.readouterr().out
    )
    # Searched in either, it is no difference.
    searched = Space((X, Interval("trainer.max_epochs", 1, 8, integer=True)))
    assert len(taken(folder, searched, base=longer)) == 6


def damaged(folder):
    (folder / "trials/0003/result.json").write_text("{")


def copied(folder):
    shutil.copytree(folder, folder.with_name("copy"))
    return folder.with_name("copy")


@pytest.mark.parametrize(
    ("change", "given", "told"),
    [
        (damaged, {}, "result.json"),
        (copied, {}, "copy"),
        (lambda folder: folder / "nothing", {}, "nothing"),
        (
            lambda folder: None,
            {"metric": "val/loss"},
            "scored by minimize val/acc, and this sweep by",
        ),
        (lambda folder: None, {"history": [3]}, "history=3: must be a sweep's name"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_one_line(tmp_path, change, given, told):
    folder = earlier_sweep(tmp_path / "first")
    with pytest.raises(UsageError, match=told) as refused:
        taken(change(folder) or folder, **given)
    assert "\n" not in str(refused.value)


def test_importance_and_the_model_count_them(tmp_path):
    folder = earlier_sweep(tmp_path / "second")
    before = Evidence.of(caviar.load(folder))
    write_history(folder, [*known(40), Earlier("first", 40, "FAIL", [], {"x": 0.9})])
    after = Evidence.of(caviar.load(folder))
    assert len(tried(after)) == len(tried(before)) + 41
    assert math.isnan(importance(before, X).divergence)
    assert importance(after, X).trials == 46
    assert importance(after, X).p < 0.01
    assert len(after.complete) == 6


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '[{"sweep": "a"}]', '[{"state": "DONE"}]'])
def test_a_damaged_record_of_them_is_told_by_its_name(tmp_path, text):
    (tmp_path / "history.json").write_text(text)
    with pytest.raises(UsageError, match=r"history\.json"):
        read_history(tmp_path)
    assert read_history(tmp_path / "nowhere") == []


def test_a_sweep_names_them_and_keeps_them_for_its_resume(tmp_path):
    app = make_app(tmp_path / "app", QUADRATIC + GUARD)
    assert app.sweep("hydra.sweeper.n_trials=12").status == 0
    more = ["hydra.sweep.dir=second", "hydra/sweeper/sampler=cmaes", "hydra.sweeper.sampler.seed=1"]
    done = app.sweep("hydra.sweeper.history=[sweep]", "hydra.sweeper.n_trials=3", *more)
    assert done.status == 0, done.err
    assert "history: 12 trials of sweep" in done.out
    assert len(json.loads((app.folder / "second/history.json").read_text())) == 12
    assert app.settings("second")["history"] == ["sweep"]
    done = app.resume("n_trials=4", name="second")
    assert done.status == 0, done.err
    assert len(app.results("second")) == 4
    done = app.sweep("hydra.sweeper.history=[sweepp]", "hydra.sweep.dir=third")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "did you mean sweep" in done.err
    assert not (app.folder / "third").exists()
