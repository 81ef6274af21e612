"""The names of a Trainer's loops that Lightning does not promise: see `caviar.base.private`.

All would be replaced by a Trainer that restores a checkpoint within a training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from caviar.base.private import attribute, looked_up, put

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


def restore_checkpoint(trainer: Trainer, path: Any) -> None:
    """Put the state of a checkpoint into a training that is under way."""
    attribute("lightning", trainer, "_checkpoint_connector").restore(path, weights_only=True)


def settle_loop(loop: Any) -> None:
    """Make a loop, and those in it, go on where it is: restoring has marked it as begun anew."""
    kind = looked_up("lightning", "lightning.pytorch.loops.loop", "_Loop")
    put(
        "lightning",
        loop,
        _restarting=False,
        _loaded_from_state_dict=False,
        _resuming_from_checkpoint=False,
    )
    loop.reset_restart_stage()
    for part in cast("dict[str, Any]", vars(loop)).values():
        if isinstance(part, kind):
            settle_loop(part)


def batches_that_stepped(loop: Any) -> int:
    """How many batches of this training led to a step, by which a logger counts."""
    return attribute("lightning", loop, "_batches_that_stepped")


def put_batches_that_stepped(loop: Any, count: int) -> None:
    """Set `batches_that_stepped`."""
    put("lightning", loop, _batches_that_stepped=count)


def logged_results(loop: Any) -> Any:
    """What was logged in this epoch, as running means."""
    return attribute("lightning", loop, "_results")


def combined_loader(fit_loop: Any) -> Any:
    """The training data, set up; None before that."""
    return attribute("lightning", fit_loop, "_combined_loader")


def drop_combined_loader(fit_loop: Any) -> None:
    """Let the next `setup_data` set the data up anew."""
    put("lightning", fit_loop, _combined_loader=None)


def reloads_data(fit_loop: Any) -> bool:
    """Whether this epoch begins with new data loaders."""
    return attribute("lightning", fit_loop, "_should_reload_train_dl")


def data_fetcher(fit_loop: Any) -> Any:
    """What gives an epoch its batches."""
    return attribute("lightning", fit_loop, "_data_fetcher")


def watch_fetching(fetcher: Any, loop: Any) -> None:
    """Let a new fetcher call the loop's hooks at each batch, as `fit_loop.advance` has it."""
    put(
        "lightning",
        fetcher,
        _start_profiler=attribute("lightning", loop, "_on_before_fetch"),
        _stop_profiler=attribute("lightning", loop, "_on_after_fetch"),
    )
