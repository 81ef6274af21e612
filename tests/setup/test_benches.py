"""What the benchmarks measure by is what the product does."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from tests.engines.lanes import TINY, by_solo, composed
from tests.setup.trees import ROOT


@pytest.fixture
def truth(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "scripts/bench.d/apps")])
    import truth

    return truth


def test_what_the_study_of_advice_judges_a_config_by_is_the_score_that_a_trainer_gives_it(
    truth: Any, tmp_path: Path
) -> None:
    def config(*overrides: str) -> Any:
        return OmegaConf.to_container(composed(tmp_path, *TINY, *overrides), resolve=True)

    diverging = config("optimizer.lr=1e30", "model.hidden=[9]")
    found = truth.scores([config(), diverging, config("seed=3", "optimizer.lr=0.1")])
    wanted = [by_solo(*TINY).score, by_solo(*TINY, "seed=3", "optimizer.lr=0.1").score]
    assert found[[0, 2]] == pytest.approx(wanted)
    assert wanted[0] != wanted[1]
    assert np.isnan(found[1])
