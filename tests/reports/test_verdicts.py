"""Each verdict on made-up studies where the right answer is known: pass, warn and unknown."""

import re
import shlex
from dataclasses import replace

import numpy as np
import optuna
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from typer.main import get_command

import caviar
from caviar.base import hydra_versions
from caviar.cli import make_app
from caviar.reports.again import follow_up
from caviar.reports.evidence import Evidence
from caviar.reports.importance import IDLE, importance, shares
from caviar.reports.model import zoomed
from caviar.reports.verdicts.ended import narrowed
from caviar.reports.verdicts.following import doubled
from caviar.reports.verdicts.registry import VERDICTS, judge
from caviar.space.grammar import read
from caviar.space.hyperparameters import Choice, Interval, Range
from caviar.space.scales import LOG, REVERSE_LOG
from caviar.space.space import Space
from caviar.sweep.record import CANDIDATE
from project.train import CONFIGS
from tests.made_up import make_sweep

LR = Interval("optimizer.lr", 1e-4, 1e-1, LOG)
BETA = Interval("optimizer.momentum", 0.5, 0.99, REVERSE_LOG)
DROPOUT = Interval("model.dropout", 0.0, 0.5)
COMMAND = ["/usr/bin/python3", "-m", "project.train", "-m", "name=first"]
CONFIG = {
    "trainer": {"max_epochs": 20, "gradient_clip_val": None},
    "scheduler": {"warmup_epochs": 0},
    "model": {"dropout": 0.1},
    "data": {"batch_size": 32},
    "test": True,
}


def made_up(
    score, n=60, space=(LR, BETA), curve=None, metric="val/loss", error=None, seed=1, **columns
):
    """A study of ``n`` random trials: ``score`` of the places in [0, 1) of their values, and curves."""
    rng = np.random.default_rng(seed)
    places = rng.random((n, len(space)))
    trials = pd.DataFrame(
        {h.name: [h.from_study(h.from_unit(u)) for u in places[:, i]] for i, h in enumerate(space)}
    )
    trials["value"] = [float(score(*row)) for row in places]
    trials["error"] = [error(*row) if error else None for row in places]
    trials["state"] = ["FAIL" if isinstance(e, str) else "COMPLETE" for e in trials["error"]]
    for name, value in {"seed": 0, "best_epoch": pd.NA, **columns}.items():
        trials[name] = value
    trials.index.name = "trial"
    logged = pd.DataFrame({"trial": [], "epoch": []})
    if curve:
        tables = [
            pd.DataFrame(curve(value, rng)).assign(trial=n).rename_axis("epoch").reset_index()
            for n, value in trials["value"].items()
        ]
        logged = pd.concat(tables) if tables else logged
    settings = {"command": COMMAND}
    return Evidence(
        "first", settings, Space(tuple(space)), ["minimize"], metric, trials, logged, CONFIG
    )


def with_default(score, value):
    """A study whose first trial is a baseline outside the space, with that score."""
    study = made_up(score)
    trials = study.trials.assign(baseline="")
    trials.loc[0, ["baseline", "value"]] = ["outside", value]
    return replace(study, trials=trials)


def lucky():
    """A study where one of many alike has a score that no other comes near."""
    rng = np.random.default_rng(0)
    study = made_up(lambda *_: 0.5 + 0.01 * rng.standard_normal(), curve=falling(0.1, noise=0.02))
    trials = study.trials.copy()
    trials.loc[7, "value"] = 0.44
    return replace(study, trials=trials)


def verdict(name, evidence):
    found = next(v for v in VERDICTS if v.__name__ == name)(evidence)
    assert found.sentence
    return found


def bowl(*places):
    return sum((place - 0.5) ** 2 for place in places)


def falling(end, noise=0.0, metric="val/loss", epochs=20, train=None):
    def curve(value, rng):
        val = end + np.exp(-np.arange(epochs) / 3) + noise * rng.normal(size=epochs)
        return {metric: val, "train/loss": val if train is None else train(np.arange(epochs), val)}

    return curve


LOST = "FloatingPointError: val/loss is nan at epoch 0"
SIZES = Choice("data.batch_size", (32, 64))
EPOCHS = Range("trainer.max_epochs", 5, 31, 5)


def nothing(*places):
    """A score that no hyperparameter has to do with."""
    return np.sin(1e5 * sum(places))


def plateau(place):
    """A score that is best in most of a range."""
    return max(abs(place - 0.5) - 0.4, 0)


def apart(epoch, val):
    return 0.2 * val


def turning_up(epoch, val):
    return val + 0.05 * np.maximum(epoch - 8, 0)


def noisy(score, seed=0, **given):
    """A study of `score` with noise of 0.02."""
    rng = np.random.default_rng(seed)
    return made_up(lambda *places: score(*places) + 0.02 * rng.normal(), **given)


