"""Copies from the host to a device, that the host does not wait for."""

from __future__ import annotations

from torch import Tensor


def sent(tensor: Tensor, device: str, there: Tensor | None = None) -> Tensor:
    """What ``tensor`` holds, on the device, where it may be: the copy may still be under way, and
    ``tensor`` be written over.

    A GPU reads pinned memory by itself. For a copy from other memory torch waits, and so until the GPU has
    done all that was launched before.

    Args:
        there: what is on the device and is to hold it; None: a new one.
    """
    if tensor.device.type == device:
        return tensor
    if there is not None:
        return there.copy_(tensor.pin_memory(), non_blocking=True)
    return tensor.pin_memory().to(device, non_blocking=True)
