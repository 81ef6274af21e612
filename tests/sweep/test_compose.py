"""Composing once: what trials start from is what Hydra would compose for them."""

from pathlib import Path

import pytest
import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from caviar.base import hydra_versions
from caviar.base.errors import UsageError
from caviar.sweep.compose import Composer
from project.train import CONFIGS
from tests.apps import CONFIG, GUARD, QUADRATIC, make_app

pytestmark = pytest.mark.fast


def composed(folder: Path, name: str, overrides: list[str], fixed: list[str]):
    """A trial's base as the composer has it, and as Hydra composes it."""
    with initialize_config_dir(str(folder), **hydra_versions.BASE):
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
    with initialize_config_dir(str(tmp_path), **hydra_versions.BASE):
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
    when = "+hydra.sweeper.when={y:{model:large}}"  # which is looked at after the options
    refused = app.sweep("model=choice(small,lrge)", "y=choice(1,2)", when, *words)
    assert "model=lrge: no such option of this config group; did you mean large?" in refused.err


def test_a_mapping_joins_the_one_that_is_there_as_hydra_does_it(tmp_path: Path) -> None:
    code = QUADRATIC.replace("(config.x - 1) ** 2 + config.y", "config.d.a + config.d.b")
    app = make_app(tmp_path / "app", code + GUARD, CONFIG + "d: {a: 1, b: 2}\n")
    words = ["d=choice({a:10},{b:20})", "x=choice(1)", "hydra/sweeper/sampler=grid"]
    done = app.sweep(*words)
    assert done.status == 0, done.out + done.err
    assert sorted(result["value"] for result in app.results()) == [12, 21]


def test_a_deletion_deletes_what_an_override_before_it_added(tmp_path: Path) -> None:
    app = make_app(tmp_path / "app")
    done = app.sweep("+d.z=9", "~d.z", "hydra.sweeper.n_trials=1")
    assert done.status == 0, done.out + done.err


STRUCTURED = """
import enum
from dataclasses import dataclass, field
import hydra
from hydra.core.config_store import ConfigStore

class Color(enum.Enum):
    RED = 1
    BLUE = 2

class Size(str, enum.Enum):
    BIG = "b"

@dataclass
class Net:
    color: Color = Color.RED
    size: Size = Size.BIG
    table: dict[int, str] = field(default_factory=lambda: {1: "a"})
    weights: dict[Color, int] = field(default_factory=lambda: {Color.RED: 1})

ConfigStore.instance().store(group="net", name="default", node=Net)

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    assert isinstance(config.net.color, Color)
    return config.x
"""


def test_enums_and_numbers_as_keys_are_written_as_hydra_writes_them(tmp_path: Path) -> None:
    config = CONFIG.replace("defaults:", "defaults:\n  - net: default")
    app = make_app(tmp_path / "app", STRUCTURED + GUARD, config)
    done = app.sweep("net.color=choice(BLUE)", "hydra.sweeper.n_trials=1")
    assert done.status == 0, done.out + done.err
    written = yaml.safe_load((app.folder / "sweep/trials/0000/config.yaml").read_text())
    net = {"color": "BLUE", "size": "BIG", "table": {1: "a"}, "weights": {"RED": 1}}
    assert written["net"] == net
