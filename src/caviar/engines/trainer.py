"""What lanes read off the settings of a Lightning Trainer, whatever they do with a training."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import torch

from caviar.engines.experiment import NotFusibleError

PRECISIONS: dict[str, tuple[torch.dtype, bool]] = {
    "32": (torch.float32, False),
    "32-true": (torch.float32, False),
    "64": (torch.float64, False),
    "64-true": (torch.float64, False),
    "bf16-mixed": (torch.float32, True),
}
"""Lightning's name -> the parameters' type, and whether layers compute in bfloat16."""


def check_known(
    settings: Mapping[str, Any], known: Container[str], must_be: Mapping[str, tuple[Any, ...]]
) -> None:
    """Refuse settings that lanes do not carry out.

    Args:
        known: those of any value.
        must_be: name -> the values that it may have; null it may be anyway.

    Raises:
        NotFusibleError: the first other one.
    """
    for name, value in settings.items():
        if not (name in known or value is None or value in must_be.get(name, ())):
            raise NotFusibleError(f"trainer.{name}={value}")


def precision_of(settings: Mapping[str, Any]) -> tuple[torch.dtype, bool]:
    """See `PRECISIONS`.

    Raises:
        NotFusibleError: another one.
    """
    precision = str(settings.get("precision") or "32")
    if precision not in PRECISIONS:
        raise NotFusibleError(f"trainer.precision={precision}")
    return PRECISIONS[precision]


def clipping_of(settings: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """The limits of the gradient's norm and of its values; None for none."""
    limit = settings.get("gradient_clip_val") or None
    if limit is not None and limit <= 0:
        limit = None  # as Lightning has it
    by_value = settings.get("gradient_clip_algorithm") == "value"
    return (None, limit) if by_value else (limit, None)


def count_of(settings: Mapping[str, Any], name: str, default: int | None) -> int:
    """A whole number of 1 or more.

    Raises:
        NotFusibleError: anything else, or null where there is no default.
    """
    value = settings.get(name)
    value = default if value is None else value
    if not isinstance(value, int) or value < 1:
        raise NotFusibleError(f"trainer.{name}={value}")
    return value
