"""caviar: sweeps that are fast, honest and easy to read.

What a task may use: `main` (the entry), `instantiate` (an allowlisted `hydra.utils.instantiate`),
`report` and `record` (what the run tells), `run_dir` (where it may write), `resume_from` (where an
earlier try of it left checkpoints), `stop_if_asked` (called where it can be gone on from),
`TrialPruned`, `TrialInterrupted`, `UsageError`; and, in a network, `Dropout`, whose masks hang on seed,
epoch and step.
What a notebook may use: `load` (a sweep as tables, its best, its study; or a run), `load_run`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caviar.app.entry import main
    from caviar.app.notebook import load, load_run
    from caviar.base.errors import UsageError, usage_error
    from caviar.base.security import instantiate
    from caviar.engines.dropout import Dropout
    from caviar.engines.experiment import (
        Called,
        EarlyStopping,
        Experiment,
        Folds,
        NotFusibleError,
        Recipe,
    )
    from caviar.runs.active import (
        TrialInterrupted,
        TrialPruned,
        record,
        report,
        resume_from,
        run_dir,
        stop_if_asked,
    )

_NAMES = {
    "caviar.app.entry": "main",
    "caviar.app.notebook": "load load_run",
    "caviar.base.errors": "UsageError usage_error",
    "caviar.base.security": "instantiate",
    "caviar.engines.dropout": "Dropout",
    "caviar.engines.experiment": "Called EarlyStopping Experiment Folds NotFusibleError Recipe",
    "caviar.runs.active": "TrialInterrupted TrialPruned record report resume_from run_dir stop_if_asked",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "Called",
    "Dropout",
    "EarlyStopping",
    "Experiment",
    "Folds",
    "NotFusibleError",
    "Recipe",
    "TrialInterrupted",
    "TrialPruned",
    "UsageError",
    "instantiate",
    "load",
    "load_run",
    "main",
    "record",
    "report",
    "resume_from",
    "run_dir",
    "stop_if_asked",
    "usage_error",
]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import caviar` costs a worker or the command line nothing.
    if name not in _HOMES:
        raise AttributeError(f"module 'caviar' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
