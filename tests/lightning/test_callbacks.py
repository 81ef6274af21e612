"""Claims about the callbacks and the logger."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from caviar.lightning import make_each, make_trainer
from caviar.lightning.callbacks.checkpoint import BestAndLast
from caviar.lightning.callbacks.progress_bar import ProgressBar
from caviar.lightning.callbacks.score import Score
from caviar.lightning.loggers import MetricsCSV
from caviar.lightning.quiet import quiet
from caviar.lightning.seeding import seeded
from caviar.runs.active import ActiveRun, activate
from project.train import build, main

pytestmark = pytest.mark.fast

Train = Callable[..., Any]


def test_a_checkpoint_of_before_there_was_a_choice_of_scores_is_gone_on_with() -> None:
    kept, score = BestAndLast("there", "val/acc", "maximize"), Score(["val/acc"], "maximize")
    kept.load_state_dict({"best": 0.9})
    assert kept.state_dict()["metrics"] == {"val/acc": 0.9}
    kept.load_state_dict({"best": None})
    assert kept.state_dict()["epoch"] is None
    score.load_state_dict({"value": 0.9, "epoch": 3, "metrics": {"val/acc": 0.9, "val/loss": 0.1}})
    assert (score.scoring.value, score.scoring.epoch) == (0.9, 3)


def test_early_stopping_ends_a_run_that_no_longer_improves(
    train: Train, short: tuple[str, ...]
) -> None:
    run = train(
        *short,
        "callbacks=early_stopping",
        "callbacks.early_stopping.patience=2",
        "optimizer.lr=1e-12",
        "trainer.max_epochs=50",
    )
    assert len(run.rows) < 10


def test_early_stopping_is_off_by_default(train: Train, short: tuple[str, ...]) -> None:
    assert len(train(*short, "optimizer.lr=1e-12", "trainer.max_epochs=5").rows) == 5


def test_a_callback_is_left_out_by_setting_it_to_null(train: Train, short: tuple[str, ...]) -> None:
    run = train(*short, "callbacks.checkpoint=null")
    assert not (run.folder / "checkpoints").exists()
    assert run.facts["checkpoint"] is None


def test_the_best_checkpoint_is_of_the_best_epoch_and_the_last_of_the_last(
    train: Train, short: tuple[str, ...]
) -> None:
    run = train(*short, "trainer.max_epochs=4", "optimizer.lr=0.3", "data.noise=0.8")
    assert torch.load(run.best, weights_only=True)["epoch"] == run.facts["best_epoch"]
    last = torch.load(run.best.with_name("last.ckpt"), weights_only=True)
    assert last["global_step"] == 4


class Cut(Callback):
    """Ends a training as a crash would, when it begins an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            raise OSError("cut")


def begin(config: Any) -> tuple[Any, Trainer, Score]:
    experiment = build(config)
    score = Score(experiment.objectives, experiment.direction, experiment.score)
    return (
        experiment,
        make_trainer(
            config,
            experiment,
            score,
            make_each(config.panda, config.callbacks),
            make_each(config.logger),
        ),
        score,
    )


@pytest.mark.parametrize("scored", ["best", "last3"])
def test_a_training_cut_short_goes_on_from_its_last_checkpoint_as_if_nothing_had_happened(
    train: Train, compose_run: Callable[..., Any], short: tuple[str, ...], scored: str
) -> None:
    # Without dropout: its random numbers would begin anew.
    settings = (
        *short,
        "data.noise=0.8",
        "optimizer.lr=0.3",
        "scheduler=exponential",
        "trainer.max_epochs=5",
        "callbacks.checkpoint.every_seconds=0",
        f"score={scored}",
    )
    whole = train(*settings)
    config = compose_run(*settings)
    with quiet():
        experiment, trainer, _ = begin(config)
        trainer.callbacks.append(Cut(epoch=3))
        with seeded(0), pytest.raises(OSError, match="cut"):
            trainer.fit(experiment.module, datamodule=experiment.data)
        last = Path(config.dir) / "checkpoints" / "last.ckpt"
        assert torch.load(last, weights_only=True)["epoch"] == 2
        experiment, trainer, score = begin(config)
        trainer.fit(
            experiment.module, datamodule=experiment.data, ckpt_path=str(last), weights_only=True
        )
    best = torch.load(last.with_name("best.ckpt"), weights_only=True)
    assert best["epoch"] == whole.facts["best_epoch"]
    assert (best["epoch"] < 3) == (scored == "best")  # before the cut
    assert (score.scoring.value, score.scoring.epoch) == (whole.score, whole.facts["best_epoch"])
    ended = torch.load(whole.best.with_name("last.ckpt"), weights_only=True)["state_dict"]
    for name, value in experiment.module.state_dict().items():
        assert value.equal(ended[name])


