"""A stack's forward and backward pass as one compiled graph, where there is a compiler."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from caviar.base.machine import cache_folder, compiler
from caviar.runs.private import private_folder


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
    ready_to_compile()
    return torch.compile(function, dynamic=False)


def ready_to_compile() -> None:
    """Have torch compile in this process alone, and keep what it compiled where nobody else may write."""
    # Its own choice is a folder below /tmp whose name anybody can foresee; once asked for, it is set.
    given = Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR", ""))
    if given.name.startswith("torchinductor_") or not given.name:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = _cache()
    import torch._dynamo.config as dynamo
    import torch._inductor.config as inductor

    inductor.compile_threads = 1  # a worker starts no processes of its own
    dynamo.recompile_limit = 64  # one for each kind of trial, and a last batch that is not full


def _cache() -> str:
    """Where torch keeps what it compiled; for this process alone where others may write to the cache."""
    try:
        return str(private_folder(cache_folder() / "inductor"))
    except OSError:
        place = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        return place