CASES = {
    ("what_next", "pass"): lambda: noisy(bowl, seed=2, n=250, curve=falling(0.1, noise=0.02)),
    ("what_next", "warn"): lambda: noisy(lambda lr, beta: 1 - lr),
    ("what_next", "unknown"): lambda: made_up(bowl, n=4),
    ("tested", "pass"): lambda: made_up(bowl, tested=False),
    ("tested", "warn"): lambda: made_up(bowl, tested=True),
    ("tested", "unknown"): lambda: made_up(bowl),
    ("failed", "pass"): lambda: made_up(bowl, error=lambda lr, beta: LOST if lr > 0.5 else None),
    ("failed", "warn"): lambda: made_up(bowl, error=lambda lr, _: "KeyError" if lr > 0.5 else None),
    ("failed", "unknown"): lambda: made_up(bowl, n=0),
    ("diverged", "pass"): lambda: made_up(bowl),
    ("diverged", "warn"): lambda: made_up(bowl, error=lambda lr, _: LOST if lr > 0.7 else None),
    ("diverged", "unknown"): lambda: made_up(bowl, n=4),
    ("edge", "pass"): lambda: made_up(bowl),
    ("edge", "warn"): lambda: made_up(lambda lr, beta: 1 - lr),
    ("edge", "unknown"): lambda: made_up(bowl, n=7),
    ("longer", "pass"): lambda: made_up(bowl, best_epoch=9, curve=falling(0.1)),
    ("longer", "warn"): lambda: made_up(bowl, best_epoch=18, curve=falling(0.1)),
    ("longer", "unknown"): lambda: made_up(bowl),
    ("shorter", "pass"): lambda: made_up(bowl, best_epoch=9, curve=falling(0.1)),
    ("shorter", "warn"): lambda: made_up(bowl, best_epoch=0, curve=falling(0.1)),
    ("shorter", "unknown"): lambda: made_up(bowl, best_epoch=0),
    ("alike", "pass"): lambda: made_up(bowl, curve=falling(0.1, noise=1e-7)),
    ("alike", "warn"): lambda: made_up(bowl, curve=falling(0.1, noise=0.1)),
    ("alike", "unknown"): lambda: made_up(bowl),
    ("better", "pass"): lambda: with_default(bowl, 2.0),
    ("better", "warn"): lambda: with_default(bowl, -1.0),
    ("better", "unknown"): lambda: made_up(bowl),
    ("promised", "pass"): lambda: made_up(bowl, curve=falling(0.1, noise=1e-3)),
    ("promised", "warn"): lambda: lucky(),
    ("promised", "unknown"): lambda: made_up(bowl, n=4),
    ("steps", "pass"): lambda: made_up(bowl),
    ("steps", "warn"): lambda: made_up(bowl, space=(LR, EPOCHS)),
    ("steps", "unknown"): lambda: made_up(bowl, space=()),
    ("batch_size", "pass"): lambda: made_up(bowl, space=(LR, SIZES), metric="seconds"),
    ("batch_size", "warn"): lambda: made_up(bowl, space=(LR, SIZES)),
    ("batch_size", "unknown"): lambda: made_up(bowl, space=(LR, SIZES), metric=None),
    ("budget", "pass"): lambda: made_up(bowl, n=20),
    ("budget", "warn"): lambda: made_up(bowl, n=19),
    ("budget", "unknown"): lambda: made_up(bowl, n=0),
    ("region", "pass"): lambda: made_up(plateau, n=200, space=(LR,)),
    ("region", "warn"): lambda: made_up(bowl, n=200, space=(LR,)),
    ("region", "unknown"): lambda: made_up(nothing, n=200, space=(LR,)),
    ("matters", "pass"): lambda: made_up(bowl, n=200),
    ("matters", "warn"): lambda: made_up(lambda lr, _: bowl(lr), n=150, space=(LR, DROPOUT)),
    ("matters", "unknown"): lambda: made_up(nothing),
    ("gap", "pass"): lambda: made_up(bowl, curve=falling(1.0)),
    ("gap", "warn"): lambda: made_up(bowl, curve=falling(1.0, train=apart)),
    ("gap", "unknown"): lambda: made_up(bowl),
    ("rising", "pass"): lambda: made_up(bowl, curve=falling(0.1)),
    ("rising", "warn"): lambda: made_up(bowl, curve=falling(0.1, train=turning_up)),
    ("rising", "unknown"): lambda: made_up(bowl, curve=falling(0.1, epochs=5)),
    ("late", "pass"): lambda: made_up(bowl, curve=falling(0.1, noise=0.001)),
    ("late", "warn"): lambda: made_up(bowl, curve=falling(0.1, noise=0.2)),
    ("late", "unknown"): lambda: made_up(bowl, curve=falling(0.1, epochs=7)),
}
"""Verdict and status -> a study that it is right for."""


