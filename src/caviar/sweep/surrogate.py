"""A Gaussian process over a unit cube: what a sweep's scores say of the places it has not tried.

Rasmussen & Williams 2006, chapters 2 and 5: squared exponential kernel, one length a hyperparameter,
set by the most likely value under a broad prior.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

Array = NDArray[np.float64]

JITTER = 1e-8
MOST = 300
"""Points that a fit takes at most: time grows with their third power."""


class Surrogate:
    """Fits ``losses`` of shape ``(n,)`` at ``points`` of shape ``(n, columns)``.

    Args:
        groups: for each column, the number of the hyperparameter that it belongs to; the columns of
            one hyperparameter share a length.

    Attributes:
        lengths: shape ``(hyperparameters,)``; how far one has to go for another loss.
        noise: the share of the losses' variance that no place explains.
    """

    def __init__(self, points: Array, losses: Array, groups: list[int]) -> None:
        self.points = points
        self.groups = np.array(groups)
        self._mean, self._spread = float(losses.mean()), float(losses.std()) or 1.0
        self._y = (losses - self._mean) / self._spread
        count = int(self.groups.max()) + 1
        # A length is about half the cube's diagonal, give or take a factor of e; noise about 0.1 %.
        self._prior = np.array([*[np.log(0.5 * np.sqrt(count))] * count, 0.0, 0.0, np.log(1e-3)])
        self._width = np.array([*[1.0] * count, 1.0, 2.0, 2.5])
        starts = [self._prior, self._prior + np.array([*[-1.0] * count, 0.0, 0.0, 4.0])]
        bounds = [(np.log(0.03), np.log(30.0))] * count + [
            (-6.0, 6.0),
            (-6.0, 6.0),
            (np.log(1e-7), np.log(2.0)),
        ]
        fits = [minimize(self._cost, x0, method="L-BFGS-B", bounds=bounds) for x0 in starts]
        self._settle(min(fits, key=lambda fit: fit.fun).x)

    def mean(self, places: Array) -> Array:
        """The expected loss at ``places`` of shape ``(m, columns)``, shape ``(m,)``."""
        return self._mean + self._spread * (self._kernel(places, self.points) @ self._weights)

    def draw(self, places: Array, count: int, rng: np.random.Generator) -> Array:
        """``count`` functions that fit the losses, at ``places``; shape ``(count, m)``."""
        across = self._kernel(places, self.points)
        half = solve_triangular(self._factor[0], across.T, lower=True)
        covariance = self._kernel(places, places) - half.T @ half
        covariance[np.diag_indices_from(covariance)] += JITTER * self._scale
        # By eigenvalues: places that nearly coincide make a Cholesky factor fail.
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        functions = across @ self._weights + rng.standard_normal((count, len(places))) @ root.T
        return self._mean + self._spread * functions

    def left_out(self) -> Array:
        """What the others predict for each loss when it is left out, shape ``(n,)``."""
        inverse = cho_solve(self._factor, np.eye(len(self._y)))
        return self._mean + self._spread * (self._y - self._weights / np.diag(inverse))

    def _settle(self, theta: Array) -> None:
        self.lengths = np.exp(theta[:-3])
        self._scale, self._bowl, self.noise = (float(value) for value in np.exp(theta[-3:]))
        kernel = self._kernel(self.points, self.points)
        kernel[np.diag_indices_from(kernel)] += self.noise + JITTER
        self._factor = cho_factor(kernel, lower=True)
        self._weights = cho_solve(self._factor, self._y)

    def _cost(self, theta: Array) -> float:
        self._settle(theta)
        fit = 0.5 * self._y @ self._weights + np.log(np.diag(self._factor[0])).sum()
        return float(fit + 0.5 * (((theta - self._prior) / self._width) ** 2).sum())

    def _kernel(self, a: Array, b: Array) -> Array:
        bowl = (1 + 4 * (a - 0.5) @ (b - 0.5).T) ** 2
        a, b = a / self.lengths[self.groups], b / self.lengths[self.groups]
        square = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
        return self._scale * np.exp(-0.5 * np.maximum(square, 0.0)) + self._bowl * bowl
