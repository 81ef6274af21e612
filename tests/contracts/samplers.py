"""What every sampler must do: inherit this class, say how to make one, and all of it is tested."""

from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from caviar.space.grammar import read
from caviar.space.space import Space
from caviar.sweep.asking import Asked
from caviar.sweep.journal import Journal
from caviar.sweep.study import SweepStudy

PARAMS = {
    "lr": "tag(log, interval(1e-4, 1e-1))",
    "momentum": "tag(reverse_log, interval(0.5, 0.99))",
    "dropout": "interval(0, 0.5)",
    "width": "int(tag(log, interval(16, 128)))",
    "depth": "range(1, 4)",
    "optimizer": "choice(adam, sgd)",
}
WHEN = {"momentum": {"optimizer": "sgd"}}
TYPES = {
    "lr": float,
    "momentum": float,
    "dropout": float,
    "width": int,
    "depth": int,
    "optimizer": str,
}


def mixed_space(*names: str) -> Space:
    """A space with every kind of hyperparameter, or with those named alone."""
    params = {name: PARAMS[name] for name in names or PARAMS}
    when = WHEN if {"momentum", "optimizer"} <= set(params) else {}
    return Space.build(read(params, []).hyperparameters, when, lambda name: None)


def score(values: dict) -> float:
    """Something smooth to minimise."""
    return abs(values.get("lr", 0) - 0.01) + values.get("dropout", 0) + values.get("depth", 0)


class SamplerContract:
    """The suite.

    Attributes:
        names: the hyperparameters that it can search; none for all.
        placed: whether its proposals hang on the order of asking alone.
    """

    names: tuple[str, ...] = ()
    placed = False

    def make(self, seed: int) -> BaseSampler:
        """A fresh sampler."""
        raise NotImplementedError

    @pytest.fixture
    def study(self, tmp_path: Path) -> Callable[..., SweepStudy]:
        count = iter(range(99))

        def made(seed: int = 0, **settings) -> SweepStudy:
            journal = Journal(tmp_path / f"{next(count)}.journal")
            space = mixed_space(*self.names)
            return SweepStudy(space, self.make(seed), ["minimize"], journal, "study", **settings)

        return made

    def test_values_are_of_their_kind_and_inside_the_space(self, study):
        space = mixed_space(*self.names)
        for asked in ask_and_tell(study(), 24):
            space.check(asked.values, "point")
            assert {n: type(v) for n, v in asked.values.items()} == {
                n: TYPES[n] for n in asked.values
            }

    def test_a_hyperparameter_is_there_when_its_condition_holds_and_only_then(self, study):
        for asked in ask_and_tell(study(), 16):
            wanted = {h.name for h in mixed_space(*self.names).hyperparameters}
            if asked.values.get("optimizer") != "sgd" and "optimizer" in wanted:
                wanted -= {"momentum"}
            assert set(asked.values) == wanted

    def test_the_same_seed_gives_the_same_trials_and_another_others(self, study):
        first, again, other = (
            [asked.values for asked in ask_and_tell(study(seed), 14)] for seed in (3, 3, 4)
        )
        assert first == again
        assert first != other

    def test_no_two_trials_are_the_same(self, study):
        values = [tuple(asked.values.items()) for asked in ask_and_tell(study(), 16)]
        assert len(set(values)) == 16

    def test_the_order_of_finishing_changes_nothing(self, study):
        if not self.placed:
            pytest.skip("it learns from what has finished")
        lanes_1 = [asked.values for asked in ask_and_tell(study(), 16)]
        many = study()
        lanes_16 = [many.ask() for _ in range(16)]
        assert [asked.values for asked in lanes_16] == lanes_1

    def test_enqueued_points_come_first_and_then_what_would_have_come_anyway(self, study):
        points = [{"lr": 0.01, "dropout": 0.25}, {"lr": 0.02}]
        points = [{k: v for k, v in p.items() if not self.names or k in self.names} for p in points]
        asked = ask_and_tell(study(enqueue=points), 6)
        for point, got in zip(points, asked, strict=False):
            assert point.items() <= got.values.items()
        if self.placed:
            plain = ask_and_tell(study(), 4)
            assert [a.values for a in asked[2:]] == [a.values for a in plain]

    def test_a_resumed_study_repeats_no_trial(self, tmp_path):
        journal = tmp_path / "resumed.journal"
        space = mixed_space(*self.names)

        def opened(resume, seed: int) -> SweepStudy:
            sampler = self.make(0 if self.placed else seed)
            return SweepStudy(
                space, sampler, ["minimize"], Journal(journal), "study", resume=resume
            )

        before = ask_and_tell(opened(None, 0), 8)
        resumed = opened(lambda number: None, 1)
        assert resumed.places == 8
        after = ask_and_tell(resumed, 8)
        assert [asked.number for asked in after] == list(range(8, 16))
        values = [tuple(asked.values.items()) for asked in before + after]
        assert len(set(values)) == 16


def ask_and_tell(study: SweepStudy, n: int) -> list[Asked]:
    """``n`` trials, one after the other."""
    trials = []
    for _ in range(n):
        asked = study.ask()
        study.tell(asked.number, TrialState.COMPLETE, [score(asked.values)])
        trials.append(asked)
    return trials