def test_every_verdict_has_a_study_for_each_status():
    statuses = ("pass", "warn", "unknown")
    assert set(CASES) == {(v.__name__, status) for v in VERDICTS for status in statuses}


@pytest.mark.parametrize(("name", "status"), CASES)
def test_a_verdict_is_right_and_what_it_says_to_do_next_can_be_done(name, status):
    found = verdict(name, CASES[name, status]())
    assert found.status == status, found.sentence
    assert status == "unknown" or any(c.isdigit() for c in found.sentence) or name in KNOWN
    assert found.sentence.endswith(".")
    assert (found.next is not None) or status != "warn"
    if found.next:
        can_be_run(found.next)


KNOWN = ("steps", "batch_size", "edge", "matters", "tested")
"""Verdicts that may pass without a number: there is nothing to count."""


def can_be_run(line):
    """Parse a command as the real command line would, short of running it."""
    words = shlex.split(line)
    if words[0] == "caviar":
        command = get_command(make_app()).commands[words[1]]  # type: ignore[attr-defined]
        command.make_context(words[1], words[2:])
        return
    assert words[:4] == ["python", "-m", "project.train", "-m"]
    reading = read({}, words[4:])
    with initialize_config_dir(str(CONFIGS), **hydra_versions.BASE):
        config = compose("train", reading.fixed)
    for h in reading.hyperparameters:
        missing = object()
        assert OmegaConf.select(config, h.name, default=missing) is not missing, h.name


@pytest.mark.parametrize(
    "line",
    ["caviar zoon first", "python -m project.train -m model.drop=0.1", "caviar confirm a --topp 3"],
)
def test_a_command_that_does_not_exist_would_be_noticed(line):
    with pytest.raises(Exception, match=r"drop|topp|zoon"):
        can_be_run(line)


def test_where_nothing_matters_few_studies_are_warned_of_and_where_it_does_most_are():
    more = (Interval(name, 1.0, 2.0) for name in "abc")
    space = (LR, BETA, Range("depth", 1, 5), *more)

    def warned(score):
        """Of 16 studies, how many are warned of an edge and of a small region."""
        studies = [made_up(score, n=50, space=space, seed=s) for s in range(16)]
        return [
            sum(verdict(name, study).status == "warn" for study in studies)
            for name in ("edge", "region")
        ]

    noise = np.random.default_rng(0)
    assert max(warned(lambda *_: noise.normal())) < 4
    assert warned(lambda lr, *_: -lr + 0.1 * noise.normal())[0] > 12
    narrow = lambda lr, *_: min(abs(lr - 0.5) / 0.15, 1) + 0.1 * noise.normal()  # noqa: E731
    assert warned(narrow)[1] > 12


def test_a_sampler_that_learns_gathers_its_trials_by_luck_and_few_studies_are_warned_of_that():
    space = (LR, BETA, DROPOUT)

    def learned(score, seed):
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        rng, rows = np.random.default_rng(seed), []
        for _ in range(60):
            trial = study.ask({h.study_name: h.distribution for h in space})
            rows.append({h.name: h.from_study(trial.params[h.study_name]) for h in space})
            rows[-1]["value"] = score(LR.scale.forward(rows[-1]["optimizer.lr"]), rng)
            study.tell(trial, rows[-1]["value"])
        made = made_up(bowl, space=space)
        for name in rows[0]:
            made.trials[name] = [row[name] for row in rows]
        return made

    def warned(score):
        """Of 12 studies, how many are warned of an edge and of a small region."""
        studies = [learned(score, seed) for seed in range(12)]
        return [
            sum(verdict(name, study).status == "warn" for study in studies)
            for name in ("edge", "region")
        ]

    assert max(warned(lambda _, rng: rng.normal())) < 4
    assert warned(lambda lr, rng: -lr + 0.1 * rng.normal())[0] > 9
    narrow = lambda lr, rng: min(abs(lr + 2.5) / 0.45, 1) + 0.1 * rng.normal()  # noqa: E731
    assert warned(narrow)[1] > 9


def test_a_best_at_the_upper_end_is_told_with_the_end_to_expand_beyond():
    found = verdict("edge", made_up(lambda lr, beta: 1 - lr))
    assert found.status == "warn"
    assert "expand above 0.1" in found.sentence
    assert found.next == "caviar zoom first"


