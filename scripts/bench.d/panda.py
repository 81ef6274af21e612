"""What watching a run costs: the share of a training's time that panda=true takes."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

TARGET = 0.01


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=int, default=64, help="units a layer of the network")
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    shares = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.rounds):
            step, watching = train(Path(folder) / str(number), arguments)
            shares.append(watching / step)
            print(f"{1e6 * step:.0f} us a step, of which watching {1e6 * watching:.1f} us")
    share = statistics.median(shares)
    print(f"{100 * share:.2f} % of the time is watching, checks and status included")
    print(f"target: below {100 * TARGET:.0f} %: {'met' if share < TARGET else 'NOT met'}")
    return 0 if share < TARGET else 1


def train(folder: Path, arguments: argparse.Namespace) -> tuple[float, float]:
    """Train once with panda=true: CPU seconds a step, and those of them spent in its hooks.

    They are taken from one run, and not from two compared: what else a machine does is far more than
    what is measured. The time that Lightning takes to call a hook is in it.
    """
    from hydra import compose, initialize_config_dir
    from lightning.pytorch.trainer import call

    from project.callbacks.score import Score
    from project.quiet import quiet
    from project.seeding import seeded
    from project.train import CONFIGS, build, make_trainer

    folder.mkdir()
    overrides = [f"dir='{folder}'", f"trainer.max_epochs={arguments.epochs}", "panda='true'"]
    overrides += [f"model.width={arguments.width}"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", overrides=overrides)
    experiment = build(config)
    with quiet(), seeded(0):
        trainer = make_trainer(config, experiment, Score(config.metric, config.direction))
        (panda,) = [c for c in trainer.callbacks if type(c).__name__ == "Panda"]
        spent = timed(panda)
        began = time.thread_time()
        trainer.fit(experiment.module, datamodule=experiment.data)
        took = time.thread_time() - began
        before = time.thread_time()
        trainer.callbacks = [Empty()]
        for _ in range(1000):
            call._call_callback_hooks(trainer, "on_train_batch_end", None, None, 0)
        with_one = time.thread_time() - before
        trainer.callbacks = []
        before = time.thread_time()
        for _ in range(1000):
            call._call_callback_hooks(trainer, "on_train_batch_end", None, None, 0)
        calling = (with_one - (time.thread_time() - before)) / 1000  # one hook at each step
    return took / trainer.global_step, sum(spent) / trainer.global_step + calling


class Empty:
    """A callback that does nothing."""

    state_key = "Empty"

    def on_train_batch_end(self, *_: object) -> None: ...


def timed(panda: object) -> list[float]:
    """Have every hook of ``panda`` add the time it takes to the list that comes back."""
    spent: list[float] = []

    def wrap(function):
        def hook(*arguments):
            began = time.thread_time()
            try:
                return function(*arguments)
            finally:
                spent.append(time.thread_time() - began)

        return hook

    names = [name for name in dir(panda) if name.startswith("on_")] + ["_gradients_are_there"]
    for name in names:
        if callable(getattr(panda, name)):
            setattr(panda, name, wrap(getattr(panda, name)))
    return spent


if __name__ == "__main__":
    sys.exit(main())
