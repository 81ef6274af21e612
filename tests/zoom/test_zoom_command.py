"""``caviar zoom`` and ``search=coarse_to_fine`` from outside, on a real sweep."""

from __future__ import annotations

import sys

import numpy as np
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from caviar.space.hyperparameters import Interval
from caviar.space.space import Space
from caviar.sweep.study import SweepStudy
from caviar.zoom.coarse_to_fine import CoarseToFineSampler
from tests import copies
from tests.apps import GUARD, make_app

BOWL = """
import hydra, math

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    return (math.log10(config.x) + 2.5) ** 2 + (config.y - 0.4) ** 2
"""

CONFIG = """
defaults:
  - _self_
  - space: first
  - override hydra/sweeper: caviar
hydra:
  sweep:
    dir: sweep
  sweeper:
    n_trials: 40
    sampler:
      seed: 1
    executor:
      workers: 1
      threads: 1
x: 0.1
y: 0.5
z: 0
"""

FIRST = """# @package hydra.sweeper
params:
  x: tag(log, interval(1e-5, 1e-1))
  y: interval(0, 1)
  z: range(0, 5)
"""


def bowl(folder):
    app = make_app(folder, BOWL + GUARD, CONFIG)
    (app.folder / "conf" / "space").mkdir()
    (app.folder / "conf" / "space" / "first.yaml").write_text(FIRST)
    return app


def caviar(app, *words):
    line = [sys.executable, "-m", "caviar.cli", *words]
    return copies.run(line, cwd=app.folder, capture_output=True, text=True, timeout=120)


def test_a_zoomed_space_is_a_config_that_the_next_sweep_searches(tmp_path):
    app = bowl(tmp_path / "app")
    assert app.sweep().status == 0
    done = caviar(app, "zoom", "sweep", "--name", "second", "--out", "conf/space")
    assert done.returncode == 0, done.stderr
    path = app.folder / "conf" / "space" / "second.yaml"
    text = path.read_text()
    assert done.stdout == text
    assert "# lineage: sweep\n" in text
    assert "# fixed: it moves the score by less than 5%" in text
    params = yaml.safe_load(text)["params"]
    assert list(params) == ["x", "y", "z"]
    assert isinstance(params["z"], int)
    (app.folder / "configs" / "space").mkdir(parents=True)
    line = [sys.executable, "-m", "caviar.cli", "zoom", app.folder / "sweep"]
    away = copies.run(line, cwd=tmp_path, capture_output=True, text=True, check=True)
    written = app.folder / "configs" / "space" / "zoom_sweep.yaml"
    assert away.stderr.startswith(
        f"written to {written}; search it with: cd {app.folder} && python "
    )
    written.unlink()
    assert text.count("  # narrowed: ") == 2

    again = caviar(app, "zoom", "sweep", "--name", "second", "--out", "conf/space")
    assert (again.returncode, path.read_text()) == (2, text)
    assert "is there already" in again.stderr

    done = app.sweep("space=second", "hydra.sweep.dir=finer")
    assert done.status == 0, done.err
    settings = app.settings("finer")
    assert settings["space"] == {name: params[name] for name in ("x", "y")}
    assert max(r["value"] for r in app.results("finer")) < 0.5
    done = caviar(app, "zoom", "finer", "--name", "third", "--out", "conf/space")
    assert "# lineage: sweep -> finer\n" in done.stdout


def test_thin_evidence_is_one_line_and_nothing_is_written(tmp_path):
    app = bowl(tmp_path / "app")
    app.sweep("hydra.sweeper.n_trials=5")
    done = caviar(app, "zoom", "sweep", "--out", "conf/space")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: zoom: the evidence is too thin: 5 trials are complete")
    assert done.stderr.count("\n") == 1
    assert len(list((app.folder / "conf" / "space").iterdir())) == 1


def test_coarse_to_fine_looks_closer_stage_by_stage_within_one_budget(tmp_path):
    app = bowl(tmp_path / "app")
    done = app.sweep("hydra/sweeper/sampler=coarse_to_fine", "hydra.sweeper.sampler.stages=3")
    assert done.status == 0, done.err
    results = app.results()
    assert len(results) == 40
    assert app.settings()["sampler"]["n_trials"] == 40
    stages = [results[:14], results[14:27], results[27:]]
    spread = [max(r["value"] for r in stage) for stage in stages]
    assert spread[0] > 3 * spread[1] > 3 * spread[2]
    assert "coarse to fine: stage 2 of 3: 1/" in done.out
    assert "coarse to fine: stage 3 of 3: 1/" in done.out
    journal = JournalStorage(JournalFileBackend(str(app.folder / "sweep" / "study.journal")))
    (study,) = journal.get_all_studies()
    trials = journal.get_all_trials(study._study_id)
    assert len({str(trial.distributions["x"]) for trial in trials}) == 1


def test_a_trial_that_is_done_again_shifts_no_stage_and_tells_nothing_by_its_failure():
    space = Space((Interval("x", 0.0, 1.0),))
    now = {}
    for interrupted in (False, True):
        sampler = CoarseToFineSampler(n_trials=24, stages=2, seed=3)
        study = SweepStudy(space, sampler, ["minimize"], "sqlite://", "s")
        if interrupted:
            asked = [study.ask() for _ in range(4)]
            for one in asked:
                study.tell_interrupted(one.number)
            study._retries = study.trials()[:4]
        drawn = []
        for _ in range(24):
            asked = study.ask()
            study.tell(asked.number, TrialState.COMPLETE, [(asked.values["x"] - 0.3) ** 2])
            drawn.append(asked.values["x"])
        now[interrupted] = drawn
        assert study.places == 24
    assert now[True][:12] == now[False][:12]
    assert np.ptp(now[True][:12]) > 0.5 > np.ptp(now[True][12:])


def test_bad_stages_are_told(tmp_path):
    app = bowl(tmp_path / "app")
    for stages in (0, 41):
        done = app.sweep(
            "hydra/sweeper/sampler=coarse_to_fine", f"hydra.sweeper.sampler.stages={stages}"
        )
        assert done.status == 2
        assert f"sampler.stages={stages}: must be 1 to n_trials=40" in done.err
        assert not (app.folder / "sweep").exists()
