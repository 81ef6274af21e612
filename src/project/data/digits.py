"""Scikit-learn's digits: 1797 images of 8 x 8 pixels, ten classes; no download."""

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from caviar.lightning.in_memory.data import InMemoryData, Parts
from caviar.tables.preprocessing import Column, Preprocessing

BRIGHTEST = 16.0
"""Pixels are 0 to 16; divided by it they are 0 to 1."""
SIDE = 8


class Digits(InMemoryData):
    """The digits as vectors of 64 pixels. Arguments: see `InMemoryData`."""

    def load(self) -> Parts:
        pixels, labels = read_digits()
        names = [f"pixel_{row}_{column}" for row in range(SIDE) for column in range(SIDE)]
        columns = [Column(name, scale=BRIGHTEST) for name in names]
        preprocessing = Preprocessing(columns, classes=list(range(10)), target="digit")
        return self.divide(pixels / BRIGHTEST, labels, preprocessing)


def read_digits() -> tuple[Any, Any]:
    """Pixels ``(1797, 64)`` and classes ``(1797,)``, as `sklearn.datasets.load_digits` gives them."""
    package = find_spec("sklearn")
    file = Path(package.origin or "").parent / "datasets/data/digits.csv.gz" if package else None
    if file is None or not file.is_file():
        from sklearn.datasets import load_digits

        return load_digits(return_X_y=True)
    # From its file: to import it, and pandas with it, takes a second, the file a twentieth of that.
    with gzip.open(file, "rt") as text:
        table = np.loadtxt(text, delimiter=",")
    return table[:, :-1], table[:, -1].astype(np.int64)
