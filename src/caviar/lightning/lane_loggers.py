"""What a lane has logged, given to the loggers that a Trainer would have had, when its trial ends.

Some loggers (Weights & Biases') have one run a process at a time: so trials come one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import Any

from omegaconf import OmegaConf

from caviar.base.private import log_hyperparameters
from caviar.engines.experiment import Logged, NotFusibleError
from caviar.lightning.making import make_each
from caviar.runs.parsing import parse_yaml

_CSV = "caviar.lightning.loggers.MetricsCSV"
"""Its file lanes write themselves."""

_one_by_one = Lock()


def logger_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a config's loggers, but for that of ``metrics.csv``.

    Raises:
        NotFusibleError: one of them takes what only a Trainer has.
    """
    found = {
        name: settings
        for name, settings in (config.get("logger") or {}).items()
        if settings and settings.get("_target_") != _CSV
    }
    for name, settings in found.items():
        for setting in ("log_model", "log_graph"):  # by which they take more than numbers
            if settings.get(setting):
                raise NotFusibleError(f"logger.{name}.{setting}={settings[setting]}")
    return found


def loggers_of(config: Mapping[str, Any]) -> Callable[[Logged], None]:
    """Make the loggers of a trial's config; what gives them all that it has logged, once it has ended.

    Raises:
        UsageError: one of them cannot be made.
    """
    loggers = make_each(OmegaConf.create({"logger": logger_settings(config)}).logger)

    def log_all(training: Logged) -> None:
        with _one_by_one:  # in the order in which a Trainer does
            for logger in loggers:
                logger.log_hyperparams(parse_yaml(training.config))
            log_hyperparameters(training.module, training.data, loggers)
            for metrics, step in training.logged:
                for logger in loggers:
                    logger.log_metrics(metrics=dict(metrics), step=step)
                    logger.save()
            for logger in loggers:
                logger.finalize("success" if training.complete else "failed")
            close(loggers)

    return log_all


def close(loggers: Iterable[Any]) -> None:
    """End what loggers keep open beyond their training: the next one in this process has its own."""
    for logger in loggers:
        if type(logger).__name__ == "WandbLogger":
            logger.experiment.finish()
