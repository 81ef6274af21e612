"""Composing once: what trials start from is what Hydra would compose for them."""

from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from caviar.errors import UsageError
from caviar.sweep.compose import Composer
from project.train import CONFIGS
from tests.apps import CONFIG


def composed(folder: Path, name: str, overrides: list[str], fixed: list[str]):
    """A trial's base as the composer has it, and as Hydra composes it."""
    with initialize_config_dir(str(folder), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        master = hydra.compose_config(
            name, overrides, run_mode=RunMode.MULTIRUN, with_log_configuration=False
        )
        loader = hydra.config_loader
        return Composer(loader, master, fixed).base({}), loader.load_sweep_config(master, fixed)


@pytest.mark.parametrize(
    ("overrides", "fixed"),
    [
        ([], []),
        (["seed=3", "model.width=9"], ["seed=3", "model.width=9"]),
        (["optimizer=sgd", "seed=1,2"], ["optimizer=sgd"]),
        (["hydra.sweeper.n_trials=7", "name=s"], ["name=s"]),
    ],
)
def test_a_trials_base_is_what_hydra_would_compose(overrides: list[str], fixed: list[str]) -> None:
    ours, theirs = composed(CONFIGS, "train", overrides, fixed)
    assert OmegaConf.to_container(ours) == OmegaConf.to_container(theirs)
    assert OmegaConf.to_yaml(ours) == OmegaConf.to_yaml(theirs)
    for flag in ("struct", "readonly"):
        assert ours._get_flag(flag) == theirs._get_flag(flag)
        assert ours.hydra._get_flag(flag) == theirs.hydra._get_flag(flag)


def test_a_base_is_not_the_sweeps_own_config_to_change(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        master = hydra.compose_config(
            "config", [], run_mode=RunMode.MULTIRUN, with_log_configuration=False
        )
        Composer(hydra.config_loader, master, []).base({}).x = 9.0
        assert master.x == 0.0


def test_a_group_that_was_left_open_is_told(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "one.yaml").write_text("a: 1\n")
    (tmp_path / "config.yaml").write_text("defaults:\n  - db: ???\n  - _self_\nx: 1\n")
    with pytest.raises(UsageError, match="db"):
        composed(tmp_path, "config", [], [])
