"""Taking a Lightning training back to an earlier batch, in the same process, exactly.

Lightning can restore a checkpoint before a training begins, not within one; and of a checkpoint from
the middle of an epoch it restores neither which batches were seen nor the random numbers. So the loop
over an epoch's batches is wrapped: a `Rollback` raised in it restores the state and goes on in it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torchmetrics import Metric

from caviar.panda.rng import as_containers, rng_state, set_rng_state


class Rollback(BaseException):
    """Raised inside an epoch: go on from the checkpoint at ``path`` instead."""

    def __init__(self, path: Path) -> None:
        self.path = path


class Rewind:
    """Saves the state of a training before a batch, and goes back to one.

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
        self.install()

    def install(self) -> None:
        """Wrap the trainer's loop over an epoch's batches."""
        self._loop.run = self._run  # type: ignore[method-assign]
        self._trainer.fit_loop.setup_data = self._setup  # type: ignore[method-assign]

    def remove(self) -> None:
        """Leave the trainer as it was."""
        del self._loop.run
        del self._trainer.fit_loop.setup_data

    def save(self, path: Path) -> None:
        """Write a checkpoint, which holds `taking` as well."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        self.taking = self._state()
        try:
            self._trainer.save_checkpoint(partial)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        finally:
            self.taking = None
        partial.replace(path)

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
            "stepped": self._loop._batches_that_stepped,
            "evaluating": [name for name, part in module.named_modules() if not part.training],
            "metrics": _metrics(module, self._loop._results),
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
        _settle(trainer.fit_loop)
        for progress in (loop.batch_progress.current, loop.batch_progress.total):
            progress.reset_on_restart()
        # Set as soon as a batch is fetched: a state from before an epoch's last batch says so too.
        loop.batch_progress.is_last_batch = False
        loop._batches_that_stepped = state["stepped"]
        self.fetch_rng = state["fetch_rng"]
        self._fast_forward(state)
        _put_metrics(module, loop._results, state["metrics"])

    def _fast_forward(self, state: dict[str, Any]) -> None:
        """Begin the epoch's data anew, with the random numbers it had, and skip the batches seen."""
        fit_loop = self._trainer.fit_loop
        self._epoch = state["epoch"]
        set_rng_state(self._epoch["rng"])
        if self._epoch["set_up"]:
            fit_loop._combined_loader = None
            fit_loop.setup_data()
            set_rng_state(self._epoch["now"])  # a hook may have seeded the epoch since
        else:
            iter(fit_loop._data_fetcher)  # type: ignore[arg-type]
        fetcher = fit_loop._data_fetcher
        assert fetcher is not None
        fetcher._start_profiler = self._loop._on_before_fetch
        fetcher._stop_profiler = self._loop._on_after_fetch
        if state["fetch_rng"] is not None:
            for _ in range(self._loop.batch_progress.current.ready):
                next(fetcher)
            set_rng_state(state["fetch_rng"])

    def _setup(self) -> None:
        fit_loop = self._trainer.fit_loop
        before = fit_loop._combined_loader
        if before is not None and not fit_loop._should_reload_train_dl:
            self._set_up_data()
            return
        rng = rng_state()
        self._set_up_data()
        if fit_loop._combined_loader is not before:
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
            self._trainer._checkpoint_connector.restore(path, weights_only=True)
            self._restored(path)
            go_on, data_fetcher = self._rest_of_epoch, fit_loop._data_fetcher

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


def _settle(loop: Any) -> None:
    # Restoring tells every loop that a run is about to begin anew. It is not: this one goes on.
    from lightning.pytorch.loops.loop import _Loop

    loop._restarting = loop._loaded_from_state_dict = loop._resuming_from_checkpoint = False
    loop.reset_restart_stage()
    for part in vars(loop).values():
        if isinstance(part, _Loop):
            _settle(part)


def _all_metrics(module: LightningModule, results: Any) -> dict[str, Metric]:
    """Every running mean and metric: of the module, and of what was logged in this epoch."""
    found = {
        f"module {name}": part for name, part in module.named_modules() if isinstance(part, Metric)
    }
    # A metric that is logged as an object is the module's, and only referred to here.
    return found | {f"logged {key}": part for key, part in results.items() if part.is_tensor}


def _metrics(module: LightningModule, results: Any) -> dict[str, Any]:
    return {
        name: {
            "count": metric._update_count,
            "state": {key: _copy(getattr(metric, key)) for key in metric._defaults},
        }
        for name, metric in _all_metrics(module, results).items()
    }


def _put_metrics(module: LightningModule, results: Any, saved: dict[str, Any]) -> None:
    for name, metric in _all_metrics(module, results).items():
        metric.reset()
        if name not in saved:
            continue
        for key, value in saved[name]["state"].items():
            setattr(metric, key, _copy(value))
        metric._update_count = saved[name]["count"]
        metric._computed = None


def _copy(value: Any) -> Any:
    return [one.clone() for one in value] if isinstance(value, list) else value.clone()
