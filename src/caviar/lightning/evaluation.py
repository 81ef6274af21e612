"""Evaluating the test part: once, after everything has been decided without it."""

from collections.abc import Mapping
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.callbacks import LambdaCallback

from caviar.base.errors import UsageError
from caviar.lightning.alone import evaluator
from caviar.lightning.quiet import quiet
from caviar.runs.active import record


def evaluate_test_part(
    module: LightningModule, data: LightningDataModule, settings: Mapping[str, Any]
) -> dict[str, float]:
    """Every metric of ``module`` on the test part of ``data``, as ``test/NAME``.

    A trainer of its own does it, without loggers: metrics.csv is the training's.

    Args:
        settings: of the training's trainer; accelerator and precision are taken from it.
    """
    with quiet():
        begins = LambdaCallback(on_test_start=lambda trainer, module: record(testing=True))
        device = settings.get("accelerator", "auto")
        trainer = evaluator(begins, device, settings.get("precision"))
        try:
            parts = trainer.test(module, datamodule=data, verbose=False)
        except MisconfigurationException as error:
            raise UsageError(f"test: {' '.join(str(error).split())}") from error
    return {name: float(value) for metrics in parts for name, value in metrics.items()}
