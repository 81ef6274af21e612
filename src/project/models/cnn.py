"""A small convolutional network for square images, which shifts them at random while it trains."""

from math import isqrt

import torch
from torch import Tensor, nn

from caviar import usage_error


class CNN(nn.Module):
    """Two blocks of Conv -> BatchNorm -> ReLU -> MaxPool, a mean over what is left of the image, logits.

    Args:
        in_features: pixels of a sample, over all channels; samples may come as vectors of these.
        num_classes: logits that come out.
        in_channels: 1 of grey images, 3 of colours.
        channels: of the first block; the second has twice as many.
        dropout: the chance that a feature before the logits is set to 0 in training.
        shift: in training, each image is moved by up to so many pixels in both directions, what is left
            empty being 0; in evaluation none is. 0: no augmentation.

    Raises:
        UsageError: the pixels are no square.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        in_channels: int = 1,
        channels: int = 16,
        dropout: float = 0.0,
        shift: int = 1,
    ) -> None:
        super().__init__()
        side = isqrt(in_features // in_channels)
        if in_channels * side * side != in_features:
            why = f"{in_features} features a sample are no square images of so many channels"
            raise usage_error("model.in_channels", in_channels, why)
        self.shape = in_channels, side, side
        self.shift = shift
        self.blocks = nn.Sequential(_block(in_channels, channels), _block(channels, 2 * channels))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * channels, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape ``(batch, num_classes)`` for ``x`` of ``in_features`` values a sample."""
        images = x.reshape(len(x), *self.shape)
        if self.training and self.shift:
            images = shifted(images, self.shift)
        return self.head(self.blocks(images).mean(dim=(-2, -1)))


def _block(channels: int, out: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, kernel_size=3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2))


def shifted(images: Tensor, most: int) -> Tensor:
    """``images``, ``(batch, channels, height, width)``, each moved by -``most`` to ``most`` pixels."""
    count, channels, height, width = images.shape
    room = nn.functional.pad(images, (most, most, most, most))
    by = torch.randint(0, 2 * most + 1, (2, count, 1, 1, 1), device=images.device)
    rows = by[0] + torch.arange(height, device=images.device)[:, None]
    columns = by[1] + torch.arange(width, device=images.device)
    room = room.gather(2, rows.expand(count, channels, height, room.shape[3]))
    return room.gather(3, columns.expand(count, channels, height, width))
