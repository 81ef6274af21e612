"""Tables and shapes to try a sweep's advice on: classes and numbers, some with nothing to learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Frame = Callable[[], pd.DataFrame]


def table(features: Any, target: Any) -> pd.DataFrame:
    """A table with columns x0, x1, … and y, which is text where it names a class."""
    frame = pd.DataFrame(np.asarray(features)).add_prefix("x")
    y = np.asarray(target)
    frame["y"] = y if y.dtype.kind == "f" else [f"class {c}" for c in y]
    return frame


def made(name: str, **given: Any) -> Frame:
    """A table by one of scikit-learn's makers."""

    def make() -> pd.DataFrame:
        from sklearn import datasets

        return table(*getattr(datasets, f"make_{name}")(random_state=0, **given))

    return make


def known(name: str) -> Frame:
    """One of scikit-learn's small data sets."""

    def load_it() -> pd.DataFrame:
        from sklearn import datasets

        found = getattr(datasets, f"load_{name}")()
        target = found.target.astype(float) if name == "diabetes" else found.target
        return table(found.data, target)

    return load_it


def coin(samples: int, features: int, one: float = 0.5) -> Frame:
    """Classes that no feature has to do with: nothing can be learnt, and no setting is better."""

    def toss() -> pd.DataFrame:
        rng = np.random.default_rng([samples, features])
        return table(rng.normal(size=(samples, features)), (rng.random(samples) < one).astype(int))

    return toss


def line(samples: int, noise: float) -> Frame:
    """A number that is a straight line of the features, and noise."""

    def draw() -> pd.DataFrame:
        rng = np.random.default_rng([samples, 7])
        x = rng.normal(size=(samples, 6))
        return table(x, x @ np.arange(6.0) + noise * rng.normal(size=samples))

    return draw


CLASSES: dict[str, Frame | None] = {
    "digits": None,
    "wine": known("wine"),
    "breast_cancer": known("breast_cancer"),
    "clean": made("classification", n_samples=800, n_informative=6, n_classes=4),
    "flipped": made("classification", n_samples=800, n_informative=6, n_classes=3, flip_y=0.2),
    "clusters": made(
        "classification", n_samples=900, n_informative=5, n_clusters_per_class=6, class_sep=0.7
    ),
    "irrelevant": made("classification", n_samples=600, n_features=60, n_informative=4),
    "moons": made("moons", n_samples=600, noise=0.25),
    "circles": made("circles", n_samples=600, noise=0.1, factor=0.7),
    "quantiles": made("gaussian_quantiles", n_samples=800, n_features=8, n_classes=4),
    "spirals": None,
    "coin": coin(600, 8),
    "coin_few": coin(240, 4),
    "coin_wide": coin(600, 40),
    "coin_loaded": coin(800, 6, 0.8),
}
NUMBERS: dict[str, Frame] = {
    "diabetes": known("diabetes"),
    "friedman1": made("friedman1", n_samples=600, noise=1.0),
    "friedman2": made("friedman2", n_samples=600, noise=60.0),
    "line": line(500, 4.0),
    "swiss": made("swiss_roll", n_samples=600, noise=0.4),
}
TASKS = [*CLASSES, *NUMBERS]
SHIPPED = {"digits": [], "spirals": ["data=synthetic", "data.shape=spirals", "data.noise=0.15"]}


def words_of(task: str, folder: Path) -> list[str]:
    """The overrides that choose a task, its table written where there is none."""
    if task in SHIPPED:
        return SHIPPED[task]
    path = folder / f"{task}.csv"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        make = CLASSES.get(task) or NUMBERS[task]
        make().to_csv(path, index=False)
    kind = ["task=regression"] if task in NUMBERS else []
    return ["data=table", f"data.path={path}", "data.target=y", *kind]


def sign(task: str) -> int:
    """1 where more is better: an accuracy; -1 for an error."""
    return -1 if task in NUMBERS else 1
