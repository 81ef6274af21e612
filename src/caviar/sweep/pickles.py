"""What CMA-ES keeps in a study: pickles, looked through before Optuna loads them.

A pickle may call anything as it loads, and a study may have come from somebody else.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable
from typing import Any

from optuna.trial import FrozenTrial

from caviar.errors import UsageError

_MARK = ":optimizer:"  # in the attributes' names, as in cma:optimizer:0
_ALLOWED = {
    "cmaes": {"CMA", "CMAwM", "SepCMA"},
    "numpy": {"scalar", "_reconstruct", "dtype", "ndarray"},
}


def check_pickles(trials: Iterable[FrozenTrial]) -> None:
    """Raise UsageError where a trial keeps a pickle that is more than an optimizer's numbers."""
    for trial in trials:
        parts = {k: v for k, v in trial.system_attrs.items() if _MARK in k}
        names = sorted(parts, key=lambda name: int(name.rpartition(":")[2]))
        if not names:
            continue
        try:
            _Careful(io.BytesIO(bytes.fromhex("".join(parts[name] for name in names)))).load()
        except Exception as error:  # a pickle that is not whole raises anything
            raise UsageError(
                f"the study's trial {trial.number} keeps a pickle that is no optimizer's: {error}"
            ) from error


class _Careful(pickle.Unpickler):
    """Loads what an optimizer of the package ``cmaes`` is made of, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if name in _ALLOWED.get(module.partition(".")[0], ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it names {module}.{name}")
