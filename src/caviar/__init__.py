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
    from caviar.app.entry import main as main
    from caviar.app.notebook import load as load
    from caviar.app.notebook import load_run as load_run
    from caviar.base.errors import UsageError as UsageError
    from caviar.base.errors import usage_error as usage_error
    from caviar.base.security import instantiate as instantiate
    from caviar.engines.dropout import Dropout as Dropout
    from caviar.engines.experiment import Called as Called
    from caviar.engines.experiment import EarlyStopping as EarlyStopping
    from caviar.engines.experiment import Experiment as Experiment
    from caviar.engines.experiment import Folds as Folds
    from caviar.engines.experiment import NotFusibleError as NotFusibleError
    from caviar.engines.experiment import Recipe as Recipe
    from caviar.runs.active import TrialInterrupted as TrialInterrupted
    from caviar.runs.active import TrialPruned as TrialPruned
    from caviar.runs.active import record as record
    from caviar.runs.active import report as report
    from caviar.runs.active import resume_from as resume_from
    from caviar.runs.active import run_dir as run_dir
    from caviar.runs.active import stop_if_asked as stop_if_asked

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
__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import caviar` costs a worker or the command line nothing.
    if name not in _HOMES:
        raise AttributeError(f"module 'caviar' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
