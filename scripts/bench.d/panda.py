"""What watching a run costs: one training, watched in every second epoch; the epochs in pairs."""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TARGET = 0.01


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=600, help="half of them watched")
    parser.add_argument("--width", type=int, default=64, help="units a layer of the network")
    parser.add_argument("--batch-size", type=int, default=64)
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        pairs, steps, clock = train(Path(folder), arguments)
    plain = sum(without for without, _ in pairs)
    more = [watched - without for without, watched in pairs]
    total = sum(more) / plain
    error = 2 * statistics.stdev(more) * math.sqrt(len(more)) / plain
    typical = statistics.median(more) / statistics.median(without for without, _ in pairs)
    print(
        f"{len(pairs)} pairs of epochs of {steps} steps, {1e6 * plain / len(pairs) / steps:.0f} us each"
    )
    print(
        f"watching adds {100 * total:.2f} % of CPU time "
        f"(95 % interval {100 * (total - error):.2f} to {100 * (total + error):.2f}); "
        f"{100 * typical:.2f} % in the median pair"
    )
    print(f"by the run's own clock, which counts what else runs here: {100 * clock:.2f} %")
    print(f"target: below {100 * TARGET:.0f} %: {'met' if total < TARGET else 'NOT met'}")
    return 0 if total < TARGET else 1


def train(
    folder: Path, arguments: argparse.Namespace
) -> tuple[list[tuple[float, float]], int, float]:
    """Train once: CPU seconds of (an epoch without, the next one with), steps an epoch, and `overhead`.

    They are neighbours in one training, and not two trainings: what else a machine does is far more
    than what is measured.
    """
    from hydra import compose, initialize_config_dir

    from caviar.base import hydra_versions
    from caviar.lightning import make_each, make_trainer
    from caviar.lightning.callbacks.score import Score
    from caviar.lightning.quiet import quiet
    from caviar.lightning.seeding import seeded
    from caviar.panda.callback import Panda
    from project.train import CONFIGS, build

    overrides = [f"dir='{folder}'", f"trainer.max_epochs={arguments.epochs}", "panda='true'"]
    overrides += [f"model.width={arguments.width}", f"data.batch_size={arguments.batch_size}"]
    # What it does now and then falls into the half that is watched: half as often is as often as ever.
    overrides += ["+panda.share=0.00025"]
    # Its writing of a checkpoint at every best epoch is none of ours, and falls where it likes.
    overrides += ["callbacks.checkpoint=null"]
    with initialize_config_dir(str(CONFIGS), **hydra_versions.BASE):
        config = compose("train", overrides=overrides)
    experiment = build(config)
    with quiet(), seeded(0):
        trainer = make_trainer(
            config,
            experiment,
            Score(config.metric, config.direction),
            make_each(config.panda, config.callbacks),
            make_each(config.logger),
        )
        (panda,) = [c for c in trainer.callbacks if isinstance(c, Panda)]
        switch = make_switch(panda)
        trainer.callbacks.append(switch)
        trainer.fit(experiment.module, datamodule=experiment.data)
    times = switch.seconds[20:]  # less what comes once
    # Only half of the time is watched.
    return (
        list(zip(times[::2], times[1::2], strict=False)),
        trainer.num_training_batches,
        2 * panda._status.overhead,
    )


def make_switch(panda: Any) -> Any:
    """A callback that takes ``panda`` out of the training and puts it back, epoch by epoch."""
    from lightning.pytorch import Callback

    class Switch(Callback):
        def __init__(self) -> None:
            self.seconds: list[float] = []
            self._began = 0.0

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.all = list(trainer.callbacks)
            self.others = [one for one in self.all if one is not panda]
            self._began = time.thread_time()

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            now = time.thread_time()
            self.seconds.append(now - self._began)
            if len(self.seconds) % 2:
                trainer.callbacks = self.all
                panda._rewind.install()
            else:
                trainer.callbacks = self.others
                panda._rewind.remove()
            self._began = time.thread_time()

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            trainer.callbacks = self.all
            panda._rewind.install()

    return Switch()


if __name__ == "__main__":
    sys.exit(main())