def test_the_end_of_a_reverse_log_hyperparameter_is_judged_on_its_own_scale():
    # Linear in x, 0.95 would be near the end of [0.5, 0.99]; on reverse_log it is not.
    inside = verdict("edge", made_up(lambda lr, beta: bowl(lr, beta)))
    assert inside.status == "pass"
    beyond = verdict("edge", made_up(lambda lr, beta: 1 - beta))
    assert "optimizer.momentum" in beyond.sentence
    assert "expand above 0.99" in beyond.sentence


def test_no_value_just_below_one_is_told_as_one():
    beta = Interval("optimizer.momentum", 0.9, 0.9999, REVERSE_LOG)
    found = verdict("edge", made_up(lambda lr, beta: 1 - beta, space=(LR, beta)))
    assert "optimizer.momentum (expand above 0.9999: " in found.sentence


def test_no_room_is_asked_for_below_zero():
    assert verdict("edge", made_up(lambda d, lr: d, space=(DROPOUT, LR))).status == "pass"


def test_failures_are_grouped_by_error_and_the_most_frequent_ones_log_is_named():
    def error(lr, beta):
        return LOST if lr > 0.9 else "KeyError: 'x' at 0.5" if lr > 0.5 else None

    study = made_up(bowl, error=error)
    study.trials.loc[0, ["state", "error"]] = ["FAIL", "OSError: disk"]
    study.trials.loc[1, ["state", "error"]] = ["FAIL", "TrialInterrupted: the sweep was stopped"]
    assert "of 59 trials" in verdict("diverged", study).sentence
    found = verdict("failed", study)
    keyed = study.trials.index[study.trials["error"].str.startswith("KeyError", na=False)]
    assert f"{len(keyed) + 1} of 59 trials" in found.sentence
    assert f"{len(keyed)} x KeyError: 'x' at 0.5; 1 x OSError: disk." in found.sentence
    assert found.next == f"caviar logs first/{keyed[0]}"


def test_few_trials_tell_nothing_of_edges_and_regions():
    few = made_up(bowl, n=6)
    assert {verdict(name, few).status for name in ("edge", "region", "matters")} == {"unknown"}


def test_a_small_good_region_is_told_and_a_flat_study_has_none():
    found = verdict("region", made_up(bowl, n=200, space=(LR,)))
    assert (found.status, found.next) == ("warn", "caviar zoom first")
    flat = made_up(lambda lr: np.sin(1e4 * lr), n=200, space=(LR,))
    assert verdict("region", flat).status == "unknown"


def test_a_hyperparameter_that_does_nothing_is_to_be_fixed_where_the_model_expects_the_best():
    study = made_up(lambda lr, beta: (lr - 0.4) ** 2, n=100)
    found = verdict("matters", study)
    assert found.status == "warn"
    assert "optimizer.momentum" in found.sentence
    assert "optimizer.lr (" not in found.sentence
    assert "optimizer.momentum=" in found.next
    assert shares(study, [BETA])["optimizer.momentum"][1].p > 0.2
    assert verdict("matters", made_up(bowl, n=200)).status == "pass"
    assert verdict("matters", made_up(lambda a, b: np.sin(1e5 * a), n=60)).status == "unknown"


@pytest.mark.parametrize("words", [[], ["+model.extra=interval(0, 0.5)"]])
def test_what_the_config_does_not_have_is_fixed_with_the_plus_that_added_it(words):
    extra = Interval("+model.extra", 0.0, 0.5)
    study = made_up(lambda lr, _: bowl(lr), n=150, space=(LR, extra))
    renamed = study.trials.rename(columns={extra.name: "model.extra"})
    study = replace(study, trials=renamed)
    study.settings["command"] = [*COMMAND, *words]
    found = verdict("matters", study)
    assert "chance: model.extra (p" in found.sentence
    assert re.search(r"-m \+model\.extra=0\.\d+$", found.next)


def test_a_rerun_keeps_the_plus_that_its_key_was_typed_with():
    study = made_up(bowl, best_epoch=18, curve=falling(0.1))
    study.settings["command"] = [*COMMAND, "++trainer.max_epochs=20"]
    assert verdict("longer", study).next.endswith("-m ++trainer.max_epochs=40")


def test_no_sweep_is_to_be_run_as_it_was():
    study = made_up(bowl, curve=falling(0.1, noise=0.2))
    assert verdict("rising", study).next.endswith("trainer.gradient_clip_val=1.0")
    study.settings["command"] = [*COMMAND, "trainer.gradient_clip_val=1.0"]
    assert verdict("rising", study).next is None


def test_what_a_rerun_adds_stands_with_the_other_overrides():
    study = made_up(bowl, best_epoch=18, curve=falling(0.1))
    study.settings["command"] = ["/p", "app.py", "model.depth=1,2", "-m", "--config-name=b"]
    again = "python app.py model.depth=1,2 trainer.max_epochs=40 -m --config-name=b"
    assert verdict("longer", study).next == again


