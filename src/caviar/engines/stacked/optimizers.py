"""torch's optimizers for many lanes at once: each lane has its own settings and its own step count.

All work on one matrix of parameters, ``(lanes, numbers)``, so that a step is a few large operations.
What changes with the step (a learning rate, Adam's bias corrections) is worked out in advance, on the
CPU in double precision as torch does it, a row of ``columns`` a step.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from caviar.engines.experiment import NotFusibleError

Numbers = Mapping[str, Tensor]
"""By name, shape ``(lanes, 1)``."""

_IRRELEVANT = {"params", "self", "foreach", "fused", "capturable", "differentiable", "lr"}
"""Arguments of torch's classes that change how a step is computed, but not what comes out."""


@cache
def _defaults(target: type[torch.optim.Optimizer]) -> dict[str, Any]:
    parameters = inspect.signature(target.__init__).parameters
    return {name: own.default for name, own in parameters.items() if name not in _IRRELEVANT}


class LaneOptimizer(ABC):
    """One of torch's optimizers, for all lanes.

    Attributes:
        target: its class in torch.
        slots: names of its state, a matrix as large as the parameters each.
        constants: the settings that may differ between lanes; ``rest`` is what is left to 1.
        columns: what changes from step to step.
        off: settings that must have torch's default.
    """

    target: ClassVar[type[torch.optim.Optimizer]]
    slots: ClassVar[tuple[str, ...]]
    constants: ClassVar[tuple[str, ...]]
    columns: ClassVar[tuple[str, ...]] = ("lr",)
    off: ClassVar[tuple[str, ...]] = ("maximize",)

    def settings(self, given: Mapping[str, Any]) -> dict[str, float]:
        """Its constants for a lane, torch's defaults filled in.

        Raises:
            NotFusibleError: a setting that lanes do not know.
        """
        defaults = _defaults(self.target)
        all_of_them = dict(defaults)
        for name, value in given.items():
            if name in _IRRELEVANT:
                continue
            if name not in all_of_them:
                raise NotFusibleError(f"optimizer.{name}={value}")
            if name in self.off and value != defaults[name]:
                raise NotFusibleError(f"optimizer.{name}={value}")
            all_of_them[name] = value
        betas = all_of_them.pop("betas", None)
        if betas is not None:
            # As torch does it, in double: of what is left of a number near 1 a float has few digits.
            all_of_them["rest1"], all_of_them["rest2"] = (1 - float(beta) for beta in betas)
            all_of_them["beta2"] = betas[1]
        if "alpha" in all_of_them:
            all_of_them["rest"] = 1 - float(all_of_them["alpha"])
        return {name: float(all_of_them[name]) for name in self.constants}

    def steps(
        self,
        settings: Mapping[str, NDArray[np.float64]],
        lrs: NDArray[np.float64],
        done: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """The columns of some lanes' next steps, shape ``(columns, steps, lanes)``.

        Args:
            settings: the constants, by name, ``(lanes,)``.
            lrs: learning rates, ``(steps, lanes)``.
            done: steps that lie behind, ``(lanes,)``.
        """
        return lrs[None]

    @abstractmethod
    def step(
        self,
        parameters: Tensor,
        gradients: Tensor,
        state: Sequence[Tensor],
        constants: Numbers,
        columns: Sequence[Tensor],
        decayed: int,
    ) -> None:
        """Update ``parameters`` and ``state`` in place; ``gradients`` may be written over.

        Args:
            parameters, gradients: shape ``(lanes, numbers)``; so is each of ``state``.
            columns: one ``(lanes, 1)`` a column.
            decayed: weight decay acts on so many of the first numbers.
        """


def _add_decay(parameters: Tensor, gradients: Tensor, decay: Tensor, decayed: int) -> None:
    gradients[:, :decayed].addcmul_(parameters[:, :decayed], decay)


class SGD(LaneOptimizer):
    """`torch.optim.SGD`: momentum, dampening and Nesterov's variant."""

    target = torch.optim.SGD
    slots = ("momentum",)
    constants = ("momentum", "weight_decay", "nesterov")
    off = ("maximize", "dampening")

    def step(self, parameters, gradients, state, constants, columns, decayed) -> None:  # type: ignore[no-untyped-def]
        (velocity,), (lr,) = state, columns
        _add_decay(parameters, gradients, constants["weight_decay"], decayed)
        velocity.mul_(constants["momentum"]).add_(gradients)
        nesterov = constants["nesterov"]
        # Nesterov's step is g + momentum * velocity, the other velocity alone.
        ahead = torch.where(nesterov > 0, constants["momentum"], torch.ones_like(nesterov))
        update = torch.addcmul(velocity * ahead, gradients, nesterov)
        parameters.addcmul_(update, -lr)


class Adam(LaneOptimizer):
    """`torch.optim.Adam`: weight decay is added to the gradient."""

    target = torch.optim.Adam
    slots = ("mean", "square")
    constants = ("beta2", "eps", "weight_decay", "rest1", "rest2")
    columns = ("step_size", "root_correction", "shrink")
    off = ("maximize", "amsgrad", "decoupled_weight_decay")

    def steps(self, settings, lrs, done):  # type: ignore[no-untyped-def]
        count = done + np.arange(1, len(lrs) + 1)[:, None]
        return np.stack(
            [
                lrs / (1 - (1 - settings["rest1"]) ** count),
                np.sqrt(1 - settings["beta2"] ** count),
                1 - lrs * settings["weight_decay"],
            ]
        )

    def step(self, parameters, gradients, state, constants, columns, decayed) -> None:  # type: ignore[no-untyped-def]
        (mean, square), (step_size, root_correction, shrink) = state, columns
        self._decay(parameters, gradients, constants["weight_decay"], shrink, decayed)
        mean.lerp_(gradients, constants["rest1"])
        square.mul_(constants["beta2"])
        square.addcmul_(gradients * constants["rest2"], gradients)
        denominator = square.sqrt().div_(root_correction).add_(constants["eps"])
        parameters.sub_((mean * step_size).div_(denominator))

    def _decay(
        self, parameters: Tensor, gradients: Tensor, decay: Tensor, shrink: Tensor, decayed: int
    ) -> None:
        _add_decay(parameters, gradients, decay, decayed)


class AdamW(Adam):
    """`torch.optim.AdamW`: weight decay shrinks the parameters themselves (arXiv:1711.05101)."""

    target = torch.optim.AdamW
    off = ("maximize", "amsgrad")

    def _decay(
        self, parameters: Tensor, gradients: Tensor, decay: Tensor, shrink: Tensor, decayed: int
    ) -> None:
        parameters[:, :decayed].mul_(shrink)


class RMSprop(LaneOptimizer):
    """`torch.optim.RMSprop`, not centered."""

    target = torch.optim.RMSprop
    slots = ("square", "momentum")
    constants = ("alpha", "eps", "momentum", "weight_decay", "rest")
    off = ("maximize", "centered")

    def step(self, parameters, gradients, state, constants, columns, decayed) -> None:  # type: ignore[no-untyped-def]
        (square, velocity), (lr,) = state, columns
        _add_decay(parameters, gradients, constants["weight_decay"], decayed)
        square.mul_(constants["alpha"])
        square.addcmul_(gradients * constants["rest"], gradients)
        velocity.mul_(constants["momentum"]).addcdiv_(
            gradients, square.sqrt().add_(constants["eps"])
        )
        parameters.addcmul_(velocity, -lr)


OPTIMIZERS: dict[str, LaneOptimizer] = {
    f"torch.optim.{optimizer.target.__name__}": optimizer
    for optimizer in (SGD(), Adam(), AdamW(), RMSprop())
}


def optimizer_of(target: str) -> LaneOptimizer:
    """The stacked optimizer of torch's ``target``.

    Raises:
        NotFusibleError: there is none.
    """
    if target not in OPTIMIZERS:
        raise NotFusibleError(f"optimizer._target_={target}")
    return OPTIMIZERS[target]


def clip(gradients: Tensor, norm: Tensor | None, value: Tensor | None) -> None:
    """Clip each lane's gradients, in place: by their norm, or each by its size; see torch's functions.

    Args:
        gradients: shape ``(lanes, numbers)``.
        norm, value: the most, shape ``(lanes, 1)``; infinite where a lane is not clipped.
    """
    if norm is not None:
        total = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
        gradients.mul_((norm / (total + 1e-6)).clamp(max=1.0))
    if value is not None:
        gradients.clamp_(min=-value, max=value)
