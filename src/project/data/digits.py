"""Scikit-learn's digits: 1797 images of 8 x 8 pixels, ten classes; no download."""

from typing import Any

from project.data.base import InMemoryData, Parts
from project.data.preprocessing import Column, Preprocessing

BRIGHTEST = 16.0
"""Pixels are 0 to 16; divided by it they are 0 to 1."""


class Digits(InMemoryData):
    """The digits as vectors of 64 pixels. Arguments: see `InMemoryData`."""

    def load(self) -> Parts:
        from sklearn.datasets import load_digits

        digits: Any = load_digits(as_frame=True)
        pixels = digits.data
        columns = [Column(str(name), scale=BRIGHTEST) for name in pixels.columns]
        preprocessing = Preprocessing(columns, classes=list(range(10)), target="digit")
        return self.divide(preprocessing.features(pixels), digits.target.to_numpy(), preprocessing)
