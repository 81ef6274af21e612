"""Any Lightning project may be watched; what a rollback undoes has never happened."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchmetrics import MeanMetric

from caviar.base.errors import UsageError
from caviar.panda.callback import Panda
from caviar.panda.inbox import ask

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*number of training batches.*"),
    pytest.mark.filterwarnings("ignore:.*GPU available but not used"),
]


class Noisy(Dataset):
    """Samples that are augmented when they are read: with numbers from torch's generator."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x = torch.full((4,), index / 24) + 0.1 * torch.randn(4)
        return x, torch.tensor([index / 12 - 1.0])


class Regression(LightningModule):
    """A plain Lightning module, which knows nothing of caviar."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1)
        )
        self.mean = MeanMetric()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = ((self.net(batch[0]) - batch[1]) ** 2).mean()
        self.mean.update(loss.detach())
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        self.log("train/mean", self.mean, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", ((self.net(batch[0]) - batch[1]) ** 2).mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


class At(Callback):
    """Asks something of the run after a step, as another process would."""

    def __init__(self, folder: Path, asks: dict[int, dict[str, Any]]) -> None:
        self.folder = folder
        self.asks = dict(asks)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step in self.asks:
            ask(self.folder, **self.asks.pop(trainer.global_step))


def train(
    folder: Path, asks: dict[int, dict[str, Any]] | None = None, epochs: int = 6, **options: Any
) -> tuple[Regression, list[dict[str, str]], Panda]:
    trainer_options = options.pop("trainer", {})
    module = options.pop("module", Regression)
    extra = options.pop("callbacks", [])
    seed_everything(3, verbose=False)
    module = module()
    panda = Panda(str(folder), metric="val/loss", direction="minimize", look_every=0, **options)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[panda, At(folder, asks or {}), *extra],
        logger=CSVLogger(folder, "log", ""),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **trainer_options,
    )
    fixed = [(torch.linspace(0, 1, 4).repeat(8, 1), torch.zeros(8, 1))]
    trainer.fit(module, DataLoader(Noisy(), batch_size=4, shuffle=True), DataLoader(fixed, None))
    with (folder / "log" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return module, rows, panda


def equal(a: Regression, b: Regression) -> bool:
    states = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(x.equal(y) for x, y in states)


SET = {"kind": "set", "changes": {"optimizer.lr": 0.9, "optimizer.momentum": 0.1}}
BACK = {"kind": "rollback"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Regression, list[dict[str, str]]]:
    """The same training, watched but not edited."""
    return train(tmp_path_factory.mktemp("plain"))[:2]


def test_watching_changes_nothing(tmp_path: Path, plain: Any) -> None:
    seed_everything(3, verbose=False)
    module = Regression()
    trainer = Trainer(
        max_epochs=6,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    fixed = [(torch.linspace(0, 1, 4).repeat(8, 1), torch.zeros(8, 1))]
    trainer.fit(module, DataLoader(Noisy(), batch_size=4, shuffle=True), DataLoader(fixed, None))
    assert equal(module, plain[0])


@pytest.mark.parametrize(
    # Of six batches an epoch: before the middle ones, the last and the first.
    ("edited", "back"),
    [(2, 3), (3, 9), (6, 20), (4, 6), (10, 31), (5, 13), (8, 10)],
    ids=lambda n: str(n),
)
def test_a_rollback_goes_on_as_if_the_edit_had_never_been(
    tmp_path: Path, plain: Any, edited: int, back: int
) -> None:
    module, rows, panda = train(tmp_path, {edited: SET, back: BACK})
    assert [edit.kind for edit in panda.editor.edits] == ["set", "rollback"]
    assert panda.editor.edits[0].step == edited + 1
    assert equal(module, plain[0])
    # The last row of each epoch; a logger that cannot take rows back has the undone ones as well.
    means = [{row["epoch"]: row[n] for row in rows if row[n]} for n in ("train/loss", "train/mean")]
    wanted = [{r["epoch"]: r[n] for r in plain[1] if r[n]} for n in ("train/loss", "train/mean")]
    assert means == wanted


class Seeded(Callback):
    """Seeds each epoch as it begins: after its data was set up, before its first batch is fetched."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        torch.manual_seed(trainer.current_epoch)


