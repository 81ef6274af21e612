"""A Gaussian process over a unit cube: what a sweep's scores say of the places it has not tried.

Rasmussen & Williams 2006, chapters 2 and 5: squared exponential kernel, one length a hyperparameter,
set by the most likely value under a broad prior.
"""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

Array = NDArray[np.float64]

JITTER = 1e-8
MOST_TRIALS = 300
"""Points that a fit takes at most: time grows with their third power."""


class Surrogate:
    """Fits ``losses`` of shape ``(n,)`` at ``points`` of shape ``(n, columns)``.

    Args:
        groups: for each column, the number of the hyperparameter that it belongs to; the columns of
            one hyperparameter share a length.
        noise: what is known of the losses' noise beforehand: its standard deviation, and that of its
            logarithm; None for next to nothing.

    Attributes:
        lengths: shape ``(hyperparameters,)``; how far one has to go for another loss.
        noise: the share of the losses' variance that no place explains.
    """

    def __init__(
        self,
        points: Array,
        losses: Array,
        groups: list[int],
        noise: tuple[float, float] | None = None,
    ) -> None:
        self.points = points
        self.groups = np.array(groups)
        self._mean, self._spread = float(losses.mean()), float(losses.std()) or 1.0
        self._y = (losses - self._mean) / self._spread
        count = int(self.groups.max()) + 1
        apart = (points[:, None] - points) ** 2
        self._squares = np.array([apart[..., self.groups == g].sum(2) for g in range(count)])
        self._bowls = _bowl(points, points)
        # A length is about half the cube's diagonal, give or take a factor of e; noise about 0.1 %. How
        # much is bell and how much bowl is for the scores to say.
        self._prior = np.array([*[np.log(0.5 * np.sqrt(count))] * count, 0.0, 0.0, np.log(1e-3)])
        self._width = np.array([*[1.0] * count, 2.5, 2.5, 2.5])
        if noise is not None:
            share = (noise[0] / self._spread) ** 2
            self._prior[-1] = np.log(share).clip(np.log(1e-6), np.log(1.5))
            self._width[-1] = 2 * noise[1]
        starts = [self._prior, self._prior + np.array([*[-1.0] * count, 0.0, 0.0, 4.0])]
        self._bounds = [(np.log(0.03), np.log(30.0))] * count + [
            (-9.0, 6.0),
            (-6.0, 6.0),
            (np.log(1e-7), np.log(2.0)),
        ]
        fits = [
            minimize(self._cost, x0, jac=True, method="L-BFGS-B", bounds=self._bounds)
            for x0 in starts
        ]
        self._best = min(fits, key=lambda fit: fit.fun).x
        self._settle(self._best)

    def others(self, count: int, rng: np.random.Generator) -> list[Surrogate]:
        """``count`` others with settings that are about as likely as its own (Laplace's approximation)."""
        step = 1e-4
        size = len(self._best)
        curvature = np.empty((size, size))
        for index, away in enumerate(np.eye(size) * step):
            up, down = self._cost(self._best + away)[1], self._cost(self._best - away)[1]
            curvature[index] = (up - down) / (2 * step)
        self._settle(self._best)
        # Where the fit is no bowl, the prior alone says how far its settings may be off.
        values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
        spread = vectors / np.sqrt(np.maximum(values, 1 / self._width.max() ** 2))
        found = []
        for _ in range(count):
            other = copy(self)
            theta = self._best + spread @ rng.standard_normal(size)
            other._settle(theta.clip(*np.array(self._bounds).T))
            found.append(other)
        return found

    def mean(self, places: Array) -> Array:
        """The expected loss at ``places`` of shape ``(m, columns)``, shape ``(m,)``."""
        return self._mean + self._spread * (self._kernel(places, self.points) @ self._weights)

    def luck(self, sd: float) -> tuple[Array, Array]:
        """What of each loss is noise, if the noise has the standard deviation ``sd``; the rest of what no
        place explains is then the loss's own. Mean and variance, each of shape ``(n,)``.
        """
        share = min((sd / self._spread) ** 2, self.noise + JITTER)
        means, variances = share * self._weights, share - share**2 * self._precisions
        return self._spread * means, self._spread**2 * np.maximum(variances, 0.0)

    def draw(self, places: Array, count: int, rng: np.random.Generator) -> Array:
        """``count`` functions that fit the losses, at ``places``; shape ``(count, m)``."""
        across = self._kernel(places, self.points)
        half = solve_triangular(self._factor[0], across.T, lower=True)
        covariance = self._kernel(places, places) - half.T @ half
        noise = rng.standard_normal((count, len(places)))
        functions = across @ self._weights + noise @ _root(covariance)
        return self._mean + self._spread * functions

    @property
    def noise_sd(self) -> float:
        """The standard deviation of what no place explains, in the losses' unit."""
        return self._spread * float(np.sqrt(self.noise))

    def left_out(self) -> Array:
        """What the others predict for each loss when it is left out, shape ``(n,)``."""
        return self._mean + self._spread * (self._y - self._weights / self._precisions)

    @property
    def _precisions(self) -> Array:
        """The diagonal of the covariance's inverse."""
        if self._diagonal is None:
            self._diagonal = np.diag(self._inverse()).copy()
        return self._diagonal

    def _inverse(self) -> Array:
        """The covariance's inverse, from its root."""
        # LAPACK's own, a third of the time that it takes to solve for every column.
        lower, _ = dpotri(self._factor[0], lower=1)
        lower = np.tril(lower)
        lower[np.diag_indices_from(lower)] /= 2
        return lower + lower.T

    def _settle(self, theta: Array) -> tuple[Array, Array]:
        """Take on the logarithms of all settings; the kernel's two parts at the points."""
        self.lengths = np.exp(theta[:-3])
        self._scale, self._bowl, self.noise = (float(value) for value in np.exp(theta[-3:]))
        bell = self._scale * np.exp(-0.5 * np.tensordot(self.lengths**-2, self._squares, 1))
        bowl = self._bowl * self._bowls
        kernel = bell + bowl
        kernel[np.diag_indices_from(kernel)] += self.noise + JITTER
        self._factor = cho_factor(kernel, lower=True, overwrite_a=True, check_finite=False)
        self._diagonal: Array | None = None
        self._weights = cho_solve(self._factor, self._y)
        return bell, bowl

    def _cost(self, theta: Array) -> tuple[float, Array]:
        """Minus the log of the posterior at ``theta``, and its gradient (equation 5.9 there)."""
        bell, bowl = self._settle(theta)
        fit = 0.5 * self._y @ self._weights + np.log(np.diag(self._factor[0])).sum()
        away = (theta - self._prior) / self._width
        inner = self._inverse()
        inner -= np.outer(self._weights, self._weights)
        by_length = np.tensordot(self._squares, inner * bell, 2) * self.lengths**-2
        others = [(inner * bell).sum(), (inner * bowl).sum(), self.noise * np.trace(inner)]
        gradient = 0.5 * np.append(by_length, others) + away / self._width
        return float(fit + 0.5 * (away**2).sum()), gradient

    def _kernel(self, a: Array, b: Array) -> Array:
        bowl = _bowl(a, b)
        a, b = a / self.lengths[self.groups], b / self.lengths[self.groups]
        square = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
        return self._scale * np.exp(-0.5 * np.maximum(square, 0.0)) + self._bowl * bowl


def _bowl(a: Array, b: Array) -> Array:
    """The kernel of all quadratics."""
    return (1 + 4 * (a - 0.5) @ (b - 0.5).T) ** 2


def _root(covariance: Array) -> Array:
    """``root`` with ``root.T @ root`` the covariance, but for the least jitter that it takes.

    Places that nearly coincide make it singular, and rounding may make it worse.
    """
    jitter = JITTER * float(np.diag(covariance).max())
    for _ in range(8):
        covariance[np.diag_indices_from(covariance)] += jitter
        try:
            return cholesky(covariance)
        except np.linalg.LinAlgError:
            jitter *= 10
    raise np.linalg.LinAlgError("the surrogate's covariance has no root")
