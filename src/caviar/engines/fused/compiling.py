"""A stack's forward and backward pass as one compiled graph, where there is a compiler."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from caviar.engines.fused.native import compiler


def why_not_compiled(device: str, torch_folder: Path = Path(torch.__file__).parent) -> str | None:
    """What torch's compiler lacks for the CPU; None where nothing, or where it has its own, for a GPU."""
    if device != "cpu":
        return None
    if compiler() is None:
        return "there is no C++ compiler"
    if " " in str(torch_folder):
        # It puts its own paths into the compiler's command as they are.
        return f"torch's compiler cannot work from a folder with a space: {torch_folder}"
    return None


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, compiled for each shape that it is called with."""
    import torch._dynamo.config as dynamo
    import torch._inductor.config as inductor

    inductor.compile_threads = 1  # a worker starts no processes of its own
    dynamo.recompile_limit = 64  # one for each kind of trial, and a last batch that is not full
    return torch.compile(function, dynamic=False)
