"""Trainings one of which ends its worker's process."""

import ctypes
from dataclasses import replace
from typing import Any

from torch import Tensor

from project import recipe as project

SEED = 2
"""That of the trial which does."""


def recipe(config: Any) -> Any:
    """The project's own recipe, but for the trial of `SEED`."""
    made: Any = project.recipe(config)
    if config["seed"] != SEED:
        return made

    def order(samples: int, seed: int, epoch: int) -> Tensor:
        if epoch == 1:
            ctypes.string_at(0)
        return made.order(samples, seed, epoch)

    return replace(made, order=order)
