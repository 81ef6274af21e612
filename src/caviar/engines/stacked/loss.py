"""Cross-entropy with a label smoothing and class weights a lane."""

from __future__ import annotations

import torch
from torch import Tensor


def cross_entropy(
    logits: Tensor, targets: Tensor, smoothing: Tensor | None, weights: Tensor | None
) -> Tensor:
    """The loss of each sample in nats, as `torch.nn.functional.cross_entropy` has it.

    Args:
        logits: shape ``(lanes, batch, classes)``.
        targets: shape ``(lanes, batch)``.
        smoothing: shape ``(lanes,)``; None where no lane smooths.
        weights: shape ``(lanes, classes)``; None where no lane weighs.

    Returns:
        Shape ``(lanes, batch)``.
    """
    # Classes before samples: a sum over a few classes is then a sum of long rows.
    log_p = torch.log_softmax(logits.transpose(1, 2).contiguous(), dim=1)
    if weights is not None:
        log_p = log_p * weights[:, :, None]
    loss = -log_p.gather(1, targets[:, None])[:, 0]
    if smoothing is None:
        return loss
    share = smoothing[:, None]
    return (1 - share) * loss - share / logits.shape[2] * log_p.sum(1)
