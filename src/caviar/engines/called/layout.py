"""Where the parameters of lanes that are stepped together lie, and what these lanes have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from caviar.engines.experiment import NotFusibleError

Columns = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """Where the parameters that train lie in a lane's row of numbers: a group's beside each other.

    Attributes:
        places: parameter's name -> its columns and its shape.
        groups: the columns of each of the optimizer's groups.
        size: of a row.
    """

    places: dict[str, tuple[Columns, torch.Size]]
    groups: tuple[Columns, ...]
    size: int

    @classmethod
    def of(cls, names: dict[int, str], optimizer: torch.optim.Optimizer) -> Layout:
        """That of a lane whose module calls its parameters so, by their id."""
        places, groups, at = {}, [], 0
        for group in optimizer.param_groups:
            begin = at
            for parameter in group["params"]:
                if id(parameter) not in names:
                    raise NotFusibleError(
                        "its optimizer has a parameter that is no part of the module"
                    )
                if parameter.requires_grad:
                    places[names[id(parameter)]] = ((at, at + parameter.numel()), parameter.shape)
                    at += parameter.numel()
            groups.append((begin, at))
        return cls(places, tuple(groups), at)

    def views(self, rows: Tensor) -> dict[str, Tensor]:
        """Each parameter in rows of shape ``(lanes, size)``, or of one lane, ``(size,)``."""
        lead = rows.shape[:-1]
        return {
            name: rows[..., begin:end].view(*lead, *shape)
            for name, ((begin, end), shape) in self.places.items()
        }


def structure_of(optimizer: torch.optim.Optimizer) -> tuple[Any, ...]:
    """What lanes that are stepped together have in common: all but numbers."""
    return (
        type(optimizer),
        tuple(
            tuple(
                (name, value if isinstance(value, bool | str | None) else type(value).__name__)
                for name, value in group.items()
                if name
                not in ("params", "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum")
            )
            for group in optimizer.param_groups
        ),
    )
