"""A module that has a surprise in it."""

from typing import Any

import torch

from project.classifier import Classifier


class Boom(Classifier):
    """The shipped one, that fails by itself, or does what lanes cannot, in its second epoch."""

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        if self.label_smoothing == 0.3 and self.current_epoch == 1:
            raise ValueError("boom")
        if self.label_smoothing == 0.4 and self.current_epoch == 1:
            loss = loss + 0.0 * loss.item()
        return loss
