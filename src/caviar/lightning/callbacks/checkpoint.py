"""The state of a training that its score is of, and the last one, in two files."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, WeightAveraging

from caviar.base.objectives import first
from caviar.base.scoring import BEST, Scoring
from caviar.lightning.callbacks.score import in_any_process, monitored
from caviar.runs.active import TrialInterrupted
from caviar.runs.folder import BEST_CHECKPOINT
from caviar.runs.inside import make_folders, partial_of

LAST = "last.ckpt"


@contextmanager
def validated_weights(trainer: Trainer, module: LightningModule) -> Generator[None]:
    """In the block a module has the weights that were validated: of a `WeightAveraging`, the average.

    It has put the others back by the end of a validation, and is not asked for a checkpoint of weights
    alone.
    """
    averages = [one for one in trainer.callbacks if isinstance(one, WeightAveraging)]  # type: ignore[attr-defined]
    if not averages:
        yield
        return
    weights = {name: own.detach().clone() for name, own in module.state_dict().items()}
    told: dict[str, Any] = {"state_dict": weights}
    averages[-1].on_save_checkpoint(trainer, module, told)
    with torch.no_grad():
        module.load_state_dict(told["state_dict"])
        try:
            yield
        finally:
            module.load_state_dict(weights)


def save_whole(trainer: Trainer, path: Path, weights_only: bool = False) -> None:
    """Have a Trainer save a checkpoint beside ``path``, and move it in.

    A run that is killed while it writes keeps the checkpoint that it had.
    """
    partial = trainer.strategy.broadcast(partial_of(path))  # one name for all processes
    try:
        trainer.save_checkpoint(partial, weights_only=weights_only)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if trainer.is_global_zero:
        partial.replace(path)


class BestAndLast(Checkpoint):
    """Writes ``best.ckpt``, what the score is of, and ``last.ckpt`` to go on from.

    Both are Lightning checkpoints; the best has no optimizer state, which halves its cost. The last
    is written when training ends or is interrupted and, for a training that may be killed, whenever
    ``every_seconds`` have gone by, so short runs pay for it once. It is written as an epoch begins: what
    early stopping and a plateau's schedule made of the one before is in it then.

    Args:
        folder: where the files go; it is made if needed.
        metric: what is watched, and ``direction``: what is better for it; of several, the first.
        every_seconds: time between two writings of ``last.ckpt`` while training goes on.
        score: which epochs are scored: with ``last``, ``best.ckpt`` is of the last one.
    """

    def __init__(
        self,
        folder: str,
        metric: str | Sequence[str],
        direction: str | Sequence[str],
        every_seconds: float = 60.0,
        score: str = BEST,
    ) -> None:
        self.folder = Path(folder)
        self.metric = first(metric)
        self.every_seconds = every_seconds
        self._scoring = Scoring([self.metric], first(direction), score)
        self._written = monotonic()
        self._trained = self._between = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the folder."""
        make_folders(self.folder)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write ``best.ckpt`` where this is what the score is of."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._scoring.take({self.metric: monitored(trainer, self.metric)}, trainer.current_epoch)
        if self._scoring.improved:
            with validated_weights(trainer, pl_module):
                self._write(trainer, Path(BEST_CHECKPOINT).name, weights_only=True)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write ``last.ckpt`` where it is due."""
        due = self._trained and monotonic() - self._written > self.every_seconds
        if in_any_process(trainer, due):
            self._write_between(trainer)
            self._written = monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that there is something to write."""
        self._trained = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write ``last.ckpt``."""
        self._write(trainer, LAST)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write ``last.ckpt`` of a training that was interrupted."""
        if isinstance(exception, TrialInterrupted) and self._trained:
            self._write_between(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Make what is written as an epoch begins what it would have been as the last one ended."""
        if self._between:
            # Lightning goes on from an epoch's end, but not from the next one's start, which differs in
            # these counts alone.
            checkpoint["epoch"] -= 1
            for counts in checkpoint["loops"]["fit_loop"]["epoch_progress"].values():
                counts["ready"] = counts["started"]
                counts["completed"] = counts["processed"] - 1

    def state_dict(self) -> dict[str, Any]:
        return self._scoring.state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if "best" in state_dict:  # of an earlier version, which had no other choice
            best = state_dict["best"]
            epoch = None if best is None else 0
            state_dict = {"epoch": epoch, "metrics": {self.metric: best}}
        self._scoring.load_state(state_dict)

    def _write_between(self, trainer: Trainer) -> None:
        """Write ``last.ckpt`` as an epoch begins."""
        self._between = True
        try:
            self._write(trainer, LAST)
        finally:
            self._between = False

    def _write(self, trainer: Trainer, name: str, weights_only: bool = False) -> None:
        save_whole(trainer, self.folder / name, weights_only)
