"""Whether lanes may go by a `Recipe` in its module's place: rehearsed once for each kind of training.

To load the module takes seconds, the rehearsal well under a tenth of one. So one that went well is kept
on disk, and holds while all code of the project, of caviar and of whatever else is no installed
library is what it was, and the libraries are of the same versions.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import sysconfig
from collections.abc import Hashable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from caviar.base.errors import UsageError
from caviar.base.machine import cache_folder, compiler
from caviar.engines.experiment import NotFusibleError
from caviar.engines.lanes.training import Training
from caviar.engines.native.build import SOURCE
from caviar.runs.files import read_json, write_atomic
from caviar.runs.private import private_folder, why_not_private

_VERSION = 2
"""Grows when a rehearsal looks at more: those of before are then forgotten."""

_LIBRARIES = ("torch", "lightning", "torchmetrics", "numpy", "hydra-core", "omegaconf")

_LOOKED_AT = 4096
"""Samples of a part that tell data from others."""

_OURS = str(Path(__file__).resolve().parents[2])

_verdicts: dict[Hashable, str | None] = {}


def why_distrusted(training: Training, native: bool) -> str | None:
    """What keeps lanes from going by a training's recipe; None where nothing does.

    Args:
        training: its recipe has a module that could be called in its place.
        native: the loop in C++ may step it.
    """
    recipe = training.recipe
    key = training.key, _kind_of([dict(recipe.hyper_parameters), dict(recipe.trainer)]), native
    if key not in _verdicts:
        _verdicts[key] = _tried(training, native)
    return _verdicts[key]


def _tried(training: Training, native: bool) -> str | None:
    file = cache_folder() / "rehearsals" / f"{_name(training, native)}.json"
    if _holds(file):
        return None
    from caviar.engines.lanes.rehearsal import rehearse

    try:
        rehearse(training, native)
    except NotFusibleError as error:
        return str(error)
    with suppress(OSError):  # a home that cannot be written to costs a rehearsal each time
        what = {path: _digest(path) for path in sorted(_own_code())}
        write_atomic(private_folder(file.parent) / file.name, json.dumps(what) + "\n")
    return None


def _holds(file: Path) -> bool:
    """Whether a rehearsal went well, of code that is still the same."""
    with suppress(OSError, UsageError):
        if why_not_private(file.parent) or why_not_private(file):
            return False
        held = read_json(file)
        if not isinstance(held, dict) or not _own_code() <= held.keys():
            return False
        return all(_digest(path) == digest for path, digest in held.items())
    return False


def _own_code() -> set[str]:
    """The files of all modules that are loaded, but for Python's and those of installed packages."""
    python = tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib"))
    files = {str(SOURCE)}
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None) or ""
        installed = (
            path.startswith(python) or "/site-packages/" in path or "/dist-packages/" in path
        )
        if path and (not installed or path.startswith(_OURS)):
            files.add(path)
    return set(filter(os.path.isfile, files))  # some of torch's are none


@cache
def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def _name(training: Training, native: bool) -> str:
    recipe, course = training.recipe, training.course
    what = (
        _VERSION, sys.version, platform.machine(), [version(name) for name in _LIBRARIES],
        native and compiler(), training.plan.key, training.optimizer.target, recipe.decay_all,
        course.batch_size, course.steps, recipe.drop_last, course.dtype, course.mixed,
        _kind_of(dict(recipe.hyper_parameters)), _kind_of(dict(recipe.trainer)),
        [_of_data(part) for part in (*recipe.train, *recipe.val)],
    )  # fmt: skip
    return hashlib.sha256(repr(what).encode()).hexdigest()[:24]


def _of_data(tensor: torch.Tensor) -> tuple[Any, ...]:
    some = tensor[:: max(1, len(tensor) // _LOOKED_AT)].contiguous()
    return tuple(tensor.shape), hashlib.sha256(some.numpy().tobytes()).hexdigest()


def _kind_of(value: Any) -> Hashable:
    """Settings, with whether it is 0 in the place of each number."""
    if type(value) is dict:
        return tuple((name, _kind_of(own)) for name, own in value.items())
    if type(value) in (list, tuple):
        return tuple(_kind_of(one) for one in value)
    if type(value) in (int, float):
        return type(value).__name__, value == 0
    return value if type(value) in (str, bool) else type(value).__name__
