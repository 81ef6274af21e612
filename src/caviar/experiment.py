"""What a project hands to an engine: everything one training needs, and nothing of how it is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule, LightningModule


@dataclass(frozen=True)
class Experiment:
    """One training, built from a config.

    Attributes:
        module: the network with its loss, metrics, optimizer and scheduler.
        data: where the batches come from.
        trainer: keyword arguments of `lightning.pytorch.Trainer` (``max_epochs``, ``precision``, …).
        metric: the logged metric that is the score (``val/acc``).
        direction: ``maximize`` or ``minimize``.
        seed: the training seed: initialisation, shuffling and dropout follow from it.
    """

    module: LightningModule
    data: LightningDataModule
    trainer: Mapping[str, Any]
    metric: str
    direction: str
    seed: int
