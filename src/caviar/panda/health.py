"""The health of a watched run: sampled looks at its steps, and the checks at the end of each epoch."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from caviar.lightning.callbacks.nan_guard import loss_of
from caviar.panda import settings
from caviar.panda.checks.base import Finding
from caviar.panda.checks.course import broken
from caviar.panda.checks.registry import agreed, examine
from caviar.panda.files import FOLDER, HEALTH
from caviar.panda.probe import Probe
from caviar.panda.remedies import Remedies
from caviar.panda.vitals import History, Vitals
from caviar.runs.files import append_whole

LONGEST = 30.0
"""Seconds between two looks at most: one may be slow by chance, as when Python collects its garbage."""


class Health:
    """Watches one training.

    Args:
        losses: what the module logs the mean training and validation losses as.
        share: of the time spent training, what looking at steps may take, and what checking may.
        every_epoch: check after every epoch, however short; policies hang on what is found.
        remedies: gives the commands that may help, as the run is now.
    """

    def __init__(
        self,
        folder: Path,
        losses: tuple[str, str],
        share: float,
        every_epoch: bool,
        remedies: Callable[[], Remedies],
    ) -> None:
        self.history = History()
        self.findings: dict[str, Finding] = {}
        self.spent = 0.0
        """Seconds that looking and checking have taken."""
        self._file = folder / FOLDER / HEALTH
        self._losses = losses
        self._share = share
        self._every_epoch = every_epoch
        self._remedies = remedies
        self._probe: Probe | None = None
        self._next_look = self._next_check = 0.0
        self._looking = 0.0
        self._vitals = Vitals(-1)
        self._began = self._aside = 0.0
        self._validated = False

    # ---- looks at single steps

    def due(self, now: float) -> bool:
        """Whether it is time for another look."""
        return now >= self._next_look

    def look(self, module: LightningModule) -> None:
        """Look at the step that begins."""
        began = time.perf_counter()
        self._probe = Probe(module)
        self._looking = time.perf_counter() - began

    def look_at_gradients(self, module: LightningModule) -> None:
        """The step's gradients are there, and not clipped yet."""
        if self._probe is not None:
            began = time.perf_counter()
            self._probe.gradients(module)
            self._looking += time.perf_counter() - began

    def looked(self, outputs: Any) -> None:
        """Record the step that is over; ``outputs`` is what Lightning hands to ``on_train_batch_end``."""
        assert self._probe is not None
        began = time.perf_counter()
        self._probe.finish(self._vitals)
        self._probe = None
        if not self.history.epochs and self.history.start is None:
            self.history.start = loss_of(outputs)
        now = time.perf_counter()
        # Twice: the hooks in the forward pass are not in what was timed.
        cost = 2 * (now - began + self._looking)
        self.spent += cost
        self._next_look = now + min(cost / self._share, LONGEST)

    # ---- epochs

    def epoch_begins(self, epoch: int) -> None:
        """Begin the record of ``epoch``."""
        self._vitals = Vitals(epoch)
        self._began, self._aside, self._validated = time.perf_counter(), 0.0, False

    def not_training(self, seconds: float, validation: bool = False) -> None:
        """Leave ``seconds`` of this epoch out of its speed."""
        self._aside += seconds
        self._validated = self._validated or validation

    def batches_end(self, batches: float) -> None:
        """All batches of the epoch have been trained on."""
        self._vitals.seconds = max(time.perf_counter() - self._began - self._aside, 1e-9)
        self._vitals.steps_per_second = batches / self._vitals.seconds

    def epoch_ends(self, trainer: Trainer, last: bool = False) -> bool:
        """Check the epoch that is over, once all its metrics are logged; False where it was checked before.

        Where epochs are shorter than the time between two checks, some are recorded and not checked.
        """
        epochs = self.history.epochs
        if self._vitals.epoch < 0 or (epochs and epochs[-1].epoch == self._vitals.epoch):
            return False
        began = time.perf_counter()
        train, val = (trainer.callback_metrics.get(name) for name in self._losses)
        self._vitals.train_loss = None if train is None else float(train)
        self._vitals.val_loss = None if val is None or not self._validated else float(val)
        self._vitals.steps = trainer.global_step
        self._vitals.annealed = settings.annealed(trainer)
        self.history.add(self._vitals)
        if began >= self._next_check or self._every_epoch or last:
            self._find({one.check: one for one in examine(self.history, self._remedies())})
            now = time.perf_counter()
            self._next_check = now + (now - began) / self._share
        self.spent += time.perf_counter() - began
        return True

    def failed(self, error: BaseException) -> None:
        """The training ended with ``error``."""
        if isinstance(error, FloatingPointError):
            found = Finding("not_finite", str(error).partition(": ")[0], broken(self._remedies()))
            known = {**self.findings, "not_finite": found}
            self._find({one.check: one for one in agreed([*known.values()])})

    def back_to(self, epoch: int) -> None:
        """The training has returned to ``epoch``."""
        if self._probe is not None:
            self._probe.remove()
            self._probe = None
        self.history.back_to(epoch)
        self._find({})
        self.epoch_begins(epoch)

    def _find(self, findings: dict[str, Finding]) -> None:
        """Record the findings that are new, and those that are over, since the last check."""
        before, self.findings = self.findings, findings
        changes = [
            {"epoch": self._vitals.epoch, "begins": name in findings, **asdict(finding)}
            for name, finding in (before | findings).items()
            if (name in before) != (name in findings)
        ]
        if changes:
            append_whole(self._file, "".join(f"{json.dumps(change)}\n" for change in changes))
