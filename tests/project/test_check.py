"""Claims about bad input: one line, with the key, the value and the nearest valid name, early."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from caviar import UsageError
from caviar.base import hydra_versions
from project.check import check, metric_names
from project.train import CONFIGS
from tests import copies


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "metric=val/accc",
            "metric=val/accc: no such metric; did you mean val/acc? (one of: train/loss, val/loss, "
            "val/acc, val/acc_macro, val/f1, val/ece, val/auroc)",
        ),
        (
            "direction=max",
            "direction=max: no such choice; did you mean maximize? (one of: minimize, maximize)",
        ),
        (
            "callbacks.checkpoint.metric=val/ac",
            "callbacks.checkpoint.metric=val/ac: no such metric; did you mean val/acc? (one of: "
            "train/loss, val/loss, val/acc, val/acc_macro, val/f1, val/ece, val/auroc)",
        ),
        (
            "trainer.check_val_every_n_epoch=50",
            "trainer.check_val_every_n_epoch=50: no validation in trainer.max_epochs=20",
        ),
        ("seed=-1", "seed=-1: must be at least 0 and below 2**32"),
        ("seed=4294967296", "seed=4294967296: must be at least 0 and below 2**32"),
        ("optimizer.lr=0", "optimizer.lr=0: must be above 0"),
        ("optimizer.lr=fast", "optimizer.lr=fast: must be a number"),
        ("optimizer.beta1=1", "optimizer.beta1=1: must be at least 0 and below 1"),
        ("data.batch_size=0", "data.batch_size=0: must be above 0"),
        ("data.val_fraction=0", "data.val_fraction=0: must be above 0 and below 1"),
        ("data.val_fraction=-0.1", "data.val_fraction=-0.1: must be above 0 and below 1"),
        ("data.test_fraction=1", "data.test_fraction=1: must be at least 0 and below 1"),
        (
            "data.val_fraction=0.9",
            "data.val_fraction=0.9: leaves nothing to train on beside data.test_fraction=0.15",
        ),
        ("model.dropout=1", "model.dropout=1: must be at least 0 and below 1"),
        ("model.width=0", "model.width=0: must be above 0"),
        ("trainer.max_epochs=0", "trainer.max_epochs=0: must be above 0"),
        ("trainer.max_epochs=-1", "trainer.max_epochs=-1: must be above 0"),
        ("+trainer.max_steps=0", "trainer.max_steps=0: must be above 0, or -1 for no end"),
        ("scheduler.warmup_epochs=-1", "scheduler.warmup_epochs=-1: must be at least 0"),
        ("scheduler=step scheduler.step_epochs=0", "scheduler.step_epochs=0: must be above 0"),
        (
            "scheduler=onecycle scheduler.rise=1",
            "scheduler.rise=1: must be at least 0 and below 1",
        ),
        (
            "scheduler=plateau scheduler.reduce=1.5",
            "scheduler.reduce=1.5: must be above 0 and below 1",
        ),
        *(
            (f"trainer.{name}=0", f"trainer.{name}=0: must be above 0")
            for name in (
                *("accumulate_grad_batches", "check_val_every_n_epoch", "limit_train_batches"),
            )
        ),
        (
            "trainer.limit_val_batches=0",
            "trainer.limit_val_batches=0: leaves nothing for metric=val/acc",
        ),
        ("trainer.gradient_clip_val=x", "trainer.gradient_clip_val=x: must be a number"),
        (
            "trainer.deterministic=wern",
            "trainer.deterministic=wern: no such choice; did you mean warn? (one of: True, False, warn)",
        ),
        (
            "callbacks=early_stopping callbacks.early_stopping.patience=x",
            "callbacks.early_stopping.patience=x: must be a number",
        ),
        ("callbacks.nan_guard.every_steps=0", "callbacks.nan_guard.every_steps=0: must be above 0"),
        ("data.split_seed=null", "data.split_seed=null: must be a number"),
        ("seed=null", "seed=null: must be a number"),
        ("trainer.max_epochs=null", "trainer.max_epochs=null: must be a number"),
        ("seed=1.5", "seed=1.5: must be a whole number"),
        ("data.batch_size=2.5", "data.batch_size=2.5: must be a whole number"),
        ("model.width=2.5", "model.width=2.5: must be a whole number"),
        ("model.depth=1.5", "model.depth=1.5: must be a whole number"),
        ("data.drop_last=maybe", "data.drop_last=maybe: must be true or false"),
        *(
            (
                f"model.hidden={hidden}",
                f"model.hidden={shown}: must be a list of whole numbers above 0, as [64, 32], or null",
            )
            for hidden, shown in (("64", "64"), ("[0]", "[0]"), ("[8,2.5]", "[8, 2.5]"))
        ),
        (
            "+callbacks.watch.monitor=val/ac",
            "callbacks.watch.monitor=val/ac: no such metric; did you mean val/acc? (one of: "
            "train/loss, val/loss, val/acc, val/acc_macro, val/f1, val/ece, val/auroc)",
        ),
        (
            "metric=[val/acc]",
            "metric=[val/acc]: one objective is written without brackets, as in metric=val/acc",
        ),
        (
            "metric=[val/acc,val/f1]",
            "direction=maximize: 1 for the 2 of metric=[val/acc,val/f1]: one an objective",
        ),
        (
            "metric=[val/acc,val/acc] direction=[maximize,maximize]",
            "metric=[val/acc,val/acc]: val/acc stands there twice",
        ),
        (
            "metric=[val/acc,val/loss] direction=[maximize,maximize]",
            "direction=maximize: val/loss is better when it is lower: direction=minimize",
        ),
        ("name=null", "name='': a name is made of A-Z a-z 0-9 . _ - alone"),
        (
            "name=best",
            "name=best: means something else to every command that takes a run or a sweep; "
            "run-best would do",
        ),
        (
            "metric=val/loss",
            "direction=maximize: val/loss is better when it is lower: direction=minimize",
        ),
        (
            "metric=val/ece",
            "direction=maximize: val/ece is better when it is lower: direction=minimize",
        ),
    ],
)
def test_a_wrong_setting_is_told(override: str, line: str, compose_run: Callable[..., Any]) -> None:
    with pytest.raises(UsageError) as told:
        check(compose_run(*override.split(" ")))
    assert str(told.value) == line


@pytest.mark.parametrize(
    ("claimed", "line"),
    [
        (
            "hydra.sweeper.metric=val/accc",
            "hydra.sweeper.metric=val/accc: the score is metric=val/acc; metric=… sets both; did you mean "
            "val/acc?",
        ),
        ("hydra.sweeper.metric=val/f1", "hydra.sweeper.metric=val/f1: the score is metric=val/acc"),
        (
            "hydra.sweeper.direction=minimize",
            "hydra.sweeper.direction=minimize: the score is direction=maximize; direction=… sets both",
        ),
    ],
)
def test_a_sweep_does_not_say_that_it_is_scored_by_what_it_is_not(claimed: str, line: str) -> None:
    with initialize_config_dir(str(CONFIGS), **hydra_versions.BASE):
        config = compose("train", overrides=[claimed, "name=a"], return_hydra_config=True)
    with pytest.raises(UsageError) as told:
        check(config)
    assert str(told.value).startswith(line)


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        ("model.width=-4,8", "model.width=-4: must be above 0"),
        ("model.width=interval(16,256)", "model.width=16.24: must be a whole number"),
        ("model.dropout=interval(0,2)", "model.dropout=1.998: must be at least 0 and below 1"),
        ("optimizer.lr=0.1,null", "optimizer.lr=null: must be a number"),
        ("metric=val/acc,val/f1", "metric=a choice: it is what trials are compared by"),
        ("model.hidden=choice([8],[0])", "model.hidden=[0]: must be a list of whole numbers"),
    ],
)
def test_an_impossible_end_of_a_space_is_told_before_the_sweep_starts(
    space: str, problem: str, tmp_path: Path
) -> None:
    line = [sys.executable, "-P", "-m", "project.train", "-m", f"hydra.sweep.dir={tmp_path}/s"]
    done = copies.run([*line, space], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {problem}")
    assert done.stderr.endswith(" (the space has this value)\n") or "compared" in problem
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    "overrides",
    [
        ["metric=val/loss", "direction=minimize"],
        ["trainer.max_epochs=null", "+trainer.max_steps=9"],
        ["model.hidden=[]"],
        ["model.hidden=[16]", "data.drop_last=true"],
        ["data.folds=null", "data.overfit=64"],
        ["trainer.limit_val_batches=0", "metric=train/loss", "direction=minimize"],
        ["trainer.check_val_every_n_epoch=null", "+trainer.val_check_interval=50"],
    ],
)
def test_a_right_setting_passes(overrides: list[str], compose_run: Callable[..., Any]) -> None:
    check(compose_run(*overrides))


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["model.activation=rellu"], "model.activation=rellu: no such choice; did you mean relu?"),
        (["model.batch_norm=befor"], "model.batch_norm=befor: no such choice; did you mean before"),
        (
            ["data=synthetic", "data.shape=spiral"],
            "data.shape=spiral: no such choice; did you mean",
        ),
        (["panda='true'", "data.folds=3"], "data.folds=3: a panda is one training"),
        (["data=synthetic", "data.samples=8"], "data.samples=8: too few: each class needs 3"),
        (
            ["data=table", "data.target=y"],
            "data.path=???: has to be given, as in data.path=houses.csv",
        ),
        (["data=table", "data.path=a.csv"], "data.target=???: has to be given, as in data.target="),
        (["data=synthetic", "data.classes=1"], "data.classes=1: must be at least 2"),
        (
            ["data=synthetic", "data.shape=spirals", "data.features=1"],
            "data.features=1: spirals need at least 2",
        ),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest(
    overrides: list[str], line: str, compose_run: Callable[..., Any]
) -> None:
    with pytest.raises(UsageError) as told:
        check(compose_run(*overrides))
    assert str(told.value).startswith(line)


def broken(table: Path, how: str) -> list[str]:
    """Make ``table`` bad in one way; the overrides that name it."""
    path, target = table, "kind"
    frame = pd.read_csv(table)
    if how == "missing":
        path = table.with_name("shell.csv")
    elif how == "no bytes":
        table.write_text("")
    elif how == "no rows":
        frame.iloc[:0].to_csv(table, index=False)
    elif how == "no target":
        target = "kin"
    elif how == "one class":
        frame.assign(kind="clam").to_csv(table, index=False)
    elif how == "small class":
        frame.loc[0, "kind"] = "winkle"
        frame.to_csv(table, index=False)
    elif how == "nan target":
        frame.loc[:4, "kind"] = None
        frame.to_csv(table, index=False)
    elif how == "only target":
        frame[["kind"]].to_csv(table, index=False)
    elif how == "other format":
        path = table.with_suffix(".xlsx")
    elif how == "not parquet":
        path = table.with_suffix(".parquet")
        path.write_text("no parquet at all")
    return ["data=table", f"data.path='{path}'", f"data.target={target}"]


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("missing", "data.path={dir}/shell.csv: no such file; did you mean {dir}/shells.csv?"),
        ("no bytes", "data.path={dir}/shells.csv: the file is empty"),
        ("no rows", "data.path={dir}/shells.csv: the table has no rows"),
        ("no target", "data.target=kin: no such column in {dir}/shells.csv; did you mean kind?"),
        ("one class", "data.target=kind: has one class only (clam)"),
        ("small class", "data.target=kind: class winkle has 1 rows, but 3 are needed to split it"),
        ("nan target", "data.target=kind: is missing in 5 rows of {dir}/shells.csv"),
        ("only target", "data.path={dir}/shells.csv: has no column but the target kind"),
        ("other format", "data.path={dir}/shells.xlsx: not a .csv or .parquet file"),
        ("not parquet", "data.path={dir}/shells.parquet: not readable as .parquet"),
    ],
)
def test_a_bad_table_is_told(
    how: str, line: str, table: Path, compose_run: Callable[..., Any]
) -> None:
    config = compose_run(*broken(table, how))
    with pytest.raises(UsageError) as told:
        check(config)
    assert str(told.value).startswith(line.format(dir=table.parent))
    assert "\n" not in str(told.value)


def test_good_settings_pass(compose_run: Callable[..., Any]) -> None:
    check(compose_run("callbacks.checkpoint=null", "trainer.gradient_clip_val=null"))
    check(compose_run("callbacks=early_stopping", "trainer.deterministic=warn"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_good_table_passes(suffix: str, table: Path, compose_run: Callable[..., Any]) -> None:
    pd.read_csv(table).to_parquet(table.with_suffix(".parquet"))
    path = table.with_suffix(suffix)
    check(compose_run("data=table", f"data.path='{path}'", "data.target=kind"))


def test_a_logger_whose_package_is_not_there_is_told(compose_run: Callable[..., Any]) -> None:
    config = compose_run("logger=mlflow")
    if any(name in sys.modules for name in ("mlflow",)):
        pytest.skip("mlflow is installed")
    with pytest.raises(UsageError, match="logger=mlflow: needs: pip install mlflow"):
        check(config)


def test_the_metrics_that_may_be_asked_for_are_the_ones_logged(
    compose_run: Callable[..., Any], train: Callable[..., Any], short: tuple[str, ...]
) -> None:
    run = train(*short)
    assert sorted(run.facts["metrics"]) == sorted(metric_names(run.config))


def test_another_models_settings_are_not_checked(compose_run: Callable[..., Any]) -> None:
    check(compose_run("~model.activation", "~model.dropout", "+model.kernel=3"))


def test_importing_the_entry_and_checking_imports_neither_torch_nor_lightning() -> None:
    code = (
        "import sys, project.train as t, project.check\n"
        "from hydra import compose, initialize_config_dir\n"
        "from caviar.base.hydra_versions import BASE\n"
        "with initialize_config_dir(str(t.CONFIGS), **BASE):\n"
        "    t.check(compose('train'))\n"
        "print(sorted({'torch', 'lightning', 'pandas', 'sklearn'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_key_of_another_optimizer_is_told_with_the_optimizers_that_have_it() -> None:
    line = [sys.executable, "-P", "-m", "project.train", "optimizer.momentum=0.9"]
    done = copies.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "error: optimizer.momentum=0.9: the config has no such key; "
        "it is there with optimizer=rmsprop or optimizer=sgd\n",
    )


def test_a_test_with_no_test_part_is_told_before_training(compose_run: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match=r"test=True: data\.test_fraction=0 leaves no test part"):
        check(compose_run("test=true", "data.test_fraction=0"))


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["optimizer=sgd", "optimizer.nesterov=true", "optimizer.momentum=0"],
            "torch.optim.sgd.SGD: ValueError: Nesterov momentum requires a momentum",
        ),
        (["+optimizer.foo=1"], "torch.optim.adam.Adam: TypeError: Adam.__init__() got an unexp"),
        (["+model.foo=1"], "project.models.mlp.MLP: TypeError: MLP.__init__() got an unexpected"),
        (
            ["+callbacks.checkpoint.foo=1"],
            "callbacks.checkpoint: TypeError: BestAndLast.__init__()",
        ),
        (["trainer.precision=fp8"], "trainer: Precision 'fp8' is invalid. Allowed precision"),
        (["+trainer.foo=1"], "trainer: Trainer.__init__() got an unexpected keyword argument"),
        (["+trainer.logger=true"], "trainer.logger=True: is set by caviar.lightning"),
        (
            ["trainer.limit_train_batches=0.0001"],
            "trainer: You requested to check 0.0001 of the `train_dataloader`",
        ),
    ],
)
def test_what_a_library_says_of_its_arguments_is_told_in_one_line(
    overrides: list[str], line: str, train: Callable[..., Any], short: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError) as told:
        train(*short, *overrides)
    assert str(told.value).startswith(line)
    assert "\n" not in str(told.value)


def test_a_config_group_set_to_null_is_told_its_options() -> None:
    line = [sys.executable, "-P", "-m", "project.train", "logger=null"]
    done = copies.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "error: logger=null: no such option of this group; ~logger leaves"
    )
    assert done.stderr.count("\n") == 1


def test_a_key_that_only_the_default_space_names_is_told_with_what_leaves_it_out(tmp_path: Path):
    line = [sys.executable, "-P", "-m", "project.train", "-m", f"hydra.sweep.dir={tmp_path}/s"]
    done = copies.run([*line, "~model.width"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: model.width=int(tag(log, interval(16, 128))): the config has no such key; "
        "did you mean model.depth? It is searched by space=mlp, which space=none leaves out\n"
    )
    assert not (tmp_path / "s").exists()


def test_what_the_space_gives_need_not_be_given(
    table: Path, compose_run: Callable[..., Any]
) -> None:
    other = table.with_name("other.csv")
    other.write_text(table.read_text())
    config = compose_run("data=table", "data.batch_size=???")
    space = {"data.path": [str(table), str(other)], "data.target": ["kind", "broken"]}
    check(config, {**space, "data.batch_size": [16, 32]})
    with pytest.raises(UsageError, match=r"data\.target=\?\?\?: has to be given"):
        check(config, {"data.path": space["data.path"], "data.batch_size": [16]})
    other.write_text("x,kind\n")
    with pytest.raises(UsageError, match=r"other\.csv: the table has no rows"):
        check(compose_run("data=table", "data.target=kind"), {"data.path": space["data.path"]})


def test_a_setting_of_the_reading_is_told_before_anything_starts(
    table: Path, compose_run: Callable[..., Any]
) -> None:
    words = ("data=table", f"data.path='{table}'", "data.target=kind")
    with pytest.raises(UsageError, match=r"data\.encoding=utf-9: no such encoding"):
        check(compose_run(*words, "data.encoding=utf-9"))
    with pytest.raises(
        UsageError, match=r"data\.dates=wieght: no such column .* did you mean weight"
    ):
        check(compose_run(*words, "data.dates=[wieght]"))