def test_a_choice_that_others_exist_under_is_not_to_be_fixed():
    choice = Choice("optimizer", ("adam", "sgd"))
    study = made_up(lambda lr, *_: bowl(lr), n=100, space=(LR, DROPOUT, choice))
    assert "optimizer (" in verdict("matters", study).sentence
    needs = {"optimizer.momentum": {"optimizer": ("sgd",)}}
    study = replace(study, space=Space(study.space.hyperparameters, needs))
    found = verdict("matters", study)
    assert "model.dropout" in found.sentence
    assert "optimizer (" not in found.sentence


def test_one_hyperparameter_is_not_said_to_lack_trials():
    found = verdict("matters", made_up(bowl, n=100, space=(LR,)))
    assert found.status == "unknown"
    assert "trials" not in found.sentence


def test_a_searched_seed_is_a_repetition_and_no_hyperparameter(tmp_path):
    space = {"optimizer.lr": "tag(log, interval(1e-4, 1e-1))", "seed": "range(0, 3)"}
    folder = make_sweep(tmp_path / "seeds", lambda p: p["seed"], 60, space=space, epochs=10)
    found = {v.name: v for v in judge(Evidence.of(caviar.load(folder)))}
    assert "seed" not in found["best near an edge"].sentence
    assert "for 1 hyperparameters" in found["enough trials"].sentence


def test_the_noise_of_retraining_is_told_by_a_searched_seed(tmp_path):
    space = {"model.depth": "choice(1, 2, 3)", "seed": "choice(0, 1, 2)"}
    folder = make_sweep(tmp_path / "seeds", lambda p: p["seed"], 60, space=space)
    for run in caviar.load(folder).numbers:
        held = caviar.load(folder).run(run).result
        held.seed = held.params["seed"]
        held.write(folder / f"trials/{run:04}")
    found = {v.name: v for v in judge(Evidence.of(caviar.load(folder)))}
    assert "repeated seeds" in found["top trials alike"].sentence


def test_several_objectives_are_not_said_to_be_no_complete_trials(tmp_path):
    two = ["minimize", "maximize"]
    folder = make_sweep(tmp_path / "two", lambda p: [0.1, 0.2], 60, direction=two)
    found = judge(Evidence.of(caviar.load(folder)))
    assert not any("complete" in v.sentence for v in found)
    assert any("2 objectives" in v.sentence for v in found)


def test_a_confirming_sweep_is_told_to_draw_no_more_and_to_change_nothing(tmp_path):
    space = {CANDIDATE: "choice(default, '7')", "seed": "choice(1, 2)"}
    folder = make_sweep(tmp_path / "first-confirm", lambda p: 0.5, 4, space=space)
    found = judge(Evidence.of(caviar.load(folder)))
    assert [v.next for v in found] == [None, None]
    assert "caviar confirm" in found[0].sentence


def test_a_damaged_value_is_left_out_and_the_rest_is_judged(tmp_path):
    folder = make_sweep(tmp_path / "damaged", n_trials=60)
    for number, params in enumerate([{"optimizer.lr": "oops"}, {"optimizer.momentum": 1.5}]):
        held = caviar.load(folder).run(number).result
        held.params |= params
        held.write(folder / f"trials/{number:04}")
    assert len(judge(Evidence.of(caviar.load(folder)))) == len(VERDICTS)


def test_the_command_of_a_zoom_draws_anew_and_leaves_out_what_the_old_space_was_typed_with():
    command = [*COMMAND, "optimizer.lr=interval(0,1)", "space=mlp", "data.batch_size=16"]
    held = {"command": command, "sampler": {"_target_": "caviar.RandomSampler", "seed": 3}}
    line = follow_up(held, ["space=zoom_first"], True, ["optimizer.lr", "+model.extra"])
    words = ["data.batch_size=16", "space=zoom_first", "hydra.sweeper.sampler.seed=4"]
    assert sorted(shlex.split(line)[4:]) == sorted(words)
    assert follow_up({**held, "command": ["/p", "-c", "import os"]}, ["space=a"], False) is None
    grid = {**held, "sampler": {"_target_": "caviar.sweep.samplers.GridSampler", "seed": 3}}
    assert "seed" not in follow_up(grid, ["space=zoom_first"], True)


