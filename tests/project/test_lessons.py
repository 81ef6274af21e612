"""The lessons: one rule for verdicts, each lesson end to end, and what the lanes rest on."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from caviar import UsageError
from caviar.base.intervals import Estimate, t_interval
from project.lessons import caviar_panda, forward_only, norm_noise, random_beats_grid
from project.lessons.__main__ import LESSONS, main
from project.lessons.lanes import Lanes, final_losses
from project.lessons.verdict import DEPENDS, FAILS, HOLDS, verdict


def made_up(mean: float, spread: float = 1.0, count: int = 30, seed: int = 0) -> Estimate:
    return t_interval(mean + spread * np.random.default_rng(seed).standard_normal(count))


def test_the_data_decide_either_way() -> None:
    assert verdict([made_up(2.0)]) == HOLDS
    assert verdict([made_up(-2.0)]) == FAILS
    assert verdict([made_up(0.0)]) == DEPENDS
    assert verdict([made_up(2.0), made_up(3.0)]) == HOLDS
    assert verdict([made_up(-2.0), made_up(-1.0)]) == FAILS
    assert verdict([made_up(2.0), made_up(-2.0)]) == DEPENDS
    assert verdict([made_up(2.0), made_up(0.0)]) == DEPENDS


def test_an_effect_that_is_no_effect_is_rarely_taken_for_one() -> None:
    verdicts = [verdict([made_up(0.0, seed=seed)]) for seed in range(400)]
    assert 0.9 < verdicts.count(DEPENDS) / 400 < 0.99
    assert {HOLDS, FAILS} <= set(verdicts)


def about(mean: float, *shape: int, spread: float = 0.01) -> np.ndarray:
    return mean + spread * np.random.default_rng(len(shape)).standard_normal(shape or (20,))


def pair(first: float, second: float) -> dict[str, np.ndarray]:
    """Without batch norm and with it."""
    return {"none": about(first), "before": about(second)}


def noise_by(power: float) -> np.ndarray:
    return about(1.0, 20, 6) * np.array(norm_noise.BATCHES) ** power


def path_of_w(first: float, last: float) -> np.ndarray:
    return np.array([first, *np.linspace(first, last, 999), last])


W = path_of_w(float(np.float32(0.1)), 5.000001)

OUTCOMES = {
    "random_beats_grid": ((about(0.4), about(0.2)), (about(0.2), about(0.4)), 1),
    "scale": (
        ({"lr": [about(0.4), about(0.2)], "momentum": [about(0.4), about(0.2)]},),
        ({"lr": [about(0.2), about(0.4)], "momentum": [about(0.2), about(0.4)]},),
        1,
    ),
    "coarse_to_fine": (
        ({"one stage": about(0.4), "TPE": about(0.3), "coarse to fine": about(0.2)},),
        ({"one stage": about(0.2), "TPE": about(0.3), "coarse to fine": about(0.4)},),
        2,
    ),
    "caviar_panda": (
        ({2: (about(0.2), about(0.4)), 16: (about(0.1), about(0.2))},),
        ({2: (about(0.4), about(0.2)), 16: (about(0.2), about(0.1))},),
        1,
    ),
    "batch_norm": (
        (pair(3, 2), pair(40, 20), pair(1, 2)),
        (pair(2, 3), pair(20, 40), pair(2, 1)),
        3,
    ),
    "bias_before_norm": (
        (about(1e-7, 20, 2, spread=1e-8), {"after": about(0.4), "before": about(0.2)}),
        (about(1.0, 20, 2), {"after": about(0.2), "before": about(0.4)}),
        2,
    ),
    "norm_noise": (
        (noise_by(-0.5), pair(0.1, 0.2), pair(0.4, 0.2)),
        (noise_by(0.5), pair(0.2, 0.1), pair(0.2, 0.4)),
        3,
    ),
    "softmax_regression": (
        ({name: [0.0, 1e-7, 0.0] for name in ("line", "hard", "loss", "grad")},),
        ({name: [0.1, 0.11, 0.1] for name in ("line", "hard", "loss", "grad")},),
        4,
    ),
    "forward_only": ((W, W), (W + 0.01, W), 3),
}
"""Lesson -> outcomes in favour of all its claims, outcomes against them, and how many these are."""


@pytest.mark.parametrize("name", LESSONS)
def test_each_lesson_says_what_its_outcomes_say_either_way(name: str) -> None:
    judge = import_module(f"project.lessons.{name}").judge
    favour, against, claims = OUTCOMES[name]
    assert [claim.verdict for claim in judge(*favour)] == [HOLDS] * claims
    assert [claim.verdict for claim in judge(*against)] == [FAILS] * claims


def test_where_outcomes_differ_it_depends() -> None:
    (claim,) = caviar_panda.judge({2: (about(0.4), about(0.2)), 16: (about(0.1), about(0.2))})
    assert claim.verdict == DEPENDS
    (claim,) = random_beats_grid.judge(about(0.2, spread=1.0), about(0.2, 20, spread=1.0))
    assert claim.verdict == DEPENDS


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("lessons")
    line = [sys.executable, "-m", "project.lessons", "all", "repeats=2", f"out={out}"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return out, done.stdout


def test_every_lesson_leaves_a_verdict_a_number_and_a_figure(taught: tuple[Path, str]) -> None:
    out, printed = taught
    rows = printed.splitlines()
    assert rows[0] == "| claim | verdict | number | figure |"
    assert all(row.count("|") == 5 for row in rows)
    for name in LESSONS:
        claims = json.loads((out / f"{name}.json").read_text())
        assert claims
        for claim in claims:
            assert claim["verdict"] in {HOLDS, FAILS, DEPENDS}
            assert any(claim["claim"] in row and claim["number"] in row for row in rows)
            assert "nan" not in claim["number"]
        figure = (out / f"{name}.svg").read_text()
        assert "nan" not in figure
        assert len(figure) < 400_000
        assert len(list(ElementTree.fromstring(figure).iter())) > 10


def test_what_needs_no_repeats_holds(taught: tuple[Path, str]) -> None:
    for name in ("softmax_regression", "forward_only"):
        claims = json.loads((taught[0] / f"{name}.json").read_text())
        assert {claim["verdict"] for claim in claims} == {HOLDS}
    (bias, _) = json.loads((taught[0] / "bias_before_norm.json").read_text())
    assert bias["verdict"] == HOLDS


def test_a_wrong_gradient_makes_the_forward_only_lesson_fail(monkeypatch) -> None:
    right = forward_only._minimise
    count = iter(range(2))
    monkeypatch.setattr(
        forward_only,
        "_minimise",
        lambda gradient: right(
            gradient if next(count) == 0 else lambda w: torch.sign(2 * w.detach() - 10)
        ),
    )
    assert [claim.verdict for claim in forward_only.run().claims] == [HOLDS, HOLDS, FAILS]


def test_bad_words_are_told_in_one_line() -> None:
    for words, told in (
        (["scales"], "did you mean scale?"),
        ([], "name a lesson, or all"),
        (["scale", "repeats=1"], "repeats=1: must be a whole number"),
        (["scale", "repeat=5"], "did you mean repeats?"),
    ):
        with pytest.raises(UsageError, match=r".*") as error:
            main(words)
        assert told in str(error.value)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_lane_trains_as_torch_does(optimizer: str) -> None:
    lanes = Lanes(3, 0, optimizer=optimizer, lr=np.array([0.1, 0.01, 0.001]), momentum=0.8)
    weights = [param.detach()[1].clone().requires_grad_(True) for param in lanes.params]
    batches = Lanes(3, 0, optimizer=optimizer)
    made = {
        "adam": lambda: torch.optim.Adam(weights, lr=0.01, betas=(0.8, 0.999)),
        "sgd": lambda: torch.optim.SGD(weights, lr=0.01, momentum=0.8),
    }[optimizer]()
    for _ in range(8):
        index = batches._next_batch()[1]
        hidden = (lanes.x[index] @ weights[0] + weights[1]).tanh()
        loss = functional.cross_entropy(hidden @ weights[2] + weights[3], lanes.y[index])
        made.zero_grad()
        loss.backward()
        made.step()
    lanes.advance(8)
    for param, weight in zip(lanes.params, weights, strict=True):
        torch.testing.assert_close(param[1], weight, rtol=1e-4, atol=1e-5)


def test_batch_norm_in_a_lane_is_torchs() -> None:
    for norm in ("before", "after"):
        lanes = Lanes(2, 0, norm=norm)
        layer = torch.nn.BatchNorm1d(32)
        x = lanes.x[:50]
        weight, bias, _, _, last, end = (param.detach()[0] for param in lanes.params)
        inner = x @ weight + bias
        hidden = layer(inner).tanh() if norm == "before" else layer(inner.tanh())
        logits, _ = lanes.logits(x.expand(2, -1, -1), train=True)
        torch.testing.assert_close(logits[0], hidden @ last + end, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(lanes.running[0][0][0, 0], layer.running_mean)


def test_a_lane_that_diverges_harms_no_other_and_counts_as_chance() -> None:
    losses = final_losses(1, 0, lr=np.array([0.05, 1e4]), optimizer="sgd")
    alone = final_losses(1, 0, lr=np.array([0.05, 0.05]), optimizer="sgd")
    assert losses[0] == pytest.approx(alone[0])
    assert losses[1] == pytest.approx(np.log(10))


def test_a_watched_network_never_forgets_its_best_and_a_slow_one_gets_going() -> None:
    best = caviar_panda.watched(np.array([1e-4, 1e-2]), 25)
    assert (np.diff(best, axis=0) <= 0).all()
    assert (best[-1] < 0.6).all()
    alone = final_losses(25, 4, lr=np.array([1e-4, 1e-2]))
    assert best[-1, 0] < 0.5 * alone[0]


def test_a_watched_network_that_breaks_down_goes_back_to_its_best(monkeypatch) -> None:
    shown: list[np.ndarray] = []
    monkeypatch.setattr(
        caviar_panda.Lanes, "restore", lambda self, state, back: shown.append(back.copy())
    )
    losses = caviar_panda.Lanes.loss

    def broken(self, part: str = "val", worst: float = np.log(10)) -> np.ndarray:
        found = losses(self, part, worst)
        return np.where([True, False], worst if len(shown) == 3 else found, found)

    monkeypatch.setattr(caviar_panda.Lanes, "loss", broken)
    caviar_panda.watched(np.array([1e-2, 1e-2]), 5)
    assert [back.tolist() for back in shown] == [[False, False]] * 3 + [[True, False]] + [
        [False, False]
    ]
