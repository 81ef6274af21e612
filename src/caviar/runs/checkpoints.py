"""Reading a checkpoint that a training is to go on from; a damaged one is an error of one line."""

from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path
from typing import Any

from caviar.base.errors import UsageError
from caviar.runs.inside import open_inside


def read_checkpoint(path: Path, needed: Collection[str] = ()) -> dict[str, Any]:
    """What the checkpoint at ``path`` holds, on the CPU: tensors and plain values, never code.

    Args:
        needed: keys that it must have.

    Raises:
        UsageError: it is damaged, whatever that makes torch say, or lacks one of ``needed``; it, or the
            folder that it is in, is a link.
        OSError: it cannot be read.
    """
    import torch  # the controller imports this package, and trains nothing

    with open_inside(path, "rb") as file:
        data = file.read()
    try:
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        missing = sorted(set(needed) - set(found))
    except Exception as error:
        raise UsageError(f"{path} is damaged ({_reason(error)})") from error
    if missing:
        raise UsageError(f"{path} is damaged (it has no {missing[0]})")
    return found


def _reason(error: Exception) -> str:
    # Of torch's text the first sentence alone: further on it advises to load whatever it is.
    name, text = type(error).__name__, (str(error).splitlines() or [""])[0].partition(". ")[0]
    return f"{name}: {text}" if text else name
