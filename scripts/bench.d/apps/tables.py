"""Tables and shapes to try a sweep's advice on: classes and numbers, some with nothing to learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Frame = Callable[[int], pd.DataFrame]
"""Gives a table for a seed; what is no draw is the same for every seed."""


def table(features: Any, target: Any) -> pd.DataFrame:
    """A table with columns x0, x1, … and y, which is text where it names a class."""
    frame = pd.DataFrame(np.asarray(features)).add_prefix("x")
    y = np.asarray(target)
    frame["y"] = y if y.dtype.kind == "f" else [f"class {c}" for c in y]
    return frame


def made(name: str, **given: Any) -> Frame:
    """A table by one of scikit-learn's makers."""

    def make(seed: int) -> pd.DataFrame:
        from sklearn import datasets

        return table(*getattr(datasets, f"make_{name}")(random_state=seed, **given))

    return make


def known(name: str) -> Frame:
    """One of scikit-learn's small data sets."""

    def load_it(seed: int) -> pd.DataFrame:
        from sklearn import datasets

        found = getattr(datasets, f"load_{name}")()
        target = found.target.astype(float) if name == "diabetes" else found.target
        return table(found.data, target)

    return load_it


def coin(samples: int, features: int, one: float = 0.5) -> Frame:
    """Classes that no feature has to do with: nothing can be learnt."""

    def toss(seed: int) -> pd.DataFrame:
        rng = np.random.default_rng([samples, features, seed])
        return table(rng.normal(size=(samples, features)), (rng.random(samples) < one).astype(int))

    return toss


def line(samples: int, noise: float) -> Frame:
    """A number that is a straight line of the features, and noise."""

    def draw(seed: int) -> pd.DataFrame:
        rng = np.random.default_rng([samples, 7, seed])
        x = rng.normal(size=(samples, 6))
        return table(x, x @ np.arange(6.0) + noise * rng.normal(size=samples))

    return draw


CLASSES: dict[str, Frame] = {
    "wine": known("wine"),
    "breast_cancer": known("breast_cancer"),
    "clean": made("classification", n_samples=400, n_informative=6, n_classes=4),
    "few": made("classification", n_samples=200, n_informative=6, n_classes=3),
    "flipped": made("classification", n_samples=400, n_informative=6, n_classes=3, flip_y=0.2),
    "clusters": made(
        "classification", n_samples=400, n_informative=5, n_clusters_per_class=6, class_sep=0.7
    ),
    "irrelevant": made("classification", n_samples=400, n_features=60, n_informative=4),
    "moons": made("moons", n_samples=400, noise=0.25),
    "circles": made("circles", n_samples=400, noise=0.1, factor=0.7),
    "quantiles": made("gaussian_quantiles", n_samples=400, n_features=8, n_classes=4),
    "blobs": made("blobs", n_samples=400, centers=4, cluster_std=0.5),
    "coin": coin(400, 8),
    "coin_few": coin(240, 4),
    "coin_wide": coin(400, 40),
    "coin_loaded": coin(400, 6, 0.8),
}
NUMBERS: dict[str, Frame] = {
    "diabetes": known("diabetes"),
    "friedman1": made("friedman1", n_samples=400, noise=1.0),
    "friedman2": made("friedman2", n_samples=400, noise=60.0),
    "line": line(500, 4.0),
    "swiss": made("swiss_roll", n_samples=400, noise=0.4),
}
SHIPPED: dict[str, list[str]] = {
    "digits": [],
    "spirals": ["data=synthetic", "data.shape=spirals", "data.noise=0.15", "data.samples=400"],
}
SMALL = ["data.val_fraction=0.3", "data.batch_size=16"]
"""Of so few rows: a score that tells settings apart, and as many steps as digits has."""


def words_of(name: str, seed: int, folder: Path) -> list[str]:
    """The overrides that choose data and their split, a table written where there is none."""
    split = f"data.split_seed={seed}"
    if name == "digits":
        return [split]
    if name in SHIPPED:
        return [*SHIPPED[name], *SMALL, f"data.data_seed={seed}", split]
    path = folder / f"{name}-{seed}.csv"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        make = CLASSES.get(name) or NUMBERS[name]
        make(seed).to_csv(path, index=False)
    kind = ["task=regression"] if name in NUMBERS else []
    return ["data=table", f"data.path={path}", "data.target=y", *kind, *SMALL, split]
