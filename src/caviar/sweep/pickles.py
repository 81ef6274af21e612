"""CMA-ES without pickles: what it has learnt is worked out from the trials, and kept in memory.

Optuna keeps its optimizer in the study, pickled, and a pickle may call anything as it loads. A study
may have come from somebody else; so none is loaded, and none is left there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.samplers import CmaEsSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from caviar.base.private import method_of, put_methods, trial_id

_init = method_of(CmaEsSampler, "_init_optimizer")
_told = method_of(CmaEsSampler, "_get_solution_trials")


def load_no_pickles() -> None:
    """Have every CMA-ES sampler of this process restore itself by the functions below."""
    put_methods(
        CmaEsSampler,
        _split_optimizer_str=_nothing,
        _restore_optimizer=_kept,
        _init_optimizer=_from_trials,
    )


def _nothing(self: CmaEsSampler, optimizer_str: str) -> dict[str, str]:
    return {}


def _kept(self: CmaEsSampler, completed_trials: list[FrozenTrial]) -> Any:
    """The optimizer of this study, where this sampler has one."""
    self._trials = completed_trials  # type: ignore[attr-defined]
    optimizer, of = getattr(self, "_optimizer", (None, None))
    return optimizer if of == _study_of(completed_trials) else None


def _from_trials(self: CmaEsSampler, trans: Any, direction: StudyDirection) -> Any:
    """A new optimizer, told of each whole generation in the study: where the last one was.

    What it draws next depends on a seed that Optuna sets before every draw, not on what it drew before.
    """
    trials: list[FrozenTrial] = self._trials  # type: ignore[attr-defined]
    optimizer = _init(self, trans, direction)
    sign = 1 if direction == StudyDirection.MINIMIZE else -1
    try:
        while len(told := _told(self, trials, optimizer.generation)) >= (
            size := optimizer.population_size
        ):
            points = [_point(optimizer, trans, trial) for trial in told[:size]]
            values = [sign * float(trial.value) for trial in told[:size]]  # type: ignore[arg-type]
            optimizer.tell(list(zip(points, values, strict=True)))
    except (LookupError, ValueError, TypeError, AssertionError, ArithmeticError):
        optimizer = _init(self, trans, direction)  # no study of such a sampler: it begins anew
    self._optimizer = optimizer, _study_of(trials)  # type: ignore[attr-defined]
    return optimizer


def _point(optimizer: Any, trans: Any, trial: FrozenTrial) -> np.ndarray:
    if type(optimizer).__name__ == "CMAwM":
        return np.array(trial.system_attrs["x_for_tell"], dtype=float)
    return trans.transform(trial.params)


def _study_of(trials: list[FrozenTrial]) -> Any:
    """What tells the trials of one study from another's."""
    return (trial_id(trials[0]), trials[0].datetime_start) if trials else None
