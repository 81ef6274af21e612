"""Taking a Lightning training back to an earlier batch, in the same process, exactly.

Lightning can restore a checkpoint before a training begins, not within one; and of a checkpoint from
the middle of an epoch it restores neither which batches were seen nor the random numbers. So the loop
over an epoch's batches is wrapped: a `Rollback` raised in it restores the state and goes on in it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torchmetrics import Metric

from caviar.base import private_loops
from caviar.base.private import put_update_count
from caviar.lightning.callbacks.checkpoint import save_whole
from caviar.runs.inside import make_folders


class Rollback(BaseException):
    """Raised inside an epoch: go on from the checkpoint at ``path`` instead."""

    def __init__(self, path: Path) -> None:
        self.path = path


class Rewind:
    """Saves the state of a training before a batch, and goes back to one: wraps the trainer's loops.

    Args:
        restored: called with the path when Lightning has restored its part of a checkpoint; it is to
            call `restore`.
        failed: called when a loss is not finite; gives the checkpoint to go back to, or None.

    Attributes:
        fetch_rng: the random numbers' state before the batch at hand was fetched; None for an epoch's
            first, where it follows from the epoch's own.
        capturing: whether the epochs that begin from here on may be returned into.
        taking: what a checkpoint that is being saved is to hold; its owner puts it there.
    """

    def __init__(
        self,
        trainer: Trainer,
        restored: Callable[[Path], None],
        failed: Callable[[FloatingPointError], Path | None],
    ) -> None:
        self._trainer = trainer
        self._restored = restored
        self._failed = failed
        self._loop = trainer.fit_loop.epoch_loop
        self._run_epoch = self._loop.run
        self._set_up_data = trainer.fit_loop.setup_data
        self.fetch_rng: dict[str, Any] | None = None
        self.capturing = True
        self.taking: dict[str, Any] | None = None
        self._set_up_rng: dict[str, Any] = {}
        self._epoch: dict[str, Any] = {}
        self._loop.run = self._run  # type: ignore[method-assign]
        trainer.fit_loop.setup_data = self._setup  # type: ignore[method-assign]

    def remove(self) -> None:
        """Leave the trainer as it was."""
        del self._loop.run
        del self._trainer.fit_loop.setup_data

    def save(self, path: Path) -> None:
        """Write a checkpoint, which holds `taking` as well."""
        make_folders(path.parent)
        self.taking = self._state()
        try:
            save_whole(self._trainer, path)
        finally:
            self.taking = None

    def _state(self) -> dict[str, Any]:
        """What Lightning's checkpoint lacks."""
        module, fetch_rng = self._trainer.lightning_module, self.fetch_rng
        return {
            "epoch": {
                **self._epoch,
                "rng": as_containers(self._epoch["rng"]),
                "now": as_containers(self._epoch["now"]),
            },
            "fetch_rng": None if fetch_rng is None else as_containers(fetch_rng),
            "stepped": private_loops.batches_that_stepped(self._loop),
            "evaluating": [name for name, part in module.named_modules() if not part.training],
            "metrics": _metrics(module, private_loops.logged_results(self._loop)),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what was in `taking`; Lightning has restored its own part of the checkpoint."""
        trainer, loop = self._trainer, self._loop
        module = trainer.lightning_module
        trainer.training = True
        trainer.should_stop = False
        torch.set_grad_enabled(True)
        for name, part in module.named_modules():
            part.training = name not in state["evaluating"]
        for optimizer in trainer.optimizers:
            optimizer.zero_grad()
        private_loops.settle_loop(trainer.fit_loop)
        for progress in (loop.batch_progress.current, loop.batch_progress.total):
            progress.reset_on_restart()
        # Set as soon as a batch is fetched: a state from before an epoch's last batch says so too.
        loop.batch_progress.is_last_batch = False
        private_loops.put_batches_that_stepped(loop, state["stepped"])
        self.fetch_rng = state["fetch_rng"]
        self._fast_forward(state)
        _put_metrics(module, private_loops.logged_results(loop), state["metrics"])

    def _fast_forward(self, state: dict[str, Any]) -> None:
        """Begin the epoch's data anew, with the random numbers it had, and skip the batches seen."""
        fit_loop = self._trainer.fit_loop
        self._epoch = state["epoch"]
        set_rng_state(self._epoch["rng"])
        if self._epoch["set_up"]:
            private_loops.drop_combined_loader(fit_loop)
            fit_loop.setup_data()
            set_rng_state(self._epoch["now"])  # a hook may have seeded the epoch since
        else:
            iter(private_loops.data_fetcher(fit_loop))
        fetcher = private_loops.data_fetcher(fit_loop)
        private_loops.watch_fetching(fetcher, self._loop)
        if state["fetch_rng"] is not None:
            for _ in range(self._loop.batch_progress.current.ready):
                next(fetcher)
            set_rng_state(state["fetch_rng"])

    def _setup(self) -> None:
        fit_loop = self._trainer.fit_loop
        before = private_loops.combined_loader(fit_loop)
        if before is not None and not private_loops.reloads_data(fit_loop):
            self._set_up_data()
            return
        rng = rng_state()
        self._set_up_data()
        if private_loops.combined_loader(fit_loop) is not before:
            self._set_up_rng = rng

    def _run(self, data_fetcher: Any) -> None:
        fit_loop = self._trainer.fit_loop
        # As in the wrapped loop: an epoch whose data was set up just before it has its iterator.
        set_up = not (
            self._trainer.current_epoch > 0
            and not fit_loop.is_resuming
            and not self._loop.restarting
        )
        if self.capturing:
            now = rng_state()
            self._epoch = {"set_up": set_up, "rng": self._set_up_rng if set_up else now, "now": now}
        go_on = self._run_epoch
        while True:
            try:
                go_on(data_fetcher)
                return
            except Rollback as rollback:
                path = rollback.path
            except FloatingPointError as error:
                found = self._failed(error)
                if found is None:
                    raise
                path = found
            private_loops.restore_checkpoint(self._trainer, path)
            self._restored(path)
            go_on, data_fetcher = self._rest_of_epoch, private_loops.data_fetcher(fit_loop)

    def _rest_of_epoch(self, data_fetcher: Any) -> None:
        loop = self._loop
        while not loop.done:
            try:
                loop.advance(data_fetcher)
                loop.on_advance_end(data_fetcher)
            except StopIteration:
                break
            finally:
                loop.on_iteration_done()


def _all_metrics(module: LightningModule, results: Any) -> dict[str, Metric]:
    """Every running mean and metric: of the module, and of what was logged in this epoch."""
    found = {
        f"module {name}": part for name, part in module.named_modules() if isinstance(part, Metric)
    }
    # A metric that is logged as an object is the module's, and only referred to here.
    return found | {f"logged {key}": part for key, part in results.items() if part.is_tensor}


def _metrics(module: LightningModule, results: Any) -> dict[str, Any]:
    return {
        name: {"count": metric.update_count, "state": _copies(metric.metric_state)}
        for name, metric in _all_metrics(module, results).items()
    }


def _put_metrics(module: LightningModule, results: Any, saved: dict[str, Any]) -> None:
    for name, metric in _all_metrics(module, results).items():
        metric.reset()
        if name in saved:
            for key, value in _copies(saved[name]["state"]).items():
                setattr(metric, key, value)
            put_update_count(metric, saved[name]["count"])


def _copies(state: dict[str, Any]) -> dict[str, Any]:
    return {
        key: [one.clone() for one in value] if isinstance(value, list) else value.clone()
        for key, value in state.items()
    }


def rng_state() -> dict[str, Any]:
    """The states of torch's, numpy's and Python's generators, and of the GPUs' where they are in use.

    As they come, for this is called at every epoch: `as_containers` makes them fit a checkpoint.
    """
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),
        "python": random.getstate(),
    }
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def as_containers(state: dict[str, Any]) -> dict[str, Any]:
    """The state that `rng_state` gave, in types that a checkpoint may hold."""
    name, keys, *rest = state["numpy"]
    return {**state, "numpy": [name, torch.from_numpy(np.asarray(keys, np.int64)), *rest]}


def set_rng_state(state: dict[str, Any]) -> None:
    """Give the generators back a state that `rng_state` gave, or `as_containers` made of one."""
    torch.set_rng_state(state["torch"].cpu())
    name, keys, *rest = state["numpy"]
    keys = np.asarray(keys.cpu() if isinstance(keys, torch.Tensor) else keys)
    np.random.set_state((name, keys.astype(np.uint32), *rest))
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    if "cuda" in state:
        torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])
