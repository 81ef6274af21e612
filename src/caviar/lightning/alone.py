"""Trainings that are one process each, whatever a job scheduler has put into the environment."""

from typing import Any

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_only


def one_process() -> LightningEnvironment:
    """The plugin of a Trainer on one device.

    Lightning takes a training inside a Slurm job, under ``torchrun`` or beside an ``srun`` for a part of
    a larger one: it would wait for the others, leave the logs to them, or warn. A sweep's trials, and
    runs side by side in one job, are trainings by themselves.
    """
    rank_zero_only.rank = 0  # what says whether this process writes logs
    return LightningEnvironment()


def evaluator(watch: Callback, accelerator: str, precision: Any = None) -> Trainer:
    """A Trainer on one device that evaluates and leaves no trace: no log, no checkpoint, no output."""
    return Trainer(
        callbacks=[watch],
        accelerator=accelerator,
        precision=precision,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[one_process()],
    )
