"""Any LightningModule on any LightningDataModule trains as it stands, and opens again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from caviar import UsageError
from caviar.base import security
from caviar.lightning.predict import predict
from caviar.lightning.saved import open_run
from caviar.lightning.source import is_network
from caviar.lightning.testing import test as evaluate
from caviar.runs.active import ActiveRun, activate
from project.train import build, main
from tests.lightning.modules import Mine, TwoPlayers

Train = Callable[..., Any]
pytestmark = pytest.mark.filterwarnings("ignore:Attribute 'net' is an instance of:UserWarning")

CONFIGS = Path(__file__).parent / "configs"
MINE = (
    f"hydra.searchpath=[file://{CONFIGS}]",
    "data=numbers",
    "model=mine",
    "metric=error",
    "direction=minimize",
    "trainer.max_epochs=3",
)


@pytest.fixture(autouse=True)
def of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "ALLOWED", [*security.ALLOWED, "tests.lightning."])


def test_a_module_with_its_network_optimizer_and_scheduler_trains_as_its_config_says(
    train: Train,
) -> None:
    run = train(*MINE)
    errors = [float(row["error"]) for row in run.rows]
    assert run.score == min(errors)
    assert errors[-1] < errors[0]
    assert run.facts["metrics"].keys() == {"error", "fit_error"}
    module = build(run.config).module
    assert isinstance(module, Mine)
    assert module.net.layers[0].weight.shape == (8, 4)  # ${data:num_features}
    assert module.hparams["optimizer"].keywords == {"lr": 0.01}


def test_it_is_tested_and_predicted_from_its_folder_whatever_it_saved_as_hyperparameters(
    train: Train, tmp_path: Path
) -> None:
    run = train(*MINE, "test=true")
    checkpoint = torch.load(run.best, weights_only=True)
    assert "hyper_parameters" not in checkpoint  # a network, a partial: objects
    assert evaluate(str(run.folder)) == run.facts["test"]
    predict(str(run.folder), None, str(tmp_path / "out.csv"))
    saved = open_run(run.folder)
    assert not saved.module.training
    saved.data.setup()
    expected = saved.module.net(saved.data.parts[0][56:]).detach().numpy()  # type: ignore[operator]
    found = pd.read_csv(tmp_path / "out.csv")
    assert list(found) == ["prediction"]
    assert found["prediction"].to_numpy() == pytest.approx(expected, abs=1e-6)
    with pytest.raises(UsageError, match=r"data=new\.csv: Numbers reads no new rows"):
        predict(str(run.folder), "new.csv", str(tmp_path / "more.csv"))


def test_the_configs_optimizer_is_given_to_a_module_that_takes_one(train: Train) -> None:
    run = train(*MINE, "model=by_groups", "optimizer=adamw", "optimizer.beta1=0.8")
    made = build(run.config).module.hparams
    assert made["optimizer"].func is torch.optim.AdamW
    assert made["optimizer"].keywords["betas"] == [0.8, 0.999]
    assert "decay_all" not in made["optimizer"].keywords
    assert made["scheduler"] is None  # scheduler=none
    with pytest.raises(UsageError, match="Mine takes a torch scheduler"):
        train(*MINE, "model=by_groups", "scheduler=cosine")


def test_a_module_that_steps_two_optimizers_itself_trains(train: Train) -> None:
    run = train(*MINE, "model=two_players")
    assert float(run.rows[-1]["error"]) < float(run.rows[0]["error"])
    assert isinstance(open_run(run.folder).module, TwoPlayers)
    with pytest.raises(FloatingPointError, match="loss is nan"):
        train(*MINE, "model=two_players", "model.worth=nan")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("model", ["mine", "two_players"])
def test_a_resumed_run_is_the_undisturbed_one_with_ordinary_loaders(
    train: Train, compose_run: Callable[..., Any], model: str, workers: int
) -> None:
    words = (*MINE, f"model={model}", f"+data.workers={workers}")
    whole = train(*words)
    config = compose_run(*words)
    folder = Path(config.dir)
    asked = iter([False] * 5 + [True] * 100)
    with (
        pytest.raises(BaseException, match="stopped at"),
        activate(ActiveRun(folder, interrupted=lambda: next(asked))),
    ):
        main(config)
    assert 0 < len((folder / "metrics.csv").read_text().splitlines()) < 4
    with activate(ActiveRun(folder, resume_from=folder / "checkpoints")):
        main(config)
    assert (folder / "metrics.csv").read_text() == whole.metrics


def test_folds_are_refused_where_the_data_take_none_or_split_themselves(train: Train) -> None:
    with pytest.raises(
        UsageError, match=r"data\.folds=3: tests\..*Numbers takes no folds and fold"
    ):
        train(*MINE, "+data.folds=3")
    with pytest.raises(
        UsageError, match=r"data\.folds=3: folds 0 and 1 validate on the same samples"
    ):
        train(*MINE, "data=self_split", "data.folds=3")


def test_a_metric_that_is_never_logged_is_told_after_the_first_validation(train: Train) -> None:
    with pytest.raises(UsageError, match=r"metric=eror: not logged; did you mean error\?"):
        train(*MINE, "metric=eror")


def test_a_reference_that_the_data_do_not_have_is_told_in_one_line(train: Train) -> None:
    with pytest.raises(UsageError) as told:
        train(*MINE, "model.net.inputs='${data:num_featurs}'")
    assert str(told.value) == (
        "${data:num_featurs}: Numbers has no such attribute; did you mean ${data:num_features}?"
    )


def test_a_network_beside_data_that_do_not_say_its_sizes_is_told_in_one_line(train: Train) -> None:
    with pytest.raises(UsageError, match=r"data\._target_=.*Numbers.*has no \w+ for project\."):
        train(*MINE[:2])


def test_config_yaml_keeps_the_reference(train: Train) -> None:
    assert "inputs: ${data:num_features}" in (train(*MINE).folder / "config.yaml").read_text()


def test_training_begins_with_the_weights_of_any_checkpoint(train: Train, tmp_path: Path) -> None:
    first = train(*MINE)
    foreign = torch.load(first.best, weights_only=True)
    foreign["hyper_parameters"] = {
        "net": Mine,
        "path": tmp_path,
    }  # as Lightning itself would save it
    torch.save(foreign, tmp_path / "any.ckpt")
    begun = train(*MINE, f"ckpt_path='{tmp_path}/any.ckpt'", "model.optimizer.lr=1e-9")
    assert float(begun.rows[0]["error"]) == pytest.approx(first.score, rel=1e-4)
    with pytest.raises(UsageError, match=r"net\.layers\.0\.\w+ is \(8.*\) in it, and \(9"):
        train(*MINE, f"ckpt_path='{tmp_path}/any.ckpt'", "model.net.width=9")
    train(*MINE, f"ckpt_path='{tmp_path}/any.ckpt'", "model.net.width=9", "ckpt_strict=false")
    with pytest.raises(UsageError, match=r"ckpt_path=no\.ckpt: no such file"):
        train(*MINE, "ckpt_path=no.ckpt")


def test_a_network_is_told_from_a_module_by_its_source_alone() -> None:
    assert is_network("project.models.mlp.MLP")
    assert is_network("tests.lightning.modules.Net")
    assert is_network("torch.nn.Linear")
    for other in ("tests.lightning.modules.Mine", "project.no.such", "project.train.build", None):
        assert not is_network(other)


def test_what_a_run_tells_of_its_end_is_the_same_as_the_shipped_ones(train: Train) -> None:
    run = train(*MINE)
    found = json.loads((run.folder / "result.json").read_text())
    assert found["state"] == "COMPLETE"
    assert found["metric"] == "error"
    assert run.best.is_file()
