"""The engine serves trials on lanes that call their module as solo does: the same folders and events."""

from typing import Any

import pytest

import project.recipe
from caviar.base.messages import Finished, Job, Reported, Said
from caviar.engines.lanes import calibration
from caviar.engines.lanes.engine import Fused
from caviar.engines.solo import Solo
from project.recipe import recipe
from project.train import main
from tests.engines.test_engine import Jobs, Memory, jobs  # noqa: F401 - a fixture

DOUBLE = "trainer.precision=64-true"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_CALLED_LANES", (4,))


@pytest.fixture
def by_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The template's own training, as where its files are not as they ship."""
    monkeypatch.setattr(
        project.recipe, "changed", lambda package, around=False: None if around else "a file"
    )


def served(given: list[Job], **options: Any) -> Memory:
    inbox = Memory(given)
    Fused(main, recipe, **{"lanes": 8, "keep": None, **options}).serve(inbox, inbox.send)
    return inbox


def rates(count: int) -> list[dict[str, Any]]:
    return [
        {"optimizer.lr": 0.003 * (n + 1), "seed": n, "trainer.max_epochs": 3 + n % 2}
        for n in range(count)
    ]


def test_the_templates_own_training_is_called_as_solo_runs_it(
    jobs: Jobs,  # noqa: F811
    by_its_code: None,
) -> None:
    over = (DOUBLE, "metrics=classification", "scheduler=cosine", "model.loss.label_smoothing=0.1")
    lanes = served(jobs(rates(5), *over))
    alone = Memory(jobs(rates(5), *over, to="alone"))
    Solo(main).serve(alone, alone.send)
    assert not lanes.of(Said)
    mine, its = (sorted(one.of(Finished), key=lambda e: e.number) for one in (lanes, alone))
    for found, wanted in zip(mine, its, strict=True):
        assert found.values == pytest.approx(wanted.values, rel=1e-5)
        assert found.facts["engine"] == "fused"
        assert found.facts["best_epoch"] == wanted.facts["best_epoch"]
        assert found.facts["metrics"] == pytest.approx(wanted.facts["metrics"], rel=1e-5)
    reports = [sorted((e.number, e.step) for e in one.of(Reported)) for one in (lanes, alone)]
    assert reports[0] == reports[1]
