"""A sweep's settings: the plugin's config, ``sweep.yaml`` and a resume follow from one dataclass."""

from dataclasses import fields

import pytest
from omegaconf import OmegaConf

from caviar.base.errors import UsageError
from caviar.space.grammar import read
from caviar.space.space import Space
from caviar.sweep.record import describe
from caviar.sweep.resume import recorded_settings
from caviar.sweep.settings import Settings
from hydra_plugins.caviar_sweeper import CaviarSweeperConfig

pytestmark = pytest.mark.fast

SPACE = Space(tuple(read({"x": "interval(0, 1)"}, []).hyperparameters))
GIVEN = Settings(
    metric="val/acc",
    direction="maximize",
    sampler={"_target_": "optuna.samplers.TPESampler", "seed": 3},
    pruner={"_target_": "optuna.pruners.MedianPruner"},
    enqueue=[{"x": 0.5}],
    retries=3,
    fused={"lanes": 8},
)


def described() -> dict:
    return describe(GIVEN, SPACE, 12, ["seed=1"], "study")


def test_the_plugins_config_has_every_setting_with_its_default():
    config = OmegaConf.structured(CaviarSweeperConfig)
    default = Settings()
    for field in fields(Settings):
        assert config[field.name] == getattr(default, field.name), field.name


def test_every_setting_is_on_record_but_the_params_that_the_space_holds():
    held = described()
    assert {field.name for field in fields(Settings)} - {"params"} <= held.keys()
    assert (held["retries"], held["fused"], held["n_trials"]) == (3, {"lanes": 8}, 12)
    assert held["space"] == {"x": "interval(0.0, 1.0)"}


def test_a_resume_asks_for_the_trials_that_the_sweep_would_have_asked_for():
    now = Settings(direction="minimize", metric="val/loss", retries=0, n_trials=5)
    resumed = recorded_settings(now, described())
    for name in ("metric", "direction", "sampler", "pruner", "enqueue"):
        assert getattr(resumed, name) == getattr(GIVEN, name), name
    assert (resumed.n_trials, resumed.retries) == (12, 0)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"n_trials": 0}, "n_trials=0: must be at least 1"),
        ({"n_trials": 2.5}, "n_trials=2.5: must be a whole number"),
        ({"retries": -1}, "retries=-1: must be at least 0"),
        ({"retries": True}, "retries=True: must be a number"),
        ({"max_same_failures": 0}, "max_same_failures=0: must be at least 1"),
        ({"trial_timeout": 0}, "trial_timeout=0: must be above 0"),
        ({"storage_timeout": float("inf")}, "storage_timeout=inf: must be above 0"),
        ({"fused": {"keep": -1}}, r"fused\.keep=-1: must be at least 0"),
        ({"fused": {"checkpoint_every": "x"}}, r"fused\.checkpoint_every=x: must be a number"),
        ({"history": 3}, "hydra.sweeper.history=3: must be a sweep.s name"),
        ({"history": ["a", None]}, "hydra.sweeper.history=None: must be"),
        ({"retrys": 1}, r"hydra\.sweeper\.retrys=1: no such setting.*retries"),
    ],
)
def test_a_setting_out_of_its_range_is_told(given, told):
    with pytest.raises(UsageError, match=told):
        Settings.read(given)