@pytest.mark.parametrize("seed", range(4))
def test_no_two_verdicts_speak_against_each_other(seed):
    study = noisy(lambda lr, beta, *_: (lr - 0.9) ** 2 + 0.3 * (beta - 0.5) ** 2, seed=seed, n=120,
                  space=(LR, BETA, DROPOUT), curve=falling(1.0, train=apart, noise=0.02),
                  error=lambda lr, *_: LOST if lr > 0.97 else None)  # fmt: skip
    found = {v.name: v for v in judge(study)}
    lines = {line.name: line for line in zoomed(study).lines}
    for name, line in lines.items():
        fixed = f"{name}=" in (found["hyperparameters that matter"].next or "")
        assert not fixed or line.kind == "fixed"
        assert (f"{name} (expand" in found["best near an edge"].sentence) == (
            line.kind in ("moved", "widened")
        )
        # What the figure calls chance is moved nowhere.
        if importance(study, {h.name: h for h in study.space.hyperparameters}[name]).p > IDLE:
            assert line.kind not in ("moved", "widened")
    assert "model.dropout" not in (found["training and validation apart"].next or "")
    below = narrowed(study)
    if below is not None and lines["optimizer.lr"].now is not None:
        assert lines["optimizer.lr"].now.low < below.high


def test_what_is_fixed_is_fixed_where_the_model_says_and_not_at_the_winners_value():
    study = made_up(lambda lr, _: bowl(lr), n=150, space=(LR, SIZES))
    likely = zoomed(study).likely["data.batch_size"]
    other = 32 if likely == 64 else 64
    changed = replace(study, config={"data": {"batch_size": other}})
    assert verdict("batch_size", changed).next.endswith(f"data.batch_size={likely}")


def test_a_best_that_is_found_says_stop_and_one_beyond_an_end_says_zoom():
    found = verdict("what_next", noisy(bowl, seed=2, n=250, curve=falling(0.1, noise=0.02)))
    assert found.sentence.startswith("stop: more search will not be seen above the noise")
    assert found.next == "caviar confirm first"
    done = replace(noisy(bowl, seed=2, n=250, curve=falling(0.1, noise=0.02)), confirmed=True)
    assert verdict("what_next", done).next == "caviar runs best first --ckpt"
    assert verdict("what_next", noisy(lambda lr, beta: 1 - lr)).next == "caviar zoom first"
    assert judge(noisy(bowl, seed=2, n=250, curve=falling(0.1, noise=0.02)))[0].name == "what next"


def test_where_nothing_matters_the_sweep_says_stop():
    found = [
        verdict("what_next", noisy(lambda *_: 0.0, seed, n=64, curve=falling(0.1, noise=0.02)))
        for seed in range(10)
    ]
    assert sum(v.sentence.startswith("stop") for v in found) >= 8


def test_where_the_sweep_says_stop_no_other_verdict_says_to_search_on():
    study = noisy(bowl, seed=2, n=250, curve=falling(0.1, noise=0.06))
    assert verdict("region", study).next == "caviar zoom first"
    first, *rest = judge(study)
    assert first.stops
    assert {v.name for v in rest if v.status == "warn"} >= {"good region small", "top trials alike"}
    assert {v.next for v in rest} == {None, "caviar confirm first"}
    going = {v.name: v for v in judge(noisy(lambda lr, beta: 1 - lr))}
    assert going["best near an edge"].next == "caviar zoom first"


def test_what_twice_the_epochs_gain_is_what_curves_rise_and_not_the_luck_of_more_epochs():
    def curves(level):
        def curve(value, rng):
            return {"val/loss": level(np.arange(1, 41)) + 0.1 * rng.normal(size=40)}

        return curve

    flat, rising = (
        [doubled(made_up(bowl, n=64, curve=curves(level), seed=seed)) for seed in range(8)]
        for level in (np.zeros_like, lambda epochs: -np.log2(epochs))
    )
    # The best of 40 such epochs is 0.03 better than that of 20, in each curve; means differ by 0.011.
    assert np.abs(flat).max() < 0.03
    assert np.allclose(rising, 1, atol=0.1)  # a level of its own each time the epochs double


def test_where_all_trials_score_alike_the_sweep_says_stop():
    found = verdict("what_next", made_up(lambda *_: 1.0, n=20))
    assert found.sentence == "stop: all 20 trials scored 1: nothing in this space moves the score."
    assert found.next == "caviar confirm first"


def test_a_value_far_outside_the_space_counts_as_its_nearest_end(tmp_path):
    folder = make_sweep(tmp_path / "outside", n_trials=60)
    hyperparameters = caviar.load(folder).space.hyperparameters
    inside = shares(Evidence.of(caviar.load(folder)), hyperparameters)["optimizer.lr"]
    held = caviar.load(folder).run(0).result
    held.params["optimizer.lr"] = 1e30
    held.write(folder / "trials/0000")
    share, found = shares(Evidence.of(caviar.load(folder)), hyperparameters)["optimizer.lr"]
    assert found.trials == 60
    assert share == pytest.approx(inside[0], abs=0.1)
    evidence = Evidence.of(caviar.load(folder))
    assert evidence.ranked_positions(evidence.space.hyperparameters[0])[0] == 1


