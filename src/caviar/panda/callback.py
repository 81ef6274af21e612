"""The Lightning callback of a watched run: it tells how training goes, and does what people ask."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

import caviar
from caviar.errors import UsageError, usage_error
from caviar.panda import settings
from caviar.panda.checks import Finding, Vitals, examine
from caviar.panda.edits import Edit, facts, in_force, read_edits, write_edits
from caviar.panda.files import FOLDER, HEALTH, hold, write_status
from caviar.panda.inbox import Inbox, Request, now
from caviar.panda.policies import POLICIES, check_policies
from caviar.panda.probe import Probe
from caviar.panda.replay import last_recorded
from caviar.panda.rewind import Rewind, Rollback
from caviar.panda.rng import rng_state
from caviar.runs.active import active_run
from caviar.runs.folder import CHECKPOINTS, METRICS

SHARE = 0.002
"""Of the time spent training, what looking at a step may take, and what telling of it may."""

MOST_EPOCHS = 40
"""Epochs that the checks look back on, beside the first."""

MOST_ROLLBACKS = 5
"""Rollbacks of a policy, after which divergence is left to be the run's end."""


class Panda(Callback):
    """Watches one training and lets it be edited: see ``caviar watch | set | rollback | pause``.

    It works in any Lightning project: ``Trainer(callbacks=[Panda("runs/1")])``, in one process, with
    automatic optimization.

    Args:
        folder: the run folder.
        metric: shown beside the losses, and ``direction``: what is better for it.
        auto: policies of `caviar.panda.policies` that may act on their own.
        replay: a run folder, whose recorded edits are made again at the steps they were made at.
        train_loss, val_loss: what the module logs the mean losses as.
        look_every: seconds between two looks for requests; steps that take longer each look.
    """

    def __init__(
        self,
        folder: str,
        metric: str | None = None,
        direction: str = "maximize",
        auto: Sequence[str] = (),
        replay: str | None = None,
        train_loss: str = "train/loss",
        val_loss: str = "val/loss",
        look_every: float = 0.02,
    ) -> None:
        run = active_run()
        if run is not None and run.listener is not None:
            raise usage_error("panda", "true", "a panda is one run; a sweep trains many, unwatched")
        check_policies(auto)
        self.folder = Path(folder).absolute()
        self.metric = metric
        self.direction = direction
        self.auto = list(auto) if replay is None else []
        self.replay = None if replay is None else Path(replay)
        self.losses = train_loss, val_loss
        self.look_every = look_every
        self.edits: list[Edit] = []
        self.spent = 0.0
        """Seconds that watching has taken, edits and pauses apart."""
        self._scheduled: list[Edit] = []
        self._later: dict[str, Request] = {}
        self._epochs: list[Vitals] = []
        self._findings: dict[str, Finding] = {}
        self._loaded: dict[str, Any] | None = None
        self._taking: dict[str, Any] | None = None
        self._fetch_rng: dict[str, Any] | None = None
        self._due = False
        self._state = "training"
        self._after_rollback: tuple[dict[str, Any], str, str] | None = None
        self._good: int | None = None
        self._last_edit_epoch = -1
        self._probe: Probe | None = None
        self._vitals = Vitals(-1)
        self._next_probe = self._next_look = 0.0
        self._next_status = 0.0
        self._held: IO[str] | None = None
        self._back_to: Path | None = None
        self._aside = 0.0
        self._validated = False
        self._last_epoch: int | None = None

    # ---- the training's hooks, in the order in which they come

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if trainer.world_size > 1:
            raise UsageError(
                "panda=true: it edits a training in one process; set trainer.devices=1"
            )
        if self.replay is not None and self.replay.resolve() == self.folder.resolve():
            raise usage_error("panda.replay", self.replay, "a replay needs a folder of its own")
        self._held = hold(self.folder)
        self._inbox = Inbox(self.folder)
        self.edits = read_edits(self.folder)
        recorded = self.edits if self.replay is None else read_edits(self.replay)
        self._scheduled = in_force(recorded)
        self._last_epoch = None if self.replay is None else last_recorded(self.replay)
        self._trainer = trainer
        self._rewind = Rewind(trainer, self._restored, self._failed)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._held is not None:
            self._rewind.remove()
            self._held.close()
            self._held = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begun = self._epoch_began = time.perf_counter()
        self._names = settings.values(trainer)
        if self._loaded is not None:
            self._put(self._loaded["settings"])
        # Of what is recorded, all that lies ahead is done again, at its place: in a replay, and
        # where a run that was killed goes on from a checkpoint before its edits.
        here = (trainer.current_epoch, 0)
        resumed = self._loaded is not None
        self._scheduled = [edit for edit in self._scheduled if edit.at >= here or not resumed]
        if self._loaded is not None:
            # That checkpoint may be of a part which has been rolled back since.
            later = [e for e in self.edits[self._loaded["records"] :] if e.kind == "rollback"]
            if later and later[-1].to is not None and self._saved(later[-1].to).exists():
                self._going_back(later[-1].to)
            self._loaded = None
        self._record()
        self._tell()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_ended(trainer)
        self._vitals_begin()
        self.on_train_batch_start = self._before_batch

    # Lightning calls what is callable, and calling a hook that does nothing costs it 2 us a step.
    # The two below are set for the steps that need them.
    on_before_zero_grad = on_before_backward = on_after_backward = None  # type: ignore[assignment]
    on_train_batch_start: Any = None
    on_before_optimizer_step: Any = None

    def _before_batch(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._back_to is not None:
            raise Rollback(self._back_to)
        if batch_idx == 0:
            self._fetch_rng = None
            self._first_batch(trainer)
        if self._scheduled and self._scheduled[0].at <= (trainer.current_epoch, batch_idx):
            self._make_scheduled(trainer, batch_idx)
        if self._due and batch_idx % trainer.accumulate_grad_batches == 0:
            self._due = False
            began = time.perf_counter()
            self._serve(trainer, batch_idx)
            self._aside += time.perf_counter() - began
        if time.perf_counter() >= self._next_probe:
            self._probe_began = time.perf_counter()
            self._probe = Probe(pl_module)
            self._probe_began -= time.perf_counter()
            self.on_before_optimizer_step = self._gradients_are_there
        if not self._scheduled:
            self.on_train_batch_start = None

    def _gradients_are_there(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        if self._probe is not None:
            began = time.perf_counter()
            self._probe.gradients(pl_module)
            self._probe_began -= time.perf_counter() - began

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._probe is not None:
            began = time.perf_counter()
            self._probe.finish(self._vitals)
            self._probe = self.on_before_optimizer_step = None
            # Twice: the hooks in the forward pass are not in what was timed.
            cost = 2 * (time.perf_counter() - began - self._probe_began)
            self._spend(cost)
            self._next_probe = time.perf_counter() + cost / SHARE
        now = time.perf_counter()
        if self._due or (now >= self._next_look and self._inbox.changed()):
            # Before the next batch is fetched: a rollback has to fetch it with the same numbers.
            self._fetch_rng = rng_state()
            self._due = True
            self.on_train_batch_start = self._before_batch
        elif now >= self._next_look:
            self._next_look = now + self.look_every
            if now >= self._next_probe:
                self.on_train_batch_start = self._before_batch

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validating = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._aside += time.perf_counter() - self._validating
            self._validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seconds = time.perf_counter() - self._epoch_began - self._aside
        self._vitals.steps_per_second = trainer.num_training_batches / max(seconds, 1e-9)
        if self._last_epoch is not None and trainer.current_epoch >= self._last_epoch:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_ended(trainer)
        self._state = "ended"
        for request in self._inbox.collect():
            self._inbox.answer(request, "the training ended before this was reached", done=False)
        self._record()
        self._tell()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        if self._held is not None and hasattr(self, "_names"):
            self._state = "failed"
            self._record()
            self._tell()
        self.teardown(trainer, pl_module, "fit")  # which Lightning leaves out here

    # ---- what a checkpoint holds of it

    def state_dict(self) -> dict[str, Any]:
        state = {"settings": settings.values(self._trainer), "records": len(self.edits)}
        return {**state, "rewind": self._taking} if self._taking is not None else state

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._loaded = checkpoint.get("callbacks", {}).get(self.state_key)

    # ---- requests

    def _serve(self, trainer: Trainer, batch: int) -> None:
        """Do what is asked; while paused, wait for more of it."""
        while True:
            for request in self._inbox.collect():
                if request["id"] not in self._later:
                    try:
                        self._do(request, trainer, batch)
                    except UsageError as error:
                        self._inbox.answer(request, str(error), done=False)
            if self._state != "paused" or trainer.should_stop or trainer.received_sigterm:
                return
            while not self._inbox.changed() and not trainer.received_sigterm:
                time.sleep(0.05)

    def _do(self, request: Request, trainer: Trainer, batch: int) -> None:
        kind = request["kind"]
        if any(edit.request == request["id"] for edit in self.edits):
            self._inbox.answer(request, "done already")  # killed between doing it and saying so
        elif kind in ("pause", "resume"):
            self._state = "paused" if kind == "pause" else "training"
            self._tell()
            self._inbox.answer(request, f"{self._state} at {self._place(trainer)}")
        elif self.replay is not None:
            raise UsageError("this run replays another's edits, and takes none of its own")
        elif kind == "set" and (request.get("at") or 0) > trainer.current_epoch:
            # The file stays until its epoch comes: a run that is killed and resumed finds it again.
            self._later[request["id"]] = request
        elif kind == "set":
            edit = self._edit(trainer, batch, request["changes"], request=request)
            self._inbox.answer(request, edit.in_words())
        elif kind == "rollback":
            self._roll_back(trainer, batch, request)
        elif kind == "stop":
            edit = self._add(trainer, batch, "stop", request=request)
            trainer.should_stop = True
            self._state = "training"
            self._inbox.answer(request, edit.in_words())

    def _edit(
        self,
        trainer: Trainer,
        batch: int,
        changes: dict[str, Any],
        who: str | None = None,
        why: str | None = None,
        request: Request | None = None,
    ) -> Edit:
        """Save the state, record the edit, and put it in force."""
        present = settings.values(trainer)
        for key, value in changes.items():
            if key not in present:
                raise usage_error(key, value, settings.SETTINGS[key].missing)
            settings.check(key, value)
        epochs = changes.get("trainer.max_epochs")
        if epochs is not None and epochs <= trainer.current_epoch:
            raise usage_error("trainer.max_epochs", epochs, "that epoch is under way or over")
        if changes.get("optimizer.momentum") == 0 and any(
            group.get("nesterov") for o in trainer.optimizers for group in o.param_groups
        ):
            raise usage_error("optimizer.momentum", 0, "nesterov needs a momentum above 0")
        self._snapshot(self._number())
        edit = self._add(
            trainer,
            batch,
            "set",
            changes={key: {"old": present[key], "new": new} for key, new in changes.items()},
            who=who,
            why=why,
            request=request,
        )
        self._put(changes)
        self._last_edit_epoch = trainer.current_epoch
        self._tell()
        return edit

    def _roll_back(self, trainer: Trainer, batch: int, request: Request) -> None:
        known = [edit.edit for edit in self.edits if self._saved(edit.edit).exists()]
        to = request.get("to")
        if to is None:
            history = [edit.edit for edit in in_force(self.edits) if edit.edit in known]
            if not history:
                raise UsageError("rollback: there is no edit to undo")
            to = history[-1]
        if to not in known:
            raise usage_error("--to", to, "no such edit", known)
        self._snapshot(self._number())
        edit = self._add(trainer, batch, "rollback", to=to, request=request)
        self._inbox.answer(request, edit.in_words())
        raise Rollback(self._going_back(to))

    def _add(
        self,
        trainer: Trainer,
        batch: int,
        kind: str,
        who: str | None = None,
        request: Request | None = None,
        **more: Any,
    ) -> Edit:
        asked = request or {}
        edit = Edit(
            edit=self._number(),
            kind=kind,
            who=who or asked.get("who", "?"),
            when=now(),
            epoch=trainer.current_epoch,
            batch=batch,
            step=trainer.global_step,
            request=asked.get("id"),
            **more,
        )
        write_edits(self.folder, [*self.edits, edit])
        self.edits.append(edit)
        self._mark(trainer, edit)
        self._record()
        return edit

    def _mark(self, trainer: Trainer, edit: Edit) -> None:
        # Readers of a run folder draw edits.jsonl; other loggers get a curve of the edits' numbers.
        for logger in trainer.loggers:
            if not hasattr(logger, "rewind"):
                logger.log_metrics({"panda/edit": float(edit.edit)}, step=trainer.global_step)

    def _make_scheduled(self, trainer: Trainer, batch: int) -> None:
        while self._scheduled and self._scheduled[0].at <= (trainer.current_epoch, batch):
            edit = self._scheduled.pop(0)
            if edit.kind == "stop":
                trainer.should_stop = True
            self._put({key: change["new"] for key, change in edit.changes.items()})

    def _put(self, changes: dict[str, Any]) -> None:
        present = settings.values(self._trainer)
        for key, value in changes.items():
            if key not in present or present[key] != value:
                settings.SETTINGS[key].put(self._trainer, value)

    # ---- states to go back to

    def _number(self) -> int:
        return len(self.edits) + 1

    def _saved(self, edit: int) -> Path:
        return self.folder / FOLDER / "before" / f"{edit:04}" / "state.ckpt"

    def _snapshot(self, number: int) -> None:
        """Save everything, as it is before this batch, under the number of what comes next."""
        path = self._saved(number)
        self._taking = self._rewind.state(self._fetch_rng)
        try:
            self._rewind.save(path)
        finally:
            self._taking = None
        # The best checkpoint may be of a part that a rollback undoes. A checkpoint is replaced, not
        # written into, so a second name for it costs nothing.
        for file in (self.folder / CHECKPOINTS).glob("*.ckpt"):
            copy = path.with_name(file.name)
            copy.unlink(missing_ok=True)
            try:
                os.link(file, copy)
            except OSError:
                shutil.copy2(file, copy)
        if (self.folder / METRICS).exists():
            shutil.copy2(self.folder / METRICS, path.with_name(METRICS))

    def _restored(self) -> None:
        trainer = self._trainer
        assert self._loaded is not None
        state, self._loaded = self._loaded, None
        self._put(state["settings"])
        self._rewind.restore(state["rewind"])
        epoch = trainer.current_epoch
        self._epochs = [one for one in self._epochs if one.epoch < epoch]
        self._findings = {}
        self._vitals_begin()
        self._probe = self.on_before_optimizer_step = None
        self.on_train_batch_start = self._before_batch
        self._due = True  # what else was asked in the meantime
        self._fetch_rng = state["rewind"]["fetch_rng"]
        last = max(edit.edit for edit in self.edits if edit.kind == "rollback")
        self._scheduled = [edit for edit in in_force(self.edits) if edit.edit > last]
        saved, self._back_to = self._back_to, None
        assert saved is not None
        for file in (self.folder / CHECKPOINTS).glob("*.ckpt"):
            file.unlink()
        for file in saved.parent.glob("*.ckpt"):
            if file != saved:
                shutil.copy2(file, self.folder / CHECKPOINTS / file.name)
        for logger in trainer.loggers:
            if hasattr(logger, "rewind"):
                logger.rewind(epoch)  # type: ignore[attr-defined]
        self._record()
        self._tell()

    def _going_back(self, to: int) -> Path:
        self._back_to = self._saved(to)
        return self._back_to

    # ---- epochs, checks and policies

    def _vitals_begin(self) -> None:
        self._vitals = Vitals(self._trainer.current_epoch)
        self._epoch_began, self._aside, self._validated = time.perf_counter(), 0.0, False

    def _epoch_ended(self, trainer: Trainer) -> None:
        """Look at the epoch that is over: now everything of it is logged."""
        if self._vitals.epoch < 0 or (
            self._epochs and self._epochs[-1].epoch == self._vitals.epoch
        ):
            return
        began = time.perf_counter()
        logged = trainer.callback_metrics
        train, val = (logged.get(name) for name in self.losses)
        self._vitals.train_loss = None if train is None else float(train)
        self._vitals.val_loss = None if val is None or not self._validated else float(val)
        if len(self._epochs) > MOST_EPOCHS:
            del self._epochs[1]
        self._epochs.append(self._vitals)
        self._judge()
        self._spend(time.perf_counter() - began)
        if began >= self._next_status:
            self._tell()
            cost = time.perf_counter() - began
            self._spend(cost)
            self._next_status = began + cost / SHARE

    def _judge(self) -> None:
        before = self._findings
        self._findings = {finding.check: finding for finding in examine(self._epochs)}
        changes = [
            {"epoch": self._vitals.epoch, "begins": name in self._findings, **asdict(finding)}
            for name, finding in (before | self._findings).items()
            if (name in before) != (name in self._findings)
        ]
        if changes:
            with (self.folder / FOLDER / HEALTH).open("a") as file:
                file.write("".join(f"{json.dumps(change)}\n" for change in changes))

    def _first_batch(self, trainer: Trainer) -> None:
        """An epoch begins: what was asked for it, and what policies want of the one before."""
        come = [r["id"] for r in self._later.values() if r["at"] <= trainer.current_epoch]
        for id in come:
            del self._later[id]
        self._due = self._due or bool(come) or self._inbox.changed()
        if self._after_rollback:
            changes, who, why = self._after_rollback
            self._after_rollback = None
            self._edit(trainer, 0, changes, who, why)
        if not self.auto:
            return
        present = settings.values(trainer)
        since = trainer.current_epoch - self._last_edit_epoch
        for name in self.auto:
            action = POLICIES[name](self._findings, present, since)
            if action is None:
                continue
            if not action.back:
                self._edit(trainer, 0, action.changes, f"policy {name}", action.why)
            elif path := self._policy_back(action.changes, name, action.why):
                raise Rollback(path)
        if "rollback_on_divergence" in self.auto and not self._findings.keys() & {
            "not_finite",
            "diverging",
        }:
            # A state to go back to, kept under the number that the next edit will have.
            self._snapshot(self._number())
            self._good = self._number()

    def _policy_back(self, changes: dict[str, Any], name: str, why: str) -> Path | None:
        policy = f"policy {name}"
        done = sum(edit.kind == "rollback" and edit.who == policy for edit in self.edits)
        if self._good is None or not self._saved(self._good).exists() or done >= MOST_ROLLBACKS:
            return None
        trainer = self._trainer
        batch = max(trainer.fit_loop.batch_idx, 0)
        self._add(trainer, batch, "rollback", who=policy, why=why, to=self._good)
        self._after_rollback = (changes, policy, why)
        return self._going_back(self._good)

    def _failed(self, error: FloatingPointError) -> Path | None:
        if "rollback_on_divergence" not in self.auto:
            return None
        lr = settings.values(self._trainer)["optimizer.lr"]
        return self._policy_back({"optimizer.lr": lr / 2}, "rollback_on_divergence", str(error))

    # ---- telling

    def _spend(self, seconds: float) -> None:
        self.spent += seconds

    def _place(self, trainer: Trainer) -> str:
        return f"epoch {trainer.current_epoch}, step {trainer.global_step}"

    def _record(self) -> None:
        """What ``result.json`` will say, so that nobody takes the config alone for what made it."""
        if self.replay is not None:
            caviar.record(replay_of=str(self.replay), **facts(self.replay))
        else:
            caviar.record(panda=True, **facts(self.folder))

    def _tell(self) -> None:
        trainer = self._trainer
        words = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv[1:])]
        write_status(
            self.folder,
            {
                "state": self._state,
                "epoch": trainer.current_epoch,
                "step": trainer.global_step,
                "steps_an_epoch": int(min(trainer.num_training_batches, 2**31)),
                "max_epochs": trainer.fit_loop.max_epochs,
                "settings": settings.values(trainer),
                "missing": {
                    key: setting.missing
                    for key, setting in settings.SETTINGS.items()
                    if key not in self._names
                },
                "schedulers": [type(c.scheduler).__name__ for c in trainer.lr_scheduler_configs],
                "lr": [group["lr"] for o in trainer.optimizers for group in o.param_groups][:1],
                "metric": self.metric,
                "direction": self.direction,
                "losses": list(self.losses),
                "findings": [asdict(finding) for finding in self._findings.values()],
                "vitals": asdict(self._epochs[-1]) if self._epochs else None,
                "replay": None if self.replay is None else str(self.replay),
                "auto": self.auto,
                "pid": os.getpid(),
                "host": platform.node(),
                "module": words[-1] if words[-2] == "-m" else None,
                "script": None if words[-2] == "-m" else str(Path(words[-1]).absolute()),
                "cwd": os.getcwd(),
                "threads": torch.get_num_threads(),
                "overhead": round(self.spent / (time.perf_counter() - self._begun + 1e-9), 5),
                "when": now(),
            },
        )
