"""One run, from a config to a score. Read this file first.

``python -m project.train optimizer.lr=0.01`` trains once; with ``-m`` it sweeps. Torch and lightning are
imported only when something trains: a sweep's controller imports this file without them.
"""

from pathlib import Path

from omegaconf import DictConfig

import caviar
import caviar.lightning as training
from project.check import check, task_words

_HERE = Path(__file__).resolve().parent
_CLONE = _HERE.parents[1] / "configs"
CONFIGS = _CLONE if (_CLONE / "train.yaml").exists() else _HERE / "configs"
"""The config groups: beside ``src`` in a clone, inside the package in a wheel."""


@caviar.main(
    config_path=str(CONFIGS), config_name="train", complete=task_words, preload=training.IMPORTS
)
def main(config: DictConfig) -> float | list[float]:
    """Train as ``config`` says; the score is ``config.metric`` at the epoch that ``config.score`` names.

    Of several metrics the scores are a list, all of the same epoch: the best is so by the first. With
    ``data.folds`` it is the mean over the folds, each trained by itself.
    """
    check(config)
    return training.over_folds(config, build, train)


def build(config: DictConfig) -> caviar.Experiment:
    """What ``config`` describes: the data, the module and the trainer's settings, nothing trained.

    It needs no run folder and no Hydra at work, so a notebook may call it with a composed config.
    """
    data = training.make_data(config)
    module = training.make_module(config, data)
    return training.experiment(config, module, data)


def train(config: DictConfig, experiment: caviar.Experiment) -> float | list[float]:
    """Fit and, where ``config.test`` says so, test; the score."""
    callbacks = training.make_each(config.get("panda"), config.get("callbacks"))
    loggers = training.make_each(config.get("logger"))
    score = training.fit(config, experiment, callbacks, loggers)
    if config.test:
        training.test(config, experiment)
    return score


if __name__ == "__main__":
    main()  # type: ignore[call-arg]