def test_diverged_trials_show_the_cliff():
    lost = "FloatingPointError: val/loss is nan at epoch 0"
    study = made_up(bowl, error=lambda lr, beta: lost if lr > 2 / 3 else None)
    found = verdict("diverged", study)
    assert found.status == "warn"
    failed = study.trials["state"] == "FAIL"
    cliff = study.trials.loc[failed, "optimizer.lr"].min()
    assert (
        f"{failed.sum()} of the {failed.sum()} with optimizer.lr at {cliff:.3g} or more"
        in found.sentence
    )
    narrowed = re.search(r"optimizer.lr=tag\(log, interval\(0.0001, ([0-9.]+)\)\)", found.next)
    assert narrowed
    assert float(narrowed[1]) <= cliff
    other = made_up(bowl, error=lambda lr, beta: "KeyError: 'x'" if lr > 0.5 else None)
    assert verdict("diverged", other).status == "pass"
    assert verdict("diverged", made_up(bowl, n=3)).status == "unknown"


def test_the_cliff_is_where_scores_collapse_and_not_the_last_value_that_survived():
    lost = "FloatingPointError: val/loss is nan at epoch 0"
    # Above 0.6 all is as bad as can be; most of that, but not all, ends in NaN.
    study = made_up(
        lambda lr, beta: 5 + beta if lr > 0.6 else (lr - 0.4) ** 2,
        n=200,
        error=lambda lr, beta: lost if lr > 0.6 and beta < 0.5 else None,
    )
    found = verdict("diverged", study)
    cut = re.search(r"interval\(0.0001, ([0-9.]+)\)", found.next)
    assert cut
    place = np.log10(float(cut[1]) / 1e-4) / 3
    assert 0.55 < place < 0.62


def test_pruned_and_failed_trials_are_evidence_of_what_matters():
    study = made_up(lambda lr, _: lr, n=96)
    trials = study.trials.assign(seed=0)
    # As ASHA does: the few best go on to the end.
    pruned = trials["value"] > trials["value"].quantile(0.12)
    trials.loc[pruned, "state"] = "PRUNED"
    trials.loc[trials["value"] > trials["value"].quantile(0.9), "state"] = "FAIL"
    found = shares(replace(study, trials=trials), [LR, BETA])
    assert found["optimizer.lr"][1].trials == 96
    assert found["optimizer.lr"][1].p < 0.01 < 0.1 < found["optimizer.momentum"][1].p


@pytest.mark.parametrize(
    ("epoch", "longer", "shorter"), [(18, "warn", "pass"), (9, "pass", "pass"), (0, "pass", "warn")]
)
def test_the_place_of_the_best_epoch_says_whether_to_train_longer(epoch, longer, shorter):
    study = made_up(bowl, best_epoch=epoch, curve=falling(0.1))
    assert verdict("longer", study).status == longer
    assert verdict("shorter", study).status == shorter
    if longer == "warn":
        assert verdict("longer", study).next == "python -m project.train -m trainer.max_epochs=40"


def dipping(value, rng):
    """A loss that is least in epoch 10 of 20."""
    return {"val/loss": 0.1 + (np.arange(20) - 10.0) ** 2, "train/loss": np.ones(20)}


def test_where_the_last_epoch_is_scored_curves_say_which_was_the_best():
    study = made_up(bowl, best_epoch=19, curve=dipping)
    assert verdict("longer", study).status == "warn"
    last = replace(study, config={**CONFIG, "score": "last"})
    assert verdict("longer", last).status == "pass"


def test_the_mean_of_some_epochs_is_less_a_matter_of_luck_than_one():
    study = made_up(bowl, curve=falling(0.1, noise=0.1))
    found = {
        score: verdict("late", replace(study, config={**CONFIG, "score": score}))
        for score in ("best", "last", "last9")
    }
    assert found["best"].sentence.endswith("the best epoch is partly luck.")
    assert found["last"].sentence.endswith("the last epoch is partly luck.")
    assert found["last9"].status == "pass"
    assert found["last9"].sentence.endswith("a score is the mean of 9.")


def test_without_curves_nothing_that_reads_them_judges():
    blind = made_up(bowl)
    names = ("longer", "shorter", "rising", "gap", "late", "alike")
    assert [verdict(name, blind).status for name in names] == ["unknown"] * len(names)


def test_a_training_loss_that_turns_up_is_told():
    up = falling(0.1, train=lambda epoch, val: val + 0.05 * np.maximum(epoch - 8, 0))
    assert verdict("rising", made_up(bowl, curve=up)).status == "warn"
    assert verdict("rising", made_up(bowl, curve=falling(0.1))).status == "pass"


