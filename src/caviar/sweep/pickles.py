"""CMA-ES without a pickle of anybody else's: what it learnt is worked out again from the trials.

Optuna keeps its optimizer in the study, pickled, and a pickle may call anything as it loads. A study
may have come from somebody else; so only what this process itself has written is loaded.
"""

from __future__ import annotations

import pickle
from hashlib import sha256
from typing import Any

import numpy as np
from optuna.samplers import CmaEsSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

_OWN: set[bytes] = set()
"""Digests of the optimizers that this process has put into a study."""

_split, _init = CmaEsSampler._split_optimizer_str, CmaEsSampler._init_optimizer


def load_no_pickle_of_others() -> None:
    """Have every CMA-ES sampler of this process restore itself by the functions below."""
    CmaEsSampler._split_optimizer_str = _noted  # type: ignore[method-assign]
    CmaEsSampler._restore_optimizer = _own  # type: ignore[method-assign]
    CmaEsSampler._init_optimizer = _from_trials  # type: ignore[method-assign]


def _noted(self: CmaEsSampler, optimizer_str: str) -> dict[str, str]:
    _OWN.add(sha256(optimizer_str.encode()).digest())
    return _split(self, optimizer_str)


def _own(self: CmaEsSampler, completed_trials: list[FrozenTrial]) -> Any:
    """The newest optimizer in the study, if this process has put it there."""
    self._known = completed_trials  # type: ignore[attr-defined]
    prefix = f"{self._attr_key_optimizer}:"
    for trial in reversed(completed_trials):
        parts = {name: part for name, part in trial.system_attrs.items() if name.startswith(prefix)}
        if parts:
            text = "".join(str(parts.get(f"{prefix}{index}")) for index in range(len(parts)))
            if sha256(text.encode()).digest() in _OWN:
                return pickle.loads(bytes.fromhex(text))
            return None
    return None


def _from_trials(self: CmaEsSampler, trans: Any, direction: StudyDirection) -> Any:
    """A new optimizer, told of each whole generation in the study: where the last one was.

    What it draws next depends on a seed that Optuna sets before every draw, not on what it drew before.
    """
    optimizer = _init(self, trans, direction)
    sign = 1 if direction == StudyDirection.MINIMIZE else -1
    try:
        while True:
            trials = self._get_solution_trials(self._known, optimizer.generation)  # type: ignore[attr-defined]
            size = optimizer.population_size
            if len(trials) < size:
                return optimizer
            points = [
                np.array(t.system_attrs["x_for_tell"], dtype=float)
                if type(optimizer).__name__ == "CMAwM"
                else trans.transform(t.params)
                for t in trials[:size]
            ]
            values = [sign * float(t.value) for t in trials[:size]]  # type: ignore[arg-type]
            optimizer.tell(list(zip(points, values, strict=True)))
    except (
        KeyError,
        ValueError,
        TypeError,
        AssertionError,
        ArithmeticError,
        np.linalg.LinAlgError,
    ):
        return _init(self, trans, direction)  # no study of this sampler's: it begins anew
