"""Zoom: the optimum stays inside, the space gets smaller, and thin evidence is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from caviar import UsageError
from caviar.space.grammar import as_override, read
from caviar.space.hyperparameters import Choice, Interval, Range
from caviar.space.scales import LOG, REVERSE_LOG
from caviar.space.space import Space
from caviar.zoom.coordinates import Coordinates, position, value_at
from caviar.zoom.lines import Line
from caviar.zoom.next_space import Tried, Zoom, zoom
from caviar.zoom.scores import tempered
from caviar.zoom.surrogate import Surrogate

NUMBERS = (
    Interval("lr", 1e-5, 1e-1, LOG),
    Interval("momentum", 0.5, 0.999, REVERSE_LOG),
    Interval("shift", -2, 3),
    Interval("width", 16, 512, LOG, integer=True),
)


def draws(space: Space, count: int, rng: np.random.Generator) -> list[dict]:
    return [space.draw(lambda h: h.from_unit(rng.random())) for _ in range(count)]


def places(space: Space, values: list[dict]) -> np.ndarray:
    return np.array([[position(h, v[h.name]) for h in space.hyperparameters] for v in values])


def random_case(kind: str, rng: np.random.Generator, noise: float = 0.01, count: int = 64):
    """Trials on a random quadratic or ridge over 2 to 4 hyperparameters, and its optimum.

    A ridge runs askew through the space, and is 10 to 100 times flatter along than across.
    """
    space = Space(NUMBERS[: rng.integers(2, 5)])
    size = len(space.hyperparameters)
    best = rng.uniform(0.1, 0.9, size)
    if kind == "quadratic":
        curvature = np.diag(10 ** rng.uniform(-1, 0, size))
    else:
        turn, _ = np.linalg.qr(rng.standard_normal((size, size)))
        flat = 10 ** rng.uniform(-2, -1)
        curvature = turn @ np.diag([flat, *[1.0] * (size - 1)]) @ turn.T
    values = draws(space, count, rng)
    away = places(space, values) - best
    losses = np.einsum("ni,ij,nj->n", away, curvature, away)
    losses += noise * losses.std() * rng.standard_normal(count)
    return space, best, [Tried(v, float(loss)) for v, loss in zip(values, losses, strict=True)]


def holds(found: Zoom, space: Space, best: np.ndarray) -> bool:
    """Whether the optimum is inside; a fixed hyperparameter never holds one that matters."""
    lines = {line.name: line for line in found.lines}
    for h, place in zip(space.hyperparameters, best, strict=True):
        now = lines[h.name].now
        if now is None or not -1e-9 <= position(now, value_at(h, place)) <= 1 + 1e-9:
            return False
    return True


@pytest.mark.parametrize("kind", ["quadratic", "ridge"])
def test_the_optimum_is_inside_a_space_four_times_smaller_in_95_of_100_cases(kind: str) -> None:
    good = 0
    for seed in range(100):
        rng = np.random.default_rng([seed, 20261124])
        space, best, trials = random_case(kind, rng, noise=0.02)
        found = zoom(space, trials)
        good += holds(found, space, best) and found.volume <= 0.25
    assert good >= 95


def test_an_end_is_passed_in_spite_of_noise_and_of_other_hyperparameters() -> None:
    space = Space(NUMBERS[:3])
    for seed in range(5):
        rng = np.random.default_rng(seed)
        values = draws(space, 64, rng)
        losses = ((places(space, values) - [1.3, 0.4, 0.6]) ** 2).sum(axis=1)
        losses += 0.02 * losses.std() * rng.standard_normal(64)
        tried = [Tried(v, float(x)) for v, x in zip(values, losses, strict=True)]
        lines = {line.name: line for line in zoom(space, tried).lines}
        assert lines["lr"].kind in {"moved", "widened"}
        now = lines["lr"].now
        assert isinstance(now, Interval)
        assert position(NUMBERS[0], now.high) == pytest.approx(1.5, abs=0.01)
        assert {lines["momentum"].kind, lines["shift"].kind} == {"narrowed"}


@pytest.mark.fast
def test_each_line_reads_back_as_the_hyperparameter_it_is_of() -> None:
    space, _, trials = random_case("quadratic", np.random.default_rng(2), count=64)
    wide = Space(
        (*NUMBERS[:3], NUMBERS[3], Range("depth", 1, 5), Choice("odd", ("a b", "null", 1)))
    )
    rng = np.random.default_rng(0)
    values = draws(wide, 64, rng)
    losses = [np.log10(v["lr"] / 1e-3) ** 2 + v["depth"] + (v["odd"] == 1) for v in values]
    tried = [Tried(v, float(x)) for v, x in zip(values, losses, strict=True)]
    for found in (zoom(space, trials), zoom(wide, tried)):
        for line in found.lines:
            reading = read({line.name: line.text}, [])
            if line.now is None:
                assert reading.fixed == [as_override(line.name, line.value)]
            else:
                assert reading.hyperparameters == [line.now]


def edge_case(best: float, h: Interval | Range, seed: int = 0) -> Zoom:
    space = Space((h,))
    rng = np.random.default_rng(seed)
    values = draws(space, 24, rng)
    losses = (places(space, values)[:, 0] - best) ** 2
    return zoom(space, [Tried(v, float(x)) for v, x in zip(values, losses, strict=True)])


@pytest.mark.fast
def test_a_best_beyond_an_end_moves_the_space_there() -> None:
    for best, better in (
        (1.3, lambda now, h: now.high > h.high),
        (-0.3, lambda n, h: n.low < h.low),
    ):
        for h in (NUMBERS[0], NUMBERS[2]):
            (line,) = edge_case(best, h).lines
            assert line.kind in {"moved", "widened"}
            assert better(line.now, h)
            assert "at the end" in line.reason


def test_reverse_log_moves_towards_one_and_never_reaches_it() -> None:
    (line,) = edge_case(1.3, NUMBERS[1]).lines
    assert isinstance(line.now, Interval)
    assert 0.999 < line.now.high < 1


def test_a_natural_bound_is_not_passed() -> None:
    for h, bound in ((Interval("dropout", 0.0, 0.5), 0), (Interval("n", 1, 64, integer=True), 1)):
        (line,) = edge_case(-0.3, h).lines
        assert isinstance(line.now, Interval)
        assert line.now.low == bound
        assert line.kind == "narrowed"
        assert "by its nature" in line.reason
    (line,) = edge_case(-0.3, Range("depth", 1, 12)).lines
    assert isinstance(line.now, Range)
    assert line.now.start == 1


def test_a_range_moves_by_whole_steps() -> None:
    (line,) = edge_case(1.4, Range("depth", 2, 14, 2)).lines
    assert isinstance(line.now, Range)
    assert line.now.values[-1] > 12
    assert all(value % 2 == 0 for value in line.now.values)


def test_inside_one_sweep_no_space_leaves_the_old_one() -> None:
    space = Space(NUMBERS[:1])
    values = draws(space, 24, np.random.default_rng(0))
    losses = (places(space, values)[:, 0] - 1.3) ** 2
    trials = [Tried(v, float(x)) for v, x in zip(values, losses, strict=True)]
    (line,) = zoom(space, trials, beyond=()).lines
    assert isinstance(line.now, Interval)
    assert line.now.high == NUMBERS[0].high


MIXED = Space(
    (
        Choice("optimizer", ("adam", "sgd", "rmsprop")),
        Interval("lr", 1e-4, 1e-1, LOG),
        Interval("momentum", 0.5, 0.99, REVERSE_LOG),
        Interval("idle", 0.0, 1.0),
    ),
    {"momentum": {"optimizer": ("sgd",)}},
)


def mixed_trials(worth: dict[str, float], count: int = 60, fail: bool = False) -> list[Tried]:
    trials = []
    for values in draws(MIXED, count, np.random.default_rng(3)):
        loss = worth[values["optimizer"]] + (np.log10(values["lr"]) + 2) ** 2
        if "momentum" in values:
            loss += 3 * (np.log10(1 - values["momentum"]) + 1) ** 2
        failed = fail and values["lr"] > 0.03
        trials.append(Tried(values, None if failed else loss))
    return trials


def test_what_does_not_matter_is_fixed_where_the_scores_are_likely_best() -> None:
    trials = mixed_trials({"adam": 0, "sgd": 0, "rmsprop": 0})
    found = zoom(MIXED, trials)
    line = {line.name: line for line in found.lines}["idle"]
    idle = next(h for h in MIXED.hyperparameters if h.name == "idle")
    best = min(trials, key=lambda trial: trial.loss or 0)
    # Not the winner's value, which is luck.
    assert line.kind == "fixed"
    assert idle.holds(line.value)
    assert line.value != best.values["idle"]
    assert line.text == line.value


def test_an_option_that_is_never_best_goes_and_takes_its_children_along() -> None:
    found = zoom(MIXED, mixed_trials({"adam": 0, "sgd": 3, "rmsprop": 3}))
    lines = {line.name: line for line in found.lines}
    assert (lines["optimizer"].kind, lines["optimizer"].text) == ("fixed", "adam")
    assert "adam 100%" in lines["optimizer"].reason
    assert "momentum" not in lines
    assert found.gone == ["momentum"]
    assert found.when == {}


def test_a_condition_that_is_always_met_is_no_condition_any_more() -> None:
    found = zoom(MIXED, mixed_trials({"adam": 4, "sgd": 0, "rmsprop": 4}))
    lines = {line.name: line for line in found.lines}
    assert lines["optimizer"].text == "sgd"
    assert lines["momentum"].now is not None
    assert found.when == {}


def test_where_training_failed_the_space_does_not_go() -> None:
    found = zoom(MIXED, mixed_trials({"adam": 0, "sgd": 0, "rmsprop": 0}, fail=True))
    (line,) = [line for line in found.lines if line.name == "lr"]
    assert isinstance(line.now, Interval)
    assert line.now.high < 0.06


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        (np.arange(5.0), "5 trials are complete, and 2 hyperparameters ask for 8"),
        (np.ones(40), "all 40 trials have the same score"),
        (np.random.default_rng(0).random(40), "the others predict"),
    ],
)
def test_thin_evidence_is_refused_with_the_reason(losses: np.ndarray, words: str) -> None:
    space = Space(NUMBERS[:2])
    values = draws(space, len(losses), np.random.default_rng(1))
    trials = [Tried(v, float(x)) for v, x in zip(values, losses, strict=True)]
    with pytest.raises(UsageError, match="the evidence is too thin: ") as refusal:
        zoom(space, trials)
    assert words in str(refusal.value)


def test_a_diverged_trial_is_bad_no_matter_how_bad() -> None:
    losses = np.append(np.linspace(0, 1, 30), [1e30])
    calm = tempered(losses)
    assert np.array_equal(calm[:-1], losses[:-1])
    assert 2 < calm[-1] < 100


def test_coordinates_and_values_are_inverse() -> None:
    coordinates = Coordinates(MIXED)
    for values in draws(MIXED, 50, np.random.default_rng(0)):
        again = coordinates.values(coordinates.point(values))
        assert again.keys() == values.keys()
        for name, value in values.items():
            assert again[name] == (pytest.approx(value) if isinstance(value, float) else value)


def test_snapping_is_going_to_values_and_back() -> None:
    wide = Space((*MIXED.hyperparameters, *NUMBERS[3:], Range("depth", 1, 5)), MIXED.conditions)
    coordinates = Coordinates(wide)
    points = np.random.default_rng(0).normal(0.5, 0.7, (100, len(coordinates.groups)))
    plain = np.array([coordinates.point(coordinates.values(point)) for point in points])
    np.testing.assert_allclose(coordinates.snap(points), plain, atol=1e-12)


@pytest.mark.fast
def test_the_surrogates_gradient_is_that_of_its_cost() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((30, 4))
    fitted = Surrogate(points, (points**2).sum(1) + 0.1 * rng.standard_normal(30), [0, 1, 1, 2])
    for _ in range(3):
        theta = fitted._prior + 0.5 * rng.standard_normal(len(fitted._prior))
        slope = approx_fprime(theta, lambda t: fitted._cost(t)[0], 1e-6)
        np.testing.assert_allclose(fitted._cost(theta)[1], slope, atol=1e-3)


def test_a_choice_with_null_and_text_that_looks_like_something_else_reads_back() -> None:
    options = (None, "null", "1", 1, "a b")
    line = Line("x", "kept", "", Choice("x", options))
    assert read({"x": line.text}, []).hyperparameters == [line.now]
