"""What a cloner does first: add a model and a data set. One file and one config each are all."""

from __future__ import annotations

import json
import shutil

import yaml

from tests.setup.trees import PACKAGE, copy_tree, python_in

WIDE = '''
"""One wide layer of random features, and a linear layer that learns."""

from torch import Tensor, nn


class Wide(nn.Module):
    def __init__(self, in_features: int, num_classes: int, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_features, width), nn.Tanh(), nn.Linear(width, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
'''

WIDE_CONFIG = f"""
_target_: {PACKAGE}.models.wide.Wide
width: 64
"""

MOONS = '''
"""Two half circles that hold each other."""

from typing import Any

from sklearn.datasets import make_moons

from caviar.lightning.in_memory.data import InMemoryData, Parts
from caviar.tables.preprocessing import Column, Preprocessing


class Moons(InMemoryData):
    def __init__(self, samples: int = 400, noise: float = 0.1, **settings: Any) -> None:
        super().__init__(**settings)
        self.samples = samples
        self.noise = noise

    def load(self) -> Parts:
        x, labels = make_moons(self.samples, noise=self.noise, random_state=0)
        columns = [Column("across"), Column("up")]
        return self.divide(x, labels, Preprocessing(columns, classes=[0, 1]))
'''

MOONS_CONFIG = f"""
defaults: [_shared]

_target_: {PACKAGE}.data.moons.Moons
samples: 400
noise: 0.1
"""


def test_a_model_and_a_data_set_are_one_file_and_one_config_each(tmp_path):
    tree = copy_tree(tmp_path / "tree")
    (tree / "src" / PACKAGE / "models" / "wide.py").write_text(WIDE)
    (tree / "configs" / "model" / "wide.yaml").write_text(WIDE_CONFIG)
    (tree / "src" / PACKAGE / "data" / "moons.py").write_text(MOONS)
    (tree / "configs" / "data" / "moons.yaml").write_text(MOONS_CONFIG)

    done = python_in(
        tree,
        *("-m", f"{PACKAGE}.train", "-m", "data=moons", "model=wide", "space=none"),
        *("model.width=choice(8,16)", "data.noise=0.2", "trainer.max_epochs=1"),
        *("hydra.sweeper.baseline=false", "search=grid", "name=mine"),
    )

    assert done.returncode == 0, done.stderr
    trials = sorted((tree / "outputs" / "sweeps" / "mine" / "trials").iterdir())
    results = [json.loads((trial / "result.json").read_text()) for trial in trials]
    assert [result["state"] for result in results] == ["COMPLETE", "COMPLETE"]
    configs = [yaml.safe_load((trial / "config.yaml").read_text()) for trial in trials]
    assert sorted(config["model"]["width"] for config in configs) == [8, 16]
    assert {config["model"]["_target_"] for config in configs} == {f"{PACKAGE}.models.wide.Wide"}
    assert {config["data"]["noise"] for config in configs} == {0.2}
    assert {result["params"]["model.width"] for result in results} == {8, 16}


OURS = """# @package _global_
defaults:
  - override /data: moons
  - override /model: wide
"""

PRECISION = """
precision:
  _target_: torchmetrics.classification.MulticlassPrecision
  average: macro
"""


def test_what_a_cloner_adds_and_edits_passes_the_tests_that_are_his_with_caviars_own_deleted(
    tmp_path,
):
    tree = copy_tree(tmp_path / "tree")
    assert python_in(tree, tree / "scripts" / "rename", "pearls").returncode == 0
    for path in (tree / "tests").iterdir():
        if path.name != "pearls":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (tree / "tests" / "pearls").iterdir():
        if path.name != "starter":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    src, configs = tree / "src" / "pearls", tree / "configs"
    (src / "models" / "wide.py").write_text(WIDE)
    (src / "data" / "moons.py").write_text(MOONS.replace(f"{PACKAGE}.", "pearls."))
    (configs / "model" / "wide.yaml").write_text(WIDE_CONFIG.replace(f"{PACKAGE}.", "pearls."))
    (configs / "data" / "moons.yaml").write_text(MOONS_CONFIG.replace(f"{PACKAGE}.", "pearls."))
    (configs / "experiment" / "ours.yaml").write_text(OURS)
    with open(configs / "metrics" / "classification.yaml", "a") as file:
        file.write(PRECISION)
    train = src / "train.py"
    train.write_text(
        train.read_text().replace("    return score\n", "    print(score)\n    return score\n")
    )
    chosen = ("-q", "-p", "no:cacheprovider", "-k", "ours or default or composes")
    done = python_in(tree, "-m", "pytest", *chosen)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
    # A data set that cannot be trained on turns them red.
    (src / "data" / "moons.py").write_text(
        MOONS.replace(f"{PACKAGE}.", "pearls.").replace("make_moons(", "float('nan') * make_moons(")
    )
    chosen = ("-q", "-p", "no:cacheprovider", "-x", "-k", "ours")
    assert python_in(tree, "-m", "pytest", *chosen).returncode == 1
