"""Made-up data of any size: round blobs, which a line can part, and spirals, which it cannot."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caviar import usage_error
from caviar.lightning.in_memory.data import InMemoryData, Parts
from caviar.tables.preprocessing import Column, Preprocessing
from project.choices import SHAPES


@dataclass(eq=False)
class Synthetic(InMemoryData):
    """Samples drawn from a seed.

    Args:
        shape: ``blobs`` (a Gaussian a class) or ``spirals`` (an arm a class, in the first two
            features; the others are noise).
        samples: number of samples, dealt to the classes in turn.
        features: length of a sample; spirals need at least 2.
        classes: number of classes.
        noise: standard deviation around a blob's centre or a spiral's arm; centres are spread with
            standard deviation 1, and a spiral's radius is 1.
        data_seed: seed of the samples.

    Further arguments: see `InMemoryData`.
    """

    shape: str = "blobs"
    samples: int = 1000
    features: int = 2
    classes: int = 3
    noise: float = 0.1
    data_seed: int = 0

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise usage_error("data.shape", self.shape, "no such shape", SHAPES)

    def key(self) -> Hashable:
        return (self.shape, self.samples, self.features, self.classes, self.noise, self.data_seed)

    def load(self) -> Parts:
        rng = np.random.default_rng(self.data_seed)
        labels = np.arange(self.samples) % self.classes
        x = self._spirals(labels, rng) if self.shape == "spirals" else self._blobs(labels, rng)
        columns = [Column(f"x{index}") for index in range(self.features)]
        return self.divide(x, labels, Preprocessing(columns, classes=list(range(self.classes))))

    def _blobs(self, labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
        centres = rng.standard_normal((self.classes, self.features))
        return centres[labels] + self.noise * rng.standard_normal((self.samples, self.features))

    def _spirals(self, labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
        # The square root spreads the samples evenly along the arm, not densely at its root.
        along = np.sqrt(rng.uniform(0.01, 1.0, self.samples))
        angle = 2 * np.pi * (1.5 * along + labels / self.classes)
        x = self.noise * rng.standard_normal((self.samples, self.features))
        x[:, 0] += along * np.cos(angle)
        x[:, 1] += along * np.sin(angle)
        return x
