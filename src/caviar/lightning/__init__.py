"""Training by a Lightning Trainer: any LightningModule on any data module, as a config names them.

It knows no model, no data set and no task. A project's `train.py` calls, in this order: `over_folds`,
`make_data`, `make_module`, `experiment`, `make_each`, `fit`, `test`. What data and a module may have beside
what Lightning asks of them, and what is done without, is in `caviar.lightning.hooks`.

Empty of imports: a sweep's controller imports this package without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caviar.lightning.folds import over_folds as over_folds
    from caviar.lightning.making import experiment as experiment
    from caviar.lightning.making import make_data as make_data
    from caviar.lightning.making import make_each as make_each
    from caviar.lightning.making import make_module as make_module
    from caviar.lightning.saved import open_run as open_run
    from caviar.lightning.seeding import derived as derived
    from caviar.lightning.seeding import seeded as seeded
    from caviar.lightning.training import fit as fit
    from caviar.lightning.training import make_trainer as make_trainer
    from caviar.lightning.training import test as test

_FIRST = "caviar.lightning.importing"
IMPORTS = (_FIRST, "torch._dynamo", "caviar.lightning.training")
"""What every training imports, by Lightning or on lanes: for `caviar.main`'s ``preload``."""

_NAMES = {
    "folds": "over_folds",
    "making": "experiment make_data make_each make_module",
    "saved": "open_run",
    "seeding": "derived seeded",
    "training": "fit make_trainer test",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'caviar.lightning' has no attribute {name!r}")
    import_module(_FIRST)
    return getattr(import_module(f"caviar.lightning.{_HOMES[name]}"), name)
