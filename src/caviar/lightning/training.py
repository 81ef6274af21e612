"""One training by a Lightning Trainer: it fits, its score is recorded, and its test part is evaluated."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, LambdaCallback, ProgressBar
from lightning.pytorch.utilities.model_summary.model_summary import summarize
from omegaconf import DictConfig

from caviar.base.errors import UsageError, usage_error
from caviar.base.objectives import as_given, scores_in_words
from caviar.base.plain import echo
from caviar.engines.experiment import Experiment
from caviar.lightning import ranks
from caviar.lightning.alone import one_process
from caviar.lightning.callbacks.checkpoint import LAST
from caviar.lightning.callbacks.epoch_seed import EpochSeed
from caviar.lightning.callbacks.score import Score
from caviar.lightning.callbacks.signals import KeepSignals
from caviar.lightning.compiling import compile_networks
from caviar.lightning.evaluation import evaluate_test_part
from caviar.lightning.lane_loggers import close
from caviar.lightning.quiet import quiet
from caviar.lightning.seeding import seeded
from caviar.lightning.tensors import TensorsAlone, load_weights, read_weights
from caviar.runs.active import active_run, record, resume_from, stop_if_asked
from caviar.runs.checkpoints import read_checkpoint
from caviar.runs.config import resolved
from caviar.runs.files import write_atomic
from caviar.runs.folder import BEST_CHECKPOINT, CHECKPOINTS, METRICS
from caviar.runs.inside import copy_folder, copy_inside

log = logging.getLogger(__name__)

PROFILE = "profile.txt"
"""What ``trainer.profiler`` measured, in the run folder."""

_NEEDED = ("state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", "epoch")
"""What Lightning goes on from."""


def fit(
    config: DictConfig,
    experiment: Experiment,
    callbacks: Iterable[Any] = (),
    loggers: Iterable[Any] = (),
) -> float | list[float]:
    """Train ``experiment`` in the run folder ``config.dir``, and record what came of it.

    ``config.ckpt_path`` gives it the weights to begin with; where ``config.train`` is false they are judged
    by the validation part as they are.

    Returns:
        The score, or the scores, of the epochs that ``experiment.score`` says.

    On several devices each has a process, of which this one is the first; see `caviar.lightning.ranks`.

    Raises:
        FloatingPointError: a loss or the score is NaN or infinite.
        RankLost: another process of the training has failed.
        UsageError: Lightning cannot train with these settings.
    """
    stop_if_asked()
    folder = Path(config.dir)
    data: Any = experiment.data
    if not ranks.joined and hasattr(data, "files"):
        for name, text in data.files().items():
            write_atomic(folder / name, text)
    score = Score(experiment.objectives, experiment.direction, experiment.score)
    with quiet(), seeded(experiment.seed):
        trainer = make_trainer(config, experiment, score, callbacks, loggers)
        resumed = _checkpoint_to_resume(folder)
        if config.get("ckpt_path") and resumed is None:
            _begin_with(config, experiment.module)
        if config.get("compile"):
            compile_networks(experiment.module, trainer.strategy.root_device.type)
        what = {"model": experiment.module, "datamodule": data}
        try:
            with ranks.together(trainer, experiment.module, config, resumed):
                if config.get("train", True):
                    trainer.fit(**what, ckpt_path=resumed, weights_only=True)
                else:
                    trainer.validate(**what, verbose=False)
        except MisconfigurationException as error:
            raise UsageError(f"trainer: {' '.join(str(error).split())}") from error
        finally:
            close(trainer.loggers)
        _keep_profile(trainer, folder)
    scored = score.scoring
    if scored.epoch is None:
        raise usage_error("metric", experiment.metric, "never logged: no validation ran")
    record(
        metric=as_given(experiment.objectives),
        best_epoch=scored.epoch,
        metrics=scored.metrics,
        seed=experiment.seed,
        checkpoint=BEST_CHECKPOINT if (folder / BEST_CHECKPOINT).exists() else None,
    )
    log.info(
        "%s %s: %s", scores_in_words(experiment.objectives, scored.values), scored.when, folder
    )
    return as_given(scored.values)


def test(config: DictConfig, experiment: Experiment) -> None:
    """Evaluate the test part with the best checkpoint of the run, and record that it was done."""
    best = Path(config.dir) / BEST_CHECKPOINT
    if config.get("train", True):
        if not best.exists():
            raise usage_error("test", config.test, "needs callbacks.checkpoint")
        load_weights(experiment.module, read_weights(best))
    metrics = evaluate_test_part(experiment.module, experiment.data, experiment.trainer)
    record(tested=True, test=metrics)
    log.info(scores_in_words([*metrics], [*metrics.values()]))


def make_trainer(
    config: DictConfig,
    experiment: Experiment,
    score: Score,
    callbacks: Iterable[Any] = (),
    loggers: Iterable[Any] = (),
) -> Trainer:
    """The Lightning Trainer with these callbacks and loggers, and ``score`` after them."""
    callbacks, loggers = list(callbacks), list(loggers)
    for logger in loggers:
        logger.log_hyperparams(resolved(config))
    run = active_run()
    # Of a single run somebody reads the output, of a trial's or a fold's nobody.
    single = run is not None and run.listener is None and run.outer is None
    if single and experiment.trainer.get("enable_model_summary", True):
        callbacks.append(LambdaCallback(on_fit_start=_print_summary))
    ours = {
        "callbacks": [KeepSignals(), EpochSeed(experiment.seed), *callbacks, score],
        "logger": loggers,
        # Lightning would add its own of either kind where the config has none.
        "enable_progress_bar": any(isinstance(callback, ProgressBar) for callback in callbacks),
        "enable_checkpointing": any(isinstance(callback, Checkpoint) for callback in callbacks),
        "default_root_dir": config.dir,
    }
    for key in ours.keys() & experiment.trainer.keys():
        why = "is set by caviar.lightning: it is of the run folder, callbacks or logger"
        raise usage_error(f"trainer.{key}", experiment.trainer[key], why)
    nodes = experiment.trainer.get("num_nodes") or 1
    if nodes != 1:
        raise usage_error("trainer.num_nodes", nodes, "a training is on the devices of one machine")
    alone = experiment.trainer.get("devices", 1) in (1, "1")
    environment = one_process() if alone else ranks.Ranks()
    plugins = [*(experiment.trainer.get("plugins") or []), environment]
    if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
        plugins.append(TensorsAlone())
    settings = {**experiment.trainer, "plugins": plugins}
    settings["enable_model_summary"] = False  # Lightning's own would go to its log
    try:
        return Trainer(**settings, **ours)
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise UsageError(f"trainer: {' '.join(str(error).split())}") from error


def _print_summary(trainer: Trainer, module: LightningModule) -> None:
    if trainer.is_global_zero:
        echo(str(summarize(module)))


def _checkpoint_to_resume(folder: Path) -> Path | None:
    """The checkpoint that a training in ``folder`` goes on from; None where there is no whole one.

    What an earlier try left in a folder of its own is copied to this one, best checkpoint and curve too.
    """
    earlier = resume_from()
    if earlier is None or not (earlier / LAST).is_file():
        return None
    try:
        read_checkpoint(earlier / LAST, _NEEDED)
    except (UsageError, OSError) as error:
        log.warning("begins afresh: %s", error)
        return None
    here = folder / CHECKPOINTS
    if earlier != here:
        copy_folder(earlier, here)
        if (earlier.parent / METRICS).is_file():
            copy_inside(earlier.parent / METRICS, folder / METRICS)
    return here / LAST


def _begin_with(config: DictConfig, module: LightningModule) -> None:
    strict = config.get("ckpt_strict", True)
    left = load_weights(module, read_weights(Path(config.ckpt_path), foreign=True), strict)
    if left:
        log.info("ckpt_path: %d tensors do not fit and begin afresh: %s", len(left), left[0])


def _keep_profile(trainer: Trainer, folder: Path) -> None:
    """Print what ``trainer.profiler`` measured, where there is one, and keep it in the run folder."""
    profiler: Any = trainer.profiler  # type: ignore[attr-defined]
    table = profiler.summary().strip()
    if table:
        write_atomic(folder / PROFILE, f"{table}\n")
        echo(table)
