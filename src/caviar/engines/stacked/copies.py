"""Copies from the host to a device, that the host does not wait for."""

from __future__ import annotations

from torch import Tensor


def sent(tensor: Tensor, device: str) -> Tensor:
    """What ``tensor`` holds, on the device, where it may be: the copy may still be under way, and
    ``tensor`` be written over.

    A GPU reads pinned memory by itself. For a copy from other memory torch waits, and so until the GPU has
    done all that was launched before.
    """
    if tensor.device.type == device:
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)
