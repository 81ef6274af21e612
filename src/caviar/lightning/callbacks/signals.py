"""Keeps Lightning from ending a training in the middle of an epoch."""

import signal
import threading
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from caviar.runs.active import active_run


class KeepSignals(Callback):
    """Leaves SIGTERM to the run that this training is, which ends at an epoch, with a checkpoint.

    Lightning's own way with it is to raise after the batch at hand, from where no checkpoint can be gone
    on with exactly. It takes the signal over just before the training starts; here it is given back.
    """

    def __init__(self) -> None:
        self._handler: Any = None  # as `signal.signal` takes it

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Note who has SIGTERM before Lightning takes it."""
        main = threading.current_thread() is threading.main_thread()
        self._handler = signal.getsignal(signal.SIGTERM) if main and active_run() else None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give it back."""
        if callable(self._handler) or self._handler is signal.SIG_IGN:
            signal.signal(signal.SIGTERM, self._handler)

    on_sanity_check_start = on_train_start
