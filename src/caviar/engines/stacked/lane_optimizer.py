"""What an optimizer for many lanes at once is: each lane has its own settings and its own step count.

All work on one matrix of parameters, ``(lanes, numbers)``, so that a step is a few large operations.
What changes with the step (a learning rate, Adam's bias corrections) is worked out in advance, on the
CPU in double precision as torch does it, a row of ``columns`` a step.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
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
        kernel: updates one lane in place by torch's own, which on a CPU reads each number once. It is given
            the lane's parameters and gradients, shape ``(numbers,)``, its state, its steps with this one
            (a tensor of no dimension), its constants and its learning rate. None where torch has none.
    """

    target: ClassVar[type[torch.optim.Optimizer]]
    slots: ClassVar[tuple[str, ...]]
    constants: ClassVar[tuple[str, ...]]
    columns: ClassVar[tuple[str, ...]] = ("lr",)
    off: ClassVar[tuple[str, ...]] = ("maximize",)
    kernel: ClassVar[Callable[..., Any] | None] = None

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
        for name in {"alpha", "rho"} & all_of_them.keys():
            all_of_them["rest"] = 1 - float(all_of_them[name])
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


def add_decay(parameters: Tensor, gradients: Tensor, decay: Tensor, decayed: int) -> None:
    """Add weight decay to the gradients of the first ``decayed`` numbers, in place."""
    gradients[:, :decayed].addcmul_(parameters[:, :decayed], decay)