def test_the_progress_bar_shows_in_a_terminal_and_not_in_a_sweep(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert not ProgressBar().wanted  # pytest's output is no terminal
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert ProgressBar().wanted
    with activate(ActiveRun(tmp_path, listener=lambda value, step: None)):
        assert not ProgressBar().wanted


def test_the_progress_bar_shows_the_last_epochs_loss_and_score(
    compose_run: Callable[..., Any], short: tuple[str, ...]
) -> None:
    experiment = build(compose_run(*short))
    bar, score = ProgressBar(), Score(["val/acc"], "maximize")
    with quiet():
        trainer = Trainer(
            callbacks=[score, bar],
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            log_every_n_steps=1,
        )
        trainer.fit(experiment.module, datamodule=experiment.data)
    shown = bar.get_metrics(trainer, experiment.module)
    assert list(shown) == ["train/loss", "val/acc"]
    assert shown["val/acc"] == pytest.approx(float(trainer.callback_metrics["val/acc"]))
    assert shown["train/loss"] == pytest.approx(float(trainer.callback_metrics["train/loss"]))


def test_every_validation_is_reported_to_the_sweep(
    compose_run: Callable[..., Any], short: tuple[str, ...]
) -> None:
    heard: list[tuple[float, int]] = []
    config = compose_run(*short, "trainer.max_epochs=3")
    with activate(ActiveRun(Path(config.dir), listener=lambda *report: heard.append(report))):
        score = main(config)
    assert [step for _, step in heard] == [0, 1, 2]
    assert max(value for value, _ in heard) == score


def test_what_is_logged_in_one_epoch_is_one_row(tmp_path: Path) -> None:
    logger = MetricsCSV(str(tmp_path))
    logger.log_metrics({"epoch": 0, "a": 1.0}, step=4)
    logger.log_metrics({"epoch": 0, "b": 2.0}, step=4)
    logger.log_metrics({"epoch": 1, "b": 3.0}, step=9)
    text = (tmp_path / "metrics.csv").read_text()
    assert text == "epoch,step,a,b\n0,4,1.0,2.0\n1,9,,3.0\n"


def test_rows_are_there_while_the_run_goes_on(tmp_path: Path) -> None:
    logger = MetricsCSV(str(tmp_path))
    for epoch in range(3):
        logger.log_metrics({"epoch": epoch, "a": 0.5}, step=epoch)
        assert len((tmp_path / "metrics.csv").read_text().splitlines()) == epoch + 2


def test_the_best_checkpoint_has_the_weights_that_were_validated(
    train: Train, short: tuple[str, ...]
) -> None:
    run = train(*short, "callbacks=ema", "callbacks.ema.decay=0.6", "metric=val/loss",
                "direction=minimize", "trainer.max_epochs=3")  # fmt: skip
    judged = train(*short, f"ckpt_path='{run.best}'", "train=false", "metric=val/loss",
                   "direction=minimize")  # fmt: skip
    assert judged.score == pytest.approx(run.score, rel=1e-6)


def test_what_the_monitor_of_learning_rates_logs_is_in_its_epochs_row(
    train: Train, short: tuple[str, ...]
) -> None:
    monitor = "+callbacks.rates._target_=lightning.pytorch.callbacks.LearningRateMonitor"
    run = train(*short, monitor, "optimizer.lr=0.5", "scheduler=cosine", "trainer.max_epochs=4",
                "+callbacks.rates.logging_interval=epoch")  # fmt: skip
    name, *_ = [name for name in run.rows[-1] if name.startswith("lr")]
    rates = [float(row[name]) for row in run.rows]
    assert [int(row["epoch"]) for row in run.rows] == [0, 1, 2, 3]
    assert rates[0] == 0.5
    assert rates == sorted(set(rates), reverse=True)


def test_rows_of_an_earlier_try_stay_where_training_returns_before_it_has_logged(
    tmp_path: Path,
) -> None:
    earlier = MetricsCSV(str(tmp_path))
    for epoch in range(3):
        earlier.log_metrics({"epoch": epoch, "a": 0.5}, step=epoch)
    again = MetricsCSV(str(tmp_path))
    again.rewind(2)
    assert (tmp_path / "metrics.csv").read_text() == "epoch,step,a\n0,0,0.5\n1,1,0.5\n"
    again.log_metrics({"epoch": 2, "a": 0.25}, step=2)
    assert (tmp_path / "metrics.csv").read_text().endswith("1,1,0.5\n2,2,0.25\n")
