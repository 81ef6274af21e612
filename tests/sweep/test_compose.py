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
from tests.apps import CONFIG, GUARD, QUADRATIC, make_app


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


@pytest.mark.parametrize("on_command_line", [False, True])
def test_a_group_on_the_apps_own_search_path_is_a_group(
    tmp_path: Path, on_command_line: bool
) -> None:
    code = QUADRATIC.replace("config.y", "config.model.w")
    search_path = f"searchpath: [file://{tmp_path}/more]"
    config = CONFIG.replace("defaults:", "defaults:\n  - model: small")
    if not on_command_line:
        config = config.replace("hydra:\n", f"hydra:\n  {search_path}\n")
    (tmp_path / "more/model").mkdir(parents=True)
    for width, name in enumerate(("small", "large")):
        (tmp_path / f"more/model/{name}.yaml").write_text(f"w: {width}\n")
    app = make_app(tmp_path / "app", code + GUARD, config)
    words = [f"hydra.{search_path.replace(': ', '=')}"] if on_command_line else []
    done = app.sweep("model=choice(small,large)", "x=choice(1.0)", *words)
    assert done.status == 0, done.out + done.err
    for result in app.results():
        assert result["value"] == {"small": 0, "large": 1}[result["params"]["model"]]
    refused = app.sweep("model=choice(small,lrge)", *words)
    assert "model=lrge: no such option of this config group; did you mean large?" in refused.err
