"""The progress bar, where somebody is watching."""

import sys
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import RichProgressBarTheme

from caviar.lightning.callbacks.score import Score
from caviar.runs.active import active_run


class ProgressBar(RichProgressBar):
    """A rich progress bar for a single run in a terminal; not `wanted` in a sweep, a log file or a pipe.

    Beside what the module logs for it stand the last epoch's loss and score.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"theme": RichProgressBarTheme(metrics_format=".4g"), **kwargs})
        self._known: dict[str, float] = {}

    @property
    def wanted(self) -> bool:
        """Whether somebody is watching."""
        run = active_run()
        in_sweep = run is not None and run.listener is not None
        return sys.stdout.isatty() and not in_sweep

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        items = super().get_metrics(trainer, pl_module)
        items.pop("v_num", None)  # of a logger's own numbering, which a run here has not
        return {**self._known, **items}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Once an epoch: what has been logged is summed up anew whenever somebody asks.
        logged = trainer.callback_metrics
        losses = sorted(name for name in logged if name.endswith("loss"))
        scores = [one.metrics[0] for one in trainer.callbacks if isinstance(one, Score)]  # type: ignore[attr-defined]
        names = dict.fromkeys([*losses[:1], *scores])  # the training's, where there are two
        self._known = {name: float(logged[name]) for name in names if name in logged}
        super().on_train_epoch_end(trainer, pl_module)