def test_an_edit_before_the_very_first_batch_is_undone_where_epochs_are_seeded(
    tmp_path: Path,
) -> None:
    plain, _, _ = train(tmp_path / "plain", callbacks=[Seeded()])
    (tmp_path / "edited" / "panda" / "asked").mkdir(parents=True)
    ask(tmp_path / "edited", **SET)
    module, _, panda = train(tmp_path / "edited", {4: BACK}, callbacks=[Seeded()])
    assert [(edit.kind, edit.step) for edit in panda.editor.edits] == [("set", 0), ("rollback", 5)]
    assert equal(module, plain)


def test_an_edit_without_a_rollback_does_something(tmp_path: Path, plain: Any) -> None:
    module, rows, _ = train(tmp_path, {8: SET})
    assert not equal(module, plain[0])
    assert [row["panda/edit"] for row in rows if row.get("panda/edit")] == ["1.0"]


@pytest.mark.fast
def test_a_rollback_of_a_rollback_brings_the_edit_back(tmp_path: Path) -> None:
    edited, _, _ = train(tmp_path / "a", {8: SET})
    module, _, panda = train(tmp_path / "b", {8: SET, 14: BACK, 16: {"kind": "rollback", "to": 2}})
    assert [edit.kind for edit in panda.editor.edits] == ["set", "rollback", "rollback"]
    assert equal(module, edited)


@pytest.mark.fast
def test_a_replay_makes_the_edits_again(tmp_path: Path) -> None:
    asks = {3: SET, 9: {"kind": "set", "changes": {"model.dropout": 0.5}}, 12: BACK}
    asks[14] = {"kind": "set", "changes": {"optimizer.lr": 0.01, "trainer.gradient_clip_val": 0.1}}
    module, _, panda = train(tmp_path / "a", asks)
    assert len(panda.editor.edits) == 4
    again, _, _ = train(tmp_path / "b", replay=str(tmp_path / "a"))
    assert equal(again, module)
    assert not (tmp_path / "b" / "edits.jsonl").exists()


def test_an_edit_for_an_epoch_to_come_is_noted_and_one_for_a_past_epoch_refused(
    tmp_path: Path,
) -> None:
    wanted = {"kind": "set", "waits": True, "changes": {"optimizer.lr": 0.9}}
    _, _, panda = train(tmp_path, {2: {**wanted, "at": 3}, 26: {**wanted, "at": 4}})
    assert [edit.at for edit in panda.editor.edits] == [(3, 0)]
    answers = [json.loads(f.read_text()) for f in sorted((tmp_path / "panda/answers").iterdir())]
    assert answers == [
        {"done": True, "text": "at the start of epoch 3"},
        {"done": False, "text": "--at=4: must be an epoch to come: epoch 4 is under way"},
    ]


def test_edits_wait_for_whole_optimizer_steps(tmp_path: Path) -> None:
    options: dict[str, Any] = {"trainer": {"accumulate_grad_batches": 3}}
    plain, _, _ = train(tmp_path / "a", **options)
    module, _, panda = train(tmp_path / "b", {3: SET, 7: BACK}, **options)
    assert panda.editor.edits[0].batch % 3 == 0
    assert equal(module, plain)


def test_a_schedule_goes_on_from_the_new_base(tmp_path: Path) -> None:
    seen: list[float] = []

    class See(Callback):
        def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
            seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    class Halving(Regression):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.04)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.9**step)
            return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    asks = {3: {"kind": "set", "changes": {"optimizer.lr": 0.4}}}
    train(tmp_path, asks, epochs=1, callbacks=[See()], module=Halving)
    assert seen == pytest.approx([0.04 * 0.9**step * (10 if step >= 4 else 1) for step in range(6)])


def test_what_this_training_does_not_have_is_refused_and_changes_nothing(
    tmp_path: Path, plain: Any
) -> None:
    asks = {
        2: {"kind": "set", "changes": {"optimizer.beta1": 0.5}},
        5: {"kind": "set", "changes": {"trainer.max_epochs": 1}},
        8: {"kind": "rollback"},
        9: {"kind": "rollback", "to": 7},
    }
    module, _, panda = train(tmp_path, asks)
    assert panda.editor.edits == []
    assert equal(module, plain[0])
    assert not (tmp_path / "edits.jsonl").exists()


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    class Another(Callback):
        def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            with pytest.raises(UsageError, match="another process is training it"):
                train(tmp_path)

    train(tmp_path, callbacks=[Another()], epochs=1)
