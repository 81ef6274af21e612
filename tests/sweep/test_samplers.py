"""Each sampler passes the same suite; and what each is there for."""

import numpy as np
import optuna
import pytest
from scipy import stats

from caviar.base.errors import UsageError
from caviar.space.grammar import read
from caviar.space.grid import combinations
from caviar.space.space import Space
from caviar.sweep.journal import Journal
from caviar.sweep.samplers import GridSampler, RandomSampler, SobolSampler
from caviar.sweep.study import SweepStudy
from caviar.zoom.coarse_to_fine import CoarseToFineSampler
from tests.apps import make_app
from tests.contracts.samplers import SamplerContract, mixed_space


class TestRandom(SamplerContract):
    placed = True

    def make(self, seed):
        return RandomSampler(seed)


class TestSobol(SamplerContract):
    placed = True

    def make(self, seed):
        return SobolSampler(seed)


class TestGrid(SamplerContract):
    placed = True

    def make(self, seed):
        return GridSampler(points=3, seed=seed)


class TestCoarseToFine(SamplerContract):
    def make(self, seed):
        return CoarseToFineSampler(n_trials=16, stages=2, seed=seed)


class TestTPE(SamplerContract):
    def make(self, seed):
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)


class TestGP(SamplerContract):
    names = ("lr", "dropout", "depth")

    def make(self, seed):
        return optuna.samplers.GPSampler(seed=seed)


class TestCmaEs(SamplerContract):
    names = ("lr", "dropout", "width")

    def make(self, seed):
        return optuna.samplers.CmaEsSampler(seed=seed)


class TestNSGAII(SamplerContract):
    def make(self, seed):
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=8)


def draws(sampler, text: str, n: int) -> list:
    space = Space.build(read({"x": text}, []).hyperparameters, {}, lambda name: None)
    sampler.bind(space)
    (x,) = space.hyperparameters
    values = []
    for place in range(n):
        sampler.place = place
        values.append(x.from_study(sampler.propose(x.study_name)))
    return values


SCALES = {
    "interval(-3, 5)": lambda x: (x + 3) / 8,
    "tag(log, interval(1e-5, 1e-1))": lambda x: (np.log10(x) + 5) / 4,
    "tag(reverse_log, interval(0.9, 0.999))": lambda x: (-np.log10(1 - x) - 1) / 2,
}


@pytest.mark.parametrize("text", SCALES)
@pytest.mark.parametrize("sampler", [RandomSampler, SobolSampler])
def test_draws_are_uniform_on_their_scale(sampler, text):
    # Kolmogorov-Smirnov; the seeds are fixed, so this either holds or it does not.
    for seed in range(3):
        on_scale = SCALES[text](np.array(draws(sampler(seed), text, 2000)))
        assert stats.kstest(on_scale, "uniform").pvalue > 0.01


def test_a_wrong_scale_would_be_noticed():
    values = np.array(draws(RandomSampler(0), "interval(1e-5, 1e-1)", 2000))
    assert stats.kstest((np.log10(values) + 5) / 4, "uniform").pvalue < 1e-6


@pytest.mark.parametrize("text", ["range(0, 5)", "choice(0,1,2,3,4)", "interval(0, 4)"])
def test_sobol_is_evener_than_random_on_choices_and_integers_too(text):
    text = f"int({text})" if text.startswith("interval") else text

    def unevenness(sampler) -> float:
        counts = np.bincount(draws(sampler, text, 64), minlength=5)
        return float(np.abs(counts - 64 / 5).max())

    sobol = [unevenness(SobolSampler(seed)) for seed in range(10)]
    random = [unevenness(RandomSampler(seed)) for seed in range(10)]
    assert max(sobol) < 2
    assert np.mean(random) > 3


def test_sobol_covers_every_pair_of_dimensions():
    space = mixed_space()
    sampler = SobolSampler(0)
    sampler.bind(space)
    cells = set()
    for place in range(64):
        sampler.place = place
        lr = np.log10(sampler.propose("lr")) + 4
        cells.add((int(lr / 3 * 4), int(sampler.propose("dropout") / 0.5 * 4)))
    assert len(cells) == 16


def test_sobol_gives_the_same_points_however_far_it_has_gone():
    text = "interval(0, 1)"
    assert draws(SobolSampler(5), text, 600)[:200] == draws(SobolSampler(5), text, 200)


def test_a_hyperparameter_added_leaves_the_random_draws_of_the_others_as_they_were():
    def values(*names):
        sampler = RandomSampler(1)
        sampler.bind(mixed_space(*names))
        return [sampler.propose("lr"), sampler.propose("dropout")]

    assert values("lr", "dropout") == values("depth", "lr", "width", "dropout")


