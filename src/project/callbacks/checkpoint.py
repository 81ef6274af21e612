"""The best and the last state of a training, in two files."""

from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from caviar import TrialInterrupted
from caviar.objectives import first
from project.callbacks.score import better, monitored

BEST = "best.ckpt"
LAST = "last.ckpt"


class BestAndLast(Checkpoint):
    """Writes ``best.ckpt`` when the metric has improved, and ``last.ckpt`` to go on from.

    Both are Lightning checkpoints; the best has no optimizer state, which halves its cost. The last
    is written when training ends or its sweep is interrupted and, for a training that may be killed,
    whenever ``every_seconds`` have gone by, so short runs pay for it once.

    Args:
        folder: where the files go; it is made if needed.
        metric: what is watched, and ``direction``: what is better for it; of several, the first.
        every_seconds: time between two writings of ``last.ckpt`` while training goes on.
    """

    def __init__(
        self,
        folder: str,
        metric: str | Sequence[str],
        direction: str | Sequence[str],
        every_seconds: float = 60.0,
    ) -> None:
        self.folder = Path(folder)
        self.metric = first(metric)
        self.direction = first(direction)
        self.every_seconds = every_seconds
        self.best: float | None = None
        self._written = monotonic()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        value = monitored(trainer, self.metric)
        if self.best is None or better(value, self.best, self.direction):
            self.best = value
            self._write(trainer, BEST, weights_only=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if monotonic() - self._written > self.every_seconds:
            self._write(trainer, LAST)
            self._written = monotonic()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer, LAST)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        if isinstance(exception, TrialInterrupted):
            self._write(trainer, LAST)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]

    def _write(self, trainer: Trainer, name: str, weights_only: bool = False) -> None:
        # Beside its place first: a run killed while writing keeps the checkpoint it had.
        partial = self.folder / f".{name}.partial"
        trainer.save_checkpoint(partial, weights_only=weights_only)
        if trainer.is_global_zero:
            partial.replace(self.folder / name)
