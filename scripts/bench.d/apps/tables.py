"""Tables and shapes to try a sweep's advice on, some with nothing to learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Frame = Callable[[int], pd.DataFrame]
"""Gives a table for a seed; what is no draw is the same for every seed."""


def table(features: Any, target: Any) -> pd.DataFrame:
    """A table with columns x0, x1, … and y, the class."""
    frame = pd.DataFrame(np.asarray(features)).add_prefix("x")
    frame["y"] = [f"class {c}" for c in np.asarray(target)]
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
        return table(found.data, found.target)

    return load_it


def coin(samples: int, features: int, one: float = 0.5) -> Frame:
    """Classes that no feature has to do with: nothing can be learnt."""

    def toss(seed: int) -> pd.DataFrame:
        rng = np.random.default_rng([samples, features, seed])
        return table(rng.normal(size=(samples, features)), (rng.random(samples) < one).astype(int))

    return toss


TABLES: dict[str, Frame] = {
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
    "coin_wide": coin(400, 40),
    "coin_loaded": coin(400, 6, 0.8),
}
SPIRALS = ["data=synthetic", "data.shape=spirals", "data.noise=0.15", "data.samples=400"]
SMALL = ["data.val_fraction=0.3", "data.batch_size=16"]
"""Of so few rows: a score that tells settings apart, and as many steps as digits has."""


def words_of(name: str, seed: int, folder: Path) -> list[str]:
    """The overrides that choose data and their split, a table written where there is none."""
    split = f"data.split_seed={seed}"
    if name == "digits":
        return [split]
    if name == "spirals":
        return [*SPIRALS, *SMALL, f"data.data_seed={seed}", split]
    path = folder / f"{name}-{seed}.csv"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        TABLES[name](seed).to_csv(path, index=False)
    return ["data=table", f"data.path={path}", "data.target=y", *SMALL, split]