def test_a_grid_and_random_search_can_be_given_the_same_number_of_points():
    space = mixed_space("lr", "dropout")
    assert len(combinations(space, 5)) == 25
    assert len(combinations(space, {"lr": 8, "dropout": 3})) == 24
    assert len({tuple(point.items()) for point in combinations(space, 5)}) == 25


def test_a_grid_asks_no_points_of_what_does_not_exist():
    space = mixed_space("momentum", "optimizer")
    points = combinations(space, 4)
    assert sum(point["optimizer"] == "sgd" for point in points) == 4
    assert sum(point["optimizer"] == "adam" for point in points) == 1


def test_a_grid_that_is_too_large_says_how_many_points_it_has():
    space = Space.build(
        read({"a": "range(1000000000)", "b": "choice(1,2)"}, []).hyperparameters, {}, id
    )
    with pytest.raises(UsageError, match=r"up to 2,000,000,000 points \(a: 1,000,000,000\)"):
        combinations(space)
    assert len(combinations(space, {"a": 3})) == 6


def test_a_part_of_a_grid_is_spread_over_all_of_it(tmp_path):
    space = mixed_space("lr", "dropout")
    study = SweepStudy(space, GridSampler(10), ["minimize"], Journal(tmp_path / "journal"), "study")
    lrs = {study.ask().values["lr"] for _ in range(20)}
    assert len(lrs) >= 7  # in order it would be 2


def test_points_that_cannot_be_enqueued_are_refused_before_anything_starts(tmp_path):
    app = make_app(tmp_path / "app")
    for point, words in {
        "{xx:1}": "enqueue.0=xx: not in the space; did you mean x?",
        "{x:9}": "enqueue.0.x=9: outside of interval(-5.0, 5.0)",
        "{x:a}": "enqueue.0.x=a: outside of",
    }.items():
        done = app.sweep(f"hydra.sweeper.enqueue=[{point}]")
        assert (done.status, done.err.count("\n")) == (2, 1)
        assert words in done.err
        assert not (app.folder / "sweep").exists()


def test_enqueued_points_are_tried_first_in_a_sweep(tmp_path):
    app = make_app(tmp_path / "app")
    done = app.sweep("hydra.sweeper.enqueue=[{x:1.5},{x:-2}]")
    assert done.status == 0, done.err
    assert [result["params"]["x"] for result in app.results()][:2] == [1.5, -2]
    assert len(app.results()) == 4


@pytest.mark.parametrize("sampler", ["sobol", "tpe", "gp", "cmaes", "nsgaii"])
def test_every_sampler_can_be_named_in_a_sweep_and_its_seed_is_recorded(tmp_path, sampler):
    app = make_app(tmp_path / "app")
    done = app.sweep(f"hydra/sweeper/sampler={sampler}", "y=interval(0,1)")
    assert done.status == 0, done.out + done.err
    assert done.err == ""
    assert isinstance(app.settings()["sampler"]["seed"], int)
    assert len(app.results()) == 4


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsgaii"])
def test_several_objectives_give_the_trials_that_no_other_beats(tmp_path, sampler):
    app = make_app(
        tmp_path / "app",
        """
import hydra

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    return config.x**2, (config.x - 2) ** 2

main()
""",
    )
    done = app.sweep(
        f"hydra/sweeper/sampler={sampler}",
        "hydra.sweeper.direction=[minimize,minimize]",
        "hydra.sweeper.n_trials=16",
    )
    assert done.status == 0, done.out + done.err
    front = {trial.number for trial in app.study().best_trials}
    rows = done.out.split("the Pareto front:")[1].splitlines()[4:]
    shown = {int(row.split("│")[1]) for row in rows if row.startswith("│")}
    assert shown <= front
    assert len(shown) == min(len(front), 10)


def test_a_study_that_is_there_already_is_not_taken_for_a_new_one(tmp_path):
    def opened(**settings):
        journal = Journal(tmp_path / "journal")
        return SweepStudy(
            mixed_space(), RandomSampler(0), ["minimize"], journal, "study", **settings
        )

    opened()
    with pytest.raises(UsageError, match="there is a study 'study' already"):
        opened()
    with pytest.raises(UsageError, match="there is no study 'study'"):
        SweepStudy(
            mixed_space(),
            RandomSampler(0),
            ["minimize"],
            Journal(tmp_path / "other"),
            "study",
            resume=lambda number: None,
        )
