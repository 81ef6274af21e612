"""torch's optimizers for many lanes at once, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caviar.engines.experiment import NotFusibleError
from caviar.engines.stacked.adaptive import Adadelta, Adagrad, NAdam, RAdam
from caviar.engines.stacked.lane_optimizer import LaneOptimizer, add_decay


class SGD(LaneOptimizer):
    """`torch.optim.SGD`: momentum, dampening and Nesterov's variant."""

    target = torch.optim.SGD
    slots = ("momentum",)
    constants = ("momentum", "weight_decay", "nesterov")
    off = ("maximize", "dampening")

    def step(self, parameters, gradients, state, constants, columns, decayed) -> None:  # type: ignore[no-untyped-def]
        (velocity,), (lr,) = state, columns
        add_decay(parameters, gradients, constants["weight_decay"], decayed)
        velocity.mul_(constants["momentum"]).add_(gradients)
        nesterov = constants["nesterov"]
        # Nesterov's step is g + momentum * velocity, the other velocity alone.
        ahead = torch.where(nesterov > 0, constants["momentum"], torch.ones_like(nesterov))
        update = torch.addcmul(velocity * ahead, gradients, nesterov)
        parameters.addcmul_(update, -lr)


def _by_adams(fused: Callable[..., Any]) -> Callable[..., None]:
    """The kernel of Adam, or of AdamW."""

    def step(
        own: Tensor, gradient: Tensor, state: Any, count: Tensor, settings: Any, lr: float
    ) -> None:
        mean, square = state
        fused(
            [own], [gradient], [mean], [square], [], [count],
            lr=lr,
            beta1=1 - settings["rest1"],
            beta2=settings["beta2"],
            eps=settings["eps"],
            weight_decay=settings["weight_decay"],
            amsgrad=False,
            maximize=False,
        )  # fmt: skip

    return step


class Adam(LaneOptimizer):
    """`torch.optim.Adam`: weight decay is added to the gradient."""

    target = torch.optim.Adam
    kernel = staticmethod(_by_adams(torch._fused_adam_))  # pyright: ignore[reportPrivateImportUsage]
    slots = ("mean", "square")
    constants = ("beta2", "eps", "weight_decay", "rest1", "rest2")
    columns = ("step_size", "root_correction", "shrink")
    off = ("maximize", "amsgrad", "decoupled_weight_decay")
    decoupled = False

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
        if self.decoupled:
            parameters[:, :decayed].mul_(shrink)
        else:
            add_decay(parameters, gradients, constants["weight_decay"], decayed)
        mean.lerp_(gradients, constants["rest1"])
        square.mul_(constants["beta2"])
        square.addcmul_(gradients * constants["rest2"], gradients)
        denominator = square.sqrt().div_(root_correction).add_(constants["eps"])
        parameters.sub_((mean * step_size).div_(denominator))


class AdamW(Adam):
    """`torch.optim.AdamW`: weight decay shrinks the parameters themselves (arXiv:1711.05101)."""

    target = torch.optim.AdamW
    kernel = staticmethod(_by_adams(torch._fused_adamw_))  # pyright: ignore[reportPrivateImportUsage]
    off = ("maximize", "amsgrad")
    decoupled = True


class RMSprop(LaneOptimizer):
    """`torch.optim.RMSprop`, not centered."""

    target = torch.optim.RMSprop
    slots = ("square", "momentum")
    constants = ("alpha", "eps", "momentum", "weight_decay", "rest")
    off = ("maximize", "centered")

    def step(self, parameters, gradients, state, constants, columns, decayed) -> None:  # type: ignore[no-untyped-def]
        (square, velocity), (lr,) = state, columns
        add_decay(parameters, gradients, constants["weight_decay"], decayed)
        square.mul_(constants["alpha"])
        square.addcmul_(gradients * constants["rest"], gradients)
        velocity.mul_(constants["momentum"]).addcdiv_(
            gradients, square.sqrt().add_(constants["eps"])
        )
        parameters.addcmul_(velocity, -lr)


OPTIMIZERS: dict[str, LaneOptimizer] = {
    f"torch.optim.{kind.target.__name__}": kind()
    for kind in (SGD, Adam, AdamW, RMSprop, NAdam, RAdam, Adagrad, Adadelta)
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