def test_a_gap_is_a_validation_loss_over_twice_the_training_loss():
    apart = falling(1.0, train=lambda epoch, val: 0.2 * val)
    assert verdict("gap", made_up(bowl, curve=apart)).status == "warn"
    assert verdict("gap", made_up(bowl, curve=falling(1.0))).status == "pass"


def test_late_variance_is_measured_against_what_training_gained():
    assert verdict("late", made_up(bowl, curve=falling(0.1, noise=0.2))).status == "warn"
    assert verdict("late", made_up(bowl, curve=falling(0.1, noise=0.001))).status == "pass"


def test_top_trials_within_the_noise_of_late_epochs_are_alike():
    found = verdict("alike", made_up(bowl, curve=falling(0.1, noise=0.1)))
    assert (found.status, found.next) == ("warn", "caviar confirm first")
    assert "late epochs" in found.sentence
    assert verdict("alike", made_up(bowl, curve=falling(0.1, noise=1e-7))).status == "pass"


def test_repeated_seeds_are_believed_before_late_epochs():
    study = made_up(lambda lr, beta: lr, n=12, curve=falling(0.1, noise=1e-7))
    for first in range(0, 12, 2):
        study.trials.loc[first + 1, ["optimizer.lr", "optimizer.momentum"]] = study.trials.loc[
            first, ["optimizer.lr", "optimizer.momentum"]
        ]
        study.trials.loc[first + 1, "seed"] = 1
        study.trials.loc[first + 1, "value"] = study.trials.loc[first, "value"] + 1.0
    found = verdict("alike", study)
    assert found.status == "warn"
    assert "repeated seeds" in found.sentence


def test_a_batch_size_searched_for_quality_is_told_and_for_speed_is_not():
    space = (LR, Choice("data.batch_size", (32, 64)))
    found = verdict("batch_size", made_up(bowl, space=space))
    assert found.status == "warn"
    assert found.next.endswith("data.batch_size=32")
    assert verdict("batch_size", made_up(bowl, space=space, metric="seconds")).status == "pass"
    assert verdict("batch_size", made_up(bowl, space=space, metric=None)).status == "unknown"
    assert verdict("batch_size", made_up(bowl)).status == "pass"


def test_a_searched_length_is_to_be_fixed_at_its_longest():
    found = verdict("steps", made_up(bowl, space=(LR, Range("trainer.max_epochs", 5, 31, 5))))
    assert found.status == "warn"
    assert found.next.endswith("trainer.max_epochs=30")
    assert verdict("steps", made_up(bowl)).status == "pass"
    assert verdict("steps", made_up(bowl, space=())).status == "unknown"


def test_ten_trials_a_hyperparameter_are_asked_for_but_no_more_than_a_grid_has():
    found = verdict("budget", made_up(bowl, n=12))
    assert (found.status, found.next) == ("warn", "caviar resume first n_trials=20")
    assert verdict("budget", made_up(bowl, n=20)).status == "pass"
    assert (
        verdict("budget", made_up(lambda a: a, n=3, space=(Choice("a", (1, 2, 3)),))).status
        == "pass"
    )
    assert verdict("budget", made_up(bowl, n=0)).status == "unknown"


def test_a_pruned_trial_was_a_draw_too():
    evidence = made_up(bowl, n=20)
    evidence.trials.loc[8:, "state"] = "PRUNED"
    found = verdict("budget", Evidence(**{**vars(evidence), "trials": evidence.trials.copy()}))
    assert found.status == "pass"
    assert "8 complete and 12 pruned trials" in found.sentence
    assert "with 20 random draws" in found.sentence


def test_a_look_at_the_test_set_is_told():
    found = verdict("tested", made_up(bowl, tested=True))
    assert found.status == "warn"
    assert "60 of 60" in found.sentence
    assert found.next.endswith("test=false")
    assert verdict("tested", made_up(bowl, tested=False)).status == "pass"
    assert verdict("tested", made_up(bowl)).status == "unknown"


def test_no_study_is_too_odd_to_be_judged_and_warnings_come_first():
    odd = [
        made_up(bowl, n=0),
        made_up(bowl, n=1),
        made_up(bowl, error=lambda *_: "KeyError: 'x'"),
        made_up(lambda *_: float("nan")),
        made_up(lambda *_: float("inf"), curve=falling(float("nan"))),
        made_up(bowl, space=()),
    ]
    for study in odd:
        assert len(judge(study)) == len(VERDICTS)
    first, *rest = judge(made_up(bowl, n=12, tested=True))
    assert first.name == "what next"
    order = [v.status for v in rest]
    assert order == sorted(order, key=["warn", "unknown", "pass"].index)
