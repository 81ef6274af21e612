"""The learning curves that a page holds: of many trials, every few epochs, to five digits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.core.groupby import DataFrameGroupBy

from caviar.reading.metrics import read_metrics
from caviar.reading.sweep import Sweep

POINTS = 200_000
"""Numbers of learning curves that a page holds, of all metrics together: about 1.6 MB."""
_POWERS = np.array([float(f"1e{power}") for power in range(23)])
"""The powers of ten that a float is exactly."""


def curves(sweep: Sweep) -> dict[str, dict[str, Any]]:
    """metric -> trial -> values, and epochs where they are not 0, 1, 2, …; the score first.

    Of an epoch with several rows, each metric's last value. Of a trial of several folds the values are the
    mean over these, with the least and the greatest as ``low`` and ``high``.
    """
    table = sweep.metrics[sweep.metrics["epoch"].notna()].groupby(["trial", "epoch"]).last()
    folds = _folds(sweep, set(table.index.get_level_values("trial")))
    if folds is not None:
        table = pd.concat([table, folds.mean()]).sort_index()
    if not len(table):
        return {}
    logged = (name for name in table.columns if name != "step" and table[name].notna().any())
    first = [sweep.metric, "train/loss", "val/loss"]
    metrics = sorted(logged, key=lambda name: (first.index(name) if name in first else 9, name))[:8]
    step = max(1, math.ceil(len(table) * len(metrics) / POINTS))

    def of(table: pd.DataFrame, name: str) -> dict[str, Any]:
        trials = table.index.get_level_values("trial").to_numpy()
        epochs = table.index.get_level_values("epoch").to_numpy()
        return by_trial(trials, epochs, table[name].to_numpy(), step)

    found = {name: of(table, name) for name in metrics}
    for end, part in (("low", "min"), ("high", "max")) if folds is not None else ():
        ends = getattr(folds, part)()
        for name in metrics:
            for trial, held in of(ends, name).items() if name in ends else ():
                found[name][trial][end] = held["y"]
    return found


def _folds(sweep: Sweep, known: set[int]) -> DataFrameGroupBy[Any, Any] | None:
    """The rows of all folds by trial and epoch, of trials that have no rows of their own."""
    places = [
        (number, place)
        for number in sweep.numbers
        if number not in known
        for place in sorted(sweep.run(number).folder.glob("fold-[0-9]*"))
    ]
    if not places:
        return None
    table, _ = read_metrics(places)
    return table[table["epoch"].notna()].groupby(["trial", "epoch"])


def by_trial(
    trials: NDArray[Any], epochs: NDArray[Any], values: NDArray[Any], step: int
) -> dict[str, Any]:
    """trial -> its finite values, each ``step``th and the last; by numpy, as trials are many and short.

    Args:
        trials: the trial of each value, in order.
        epochs: the epoch of each value, in order in a trial.
    """

    def places() -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Where each trial begins and ends, and the place of each value in its trial."""
        starts = np.flatnonzero(np.diff(trials, prepend=trials[:1] - 1))
        ends = np.append(starts[1:], len(trials))[: len(starts)]
        return starts, ends, np.arange(len(trials)) - np.repeat(starts, ends - starts)

    there = np.isfinite(values)
    trials, epochs, values = trials[there], epochs[there], values[there]
    _, ends, place = places()
    kept = place % step == 0
    kept[ends - 1] = True
    trials, epochs, values = trials[kept], epochs[kept], values[kept]
    starts, ends, place = places()
    if not len(starts):
        return {}
    plain = np.logical_and.reduceat(epochs == place, starts)
    x, y = epochs.tolist(), rounded(values).tolist()
    return {
        str(trial): {"y": y[a:b], "x": None if in_order else [*map(int, x[a:b])]}
        for trial, a, b, in_order in zip(
            *(part.tolist() for part in (trials[starts], starts, ends, plain)), strict=True
        )
    }


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """``float(f"{value:.5g}")`` of each."""
    size = np.abs(values)
    simple = (size > 1e-15) & (size < 1e15)
    held = np.where(simple, values, 1.0)
    shift = 4 - np.floor(np.log10(np.abs(held))).astype(int)
    up, down = _POWERS[np.maximum(shift, 0)], _POWERS[np.maximum(-shift, 0)]
    scaled = held * up / down
    digits = np.rint(scaled)
    # A whole number over an exact power of ten, or times one: the nearest float, as reading text gives.
    found = digits * down / up
    # Too close to halfway between two for the product's own rounding.
    simple &= np.abs(np.abs(scaled - digits) - 0.5) > 1e-6
    for place in np.flatnonzero(~simple):
        found[place] = float(f"{values[place]:.5g}")
    return found
