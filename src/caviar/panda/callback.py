"""The Lightning callback of a watched run: it reports how training goes, and does what people ask."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from caviar.base.errors import UsageError, usage_error
from caviar.base.objectives import first
from caviar.base.signals import exit_status
from caviar.lightning.loggers import MetricsCSV
from caviar.panda import settings
from caviar.panda.editor import Editor
from caviar.panda.files import hold
from caviar.panda.health import Health
from caviar.panda.inbox import Inbox
from caviar.panda.policies import POLICIES, Autopilot
from caviar.panda.replay import last_recorded
from caviar.panda.rewind import Rewind, Rollback, rng_state
from caviar.panda.serving import Service
from caviar.panda.status import Status, ended_by
from caviar.panda.vitals import History
from caviar.runs.active import active_run, record
from caviar.runs.edits import facts_of_edits


class Panda(Callback):
    """Watches one training and lets it be edited: see ``caviar watch | set | rollback | pause``.

    It works in any Lightning project: ``Trainer(callbacks=[Panda("runs/1")])``, in one process, with
    automatic optimization.

    Args:
        folder: the run folder.
        metric: shown beside the losses, and ``direction``: what is better for it; of several, the first.
        auto: policies of `caviar.panda.policies` that may act on their own.
        replay: a run folder, whose recorded edits are made again at the steps they were made at.
        train_loss, val_loss: what the module logs the mean losses as.
        look_every: seconds between two looks for requests. Steps that take longer each look; epochs
            that do not look as they begin.
        share: of the time spent training, what looking at steps may take, what checking epochs may,
            and what its status file may.
    """

    def __init__(
        self,
        folder: str,
        metric: str | Sequence[str] | None = None,
        direction: str | Sequence[str] = "maximize",
        auto: Sequence[str] = (),
        replay: str | None = None,
        train_loss: str = "train/loss",
        val_loss: str = "val/loss",
        look_every: float = 0.1,
        share: float = 0.0005,
    ) -> None:
        run = active_run()
        if run is not None and run.listener is not None:
            raise usage_error("panda", "true", "a panda is one run; a sweep trains many, unwatched")
        for name in auto:
            if name not in POLICIES:
                raise usage_error("panda.auto", name, "no such policy", POLICIES)
        self.folder = Path(folder).resolve()  # the folder itself may be a link of the user's
        self.metric = first(metric)
        self.direction = first(direction)
        self.auto = list(auto) if replay is None else []
        self.replay = None if replay is None else Path(replay)
        self.losses = train_loss, val_loss
        self.look_every = look_every
        self.share = share
        self.state = "training"
        self._status = Status(self)
        self.health = Health(
            self.folder, self.losses, share, bool(self.auto), self._status.remedies
        )
        self._loaded: dict[str, Any] | None = None
        self._return_to: Path | None = None
        self._due = self._at_each_step = False
        self._next_look = 0.0
        self._held: IO[str] | None = None
        self._last_epoch: int | None = None

    # ---- the training's hooks, in the order in which they come

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the run over for this process."""
        if stage != "fit":
            return
        if trainer.world_size > 1:
            raise UsageError(
                "panda=true: it edits a training in one process; set trainer.devices=1"
            )
        if self.replay is not None and self.replay.resolve() == self.folder.resolve():
            raise usage_error("panda.replay", self.replay, "a replay needs a folder of its own")
        self._held = hold(self.folder)
        self.trainer = trainer
        self._rewind = Rewind(trainer, self._restored, lambda error: self._autopilot.failed(error))
        self.editor = Editor(self.folder, trainer, self._rewind, self._edited, self.replay)
        inbox, replaying = Inbox(self.folder), self.replay is not None
        self.service = Service(inbox, trainer, self.editor, replaying, self._status.write)
        self._autopilot = Autopilot(self.auto, trainer, self.editor, self.health)
        kept: list[Any] = [logger for logger in trainer.loggers if hasattr(logger, "rewind")]
        self._own_rows = None if kept else MetricsCSV(str(self.folder))
        self._tables = kept or [self._own_rows]
        self.editor.schedule((0, 0))
        self._last_epoch = None if self.replay is None else last_recorded(self.replay)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let go of the run."""
        if self._held is not None:
            self._rewind.remove()
            self._held.close()
            self._held = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with what a checkpoint holds of it."""
        self._status.begin()
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            self.health.history = History.of(loaded["history"])
            self.editor.put(loaded["settings"])
            self.editor.schedule((trainer.current_epoch, 0))
            self._return_to = self.editor.rolled_back_since(loaded["records"])
        self._edited()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the epoch that is over, and see which steps of this one are to be looked at."""
        self._epoch_ended(trainer)
        before = self.health.history.epochs[-1:]
        self.health.epoch_begins(trainer.current_epoch)
        self._due = self.service.has_come() or self._due
        # Between two looks for requests there is an epoch's start anyway: its steps are left alone.
        short = bool(before) and (before[0].seconds or 0.0) < self.look_every
        needed = self._due or self._return_to or self.editor.scheduled or self.auto
        self._at_each_step = self._rewind.capturing = bool(needed) or not short
        self._watch_steps(self._at_each_step or self.health.due(time.perf_counter()))

    # Lightning calls what is callable, and calling a hook that does nothing costs it 2 us a step.
    # The three below are set for the steps that need them.
    on_before_zero_grad = on_before_backward = on_after_backward = None  # type: ignore[assignment]
    on_validation_batch_start = on_validation_batch_end = None  # type: ignore[assignment]
    on_train_batch_start: Any = None
    on_before_optimizer_step: Any = None
    on_train_batch_end: Any = None

    def _watch_steps(self, watch: bool) -> None:
        self.on_train_batch_start = self._before_batch if watch else None
        self.on_train_batch_end = self._after_batch if watch else None

    def _before_batch(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        began = time.perf_counter()
        path, self._return_to = self._return_to, None
        if path is None:
            self._autopilot.returned(batch_idx)
        if path is None and batch_idx == 0:
            self._rewind.fetch_rng = None
            path = self._autopilot.epoch_begins()
        if path is None:
            self.editor.make_scheduled(batch_idx)
            if self._due and batch_idx % trainer.accumulate_grad_batches == 0:
                self._due = False
                path = self.service.serve(batch_idx)
        if path is not None:
            raise Rollback(path)
        now = time.perf_counter()
        self.health.not_training(now - began)
        if self.health.due(now):
            self.health.look(pl_module)
            self.on_before_optimizer_step = self._gradients_are_there
        if not self.editor.scheduled:
            self.on_train_batch_start = None

    def _gradients_are_there(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        self.health.look_at_gradients(pl_module)

    def _after_batch(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.on_before_optimizer_step is not None:
            self.health.looked(outputs)
            self.on_before_optimizer_step = None
        if not self._at_each_step:
            self._watch_steps(False)
            return
        now = time.perf_counter()
        if now < self._next_look and not self._due:
            return
        self._next_look = now + self.look_every
        if self._due or self.service.inbox.changed():
            # Before the next batch is fetched: a rollback has to fetch it with the same numbers.
            self._rewind.fetch_rng = rng_state()
            self._due = True
            self.on_train_batch_start = self._before_batch
        elif self.health.due(now):
            self.on_train_batch_start = self._before_batch

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validating = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave a validation out of the time that training took."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self.health.not_training(time.perf_counter() - self._validating, validation=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End a replay at its last epoch."""
        self.health.batches_end(trainer.num_training_batches)
        if self._last_epoch is not None and trainer.current_epoch >= self._last_epoch:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the last epoch."""
        self._epoch_ended(trainer, last=True)
        self.service.close()
        self.state = "ended"
        self._edited()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Say in its status how the run ended."""
        if self._held is not None and self._status.began:
            self.state = ended_by(exception)
            with suppress(OSError):  # the disk is full: that is the error reported
                self.health.failed(exception)
                self._edited()
        if isinstance(exception, SIGTERMException):
            exception.code = exit_status(signal.SIGTERM)  # which is 0 as Lightning raises it
        self.teardown(trainer, pl_module, "fit")  # which Lightning leaves out here

    # ---- what a checkpoint holds of it

    def state_dict(self) -> dict[str, Any]:
        """Settings, edits and history, and, of a checkpoint to go back to, what a rewind takes."""
        state = {
            "settings": settings.values(self.trainer),
            "records": len(self.editor.edits),
            "history": self.health.history.state(),
        }
        taking = self._rewind.taking
        return state if taking is None else {**state, "rewind": taking}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep what a checkpoint holds of it until the training starts."""
        self._loaded = checkpoint.get("callbacks", {}).get(self.state_key)

    def _restored(self, path: Path) -> None:
        """Lightning has restored its part of the checkpoint at ``path``: the rest."""
        assert self._loaded is not None
        state, self._loaded = self._loaded, None
        self.editor.put(state["settings"])
        self._rewind.restore(state["rewind"])
        epoch = self.trainer.current_epoch
        self.health.back_to(epoch)
        self.on_before_optimizer_step = None
        self._at_each_step = True
        self._watch_steps(True)
        self._due = True  # what else was asked in the meantime
        progress = self.trainer.fit_loop.epoch_loop.batch_progress
        self.editor.schedule((epoch, progress.current.ready))
        self.editor.last_epoch = epoch
        self.editor.states.put_back_files(path)
        for table in self._tables:
            table.rewind(epoch)
        self._edited()
        self.service.gone_back()

    # ---- status.json

    def _epoch_ended(self, trainer: Trainer, last: bool = False) -> None:
        began = time.perf_counter()
        if not self.health.epoch_ends(trainer, last):
            return
        if self._own_rows is not None:
            values = {name: float(value) for name, value in trainer.callback_metrics.items()}
            values["epoch"] = self.health.history.epochs[-1].epoch
            self._own_rows.log_metrics(values, trainer.global_step)
        self._status.write_if_due(began)

    def _edited(self) -> None:
        """Tell ``result.json``, so that nobody takes the config alone for what made the run."""
        if self.replay is not None:
            record(replay_of=str(self.replay), **facts_of_edits(self.replay))
        else:
            record(panda=True, **facts_of_edits(self.folder))
        self._status.write()
