"""What fresh seeds have said of a sweep's trials: the results of its confirms, read back."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from caviar.base.configs import value_at
from caviar.base.errors import UsageError
from caviar.base.intervals import Estimate
from caviar.runs.fields import NUMBER, WHOLE, check_fields
from caviar.runs.files import read_json
from caviar.runs.folder import CONFIRMED

_ESTIMATE = {**dict.fromkeys(("mean", "low", "high"), NUMBER), "n": WHOLE}


def confirmed(folder: Path) -> dict[str, Estimate]:
    """By trial number, and for ``default``, the mean score over fresh seeds with its 95 % interval; of a
    trial that was confirmed twice the later one. Empty where nothing was confirmed, or nothing of it
    can be read.
    """
    try:
        log: Any = read_json(folder / CONFIRMED)
    except (FileNotFoundError, UsageError):
        return {}
    found: dict[str, Estimate] = {}
    for entry in log if isinstance(log, list) else []:
        estimates = value_at(entry, "result.estimates")
        for name, held in estimates.items() if isinstance(estimates, dict) else ():
            with suppress(UsageError):
                check_fields(folder / CONFIRMED, held, _ESTIMATE, set(_ESTIMATE))
                found[str(name)] = Estimate(**{key: held[key] for key in _ESTIMATE})
    return found
