"""Every task that ships, and three that a user might add, by all verbs: see `tests.contracts.verbs`."""

from pathlib import Path

import numpy as np
import pandas as pd

from tests.contracts.verbs import VerbsContract

SMALL_MLP = ("model.width=8", "model.depth=1", "data.batch_size=32")
LR = "optimizer.lr=tag(log,interval(1e-3,1e-1))"
ONE = ("space=none", LR)  # networks of one kind: lanes are measured once


def table(root: Path) -> str:
    """A path to three numbers a row, and what follows from them: a number, two classes, two labels."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(160, 3))
    noise = draw.normal(size=160)
    columns = {
        **{name: x[:, i] for i, name in enumerate("abc")},
        "price": 1000 + 100 * x[:, 0] + 10 * noise,
        "sold": np.where(x[:, 0] + 0.3 * noise > 0.5, "yes", "no"),
        "red": (x[:, 1] > 0).astype(int),
        "big": (x[:, 2] > 0.8).astype(int),
    }
    path = root / "table.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return str(path)


class OfTable(VerbsContract):
    """What a column of a table, or several of them, is the target of."""

    target = ""
    ignore = ""
    task = ""
    space = ONE

    def words(self, root: Path) -> list[str]:
        return [
            *("data=table", f"data.path='{table(root)}'", f"data.target={self.target}"),
            *(f"data.ignore={self.ignore}", f"task={self.task}", *SMALL_MLP),
        ]

    def rows_to_predict(self, root: Path) -> list[str]:
        new = pd.read_csv(table(root)).drop(columns=["price", "sold", "red", "big"])
        new.to_csv(root / "new.csv", index=False)
        return ["data=new.csv"]


class TestClassification(OfTable):
    target, ignore, task = "sold", "[price,red,big]", "classification"
    columns = ("class", "probability_no", "probability_yes")


class TestRegression(OfTable):
    target, ignore, task = "price", "[sold,red,big]", "regression"
    columns = ("prediction",)


class TestBinary(OfTable):
    target, ignore, task = "sold", "[price,red,big]", "binary"
    columns = ("class", "probability_yes")

    def words(self, root: Path) -> list[str]:
        return [*super().words(root), "task.pos_weight=balanced", "task.threshold=0.4"]


class TestMultilabel(OfTable):
    target, ignore, task = "[red,big]", "[price,sold]", "multilabel"
    columns = ("red", "big", "probability_red", "probability_big")


class TestCNN(VerbsContract):
    space = ONE
    columns = ("class", *(f"probability_{digit}" for digit in range(10)))

    def words(self, root: Path) -> list[str]:
        return [
            *("experiment=digits_cnn", "scheduler=none", "model.channels=4"),
            *("trainer.limit_train_batches=4",),
        ]

    def rows_to_predict(self, root: Path) -> list[str]:
        draw = np.random.default_rng(0)
        names = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
        pixels = pd.DataFrame(draw.integers(0, 17, (30, 64)), columns=names)
        pixels.to_csv(root / "new.csv", index=False)
        return ["data=new.csv"]


class TestText(VerbsContract):
    columns = ("good",)

    def words(self, root: Path) -> list[str]:
        return ["data=reviews", "model=reader"]


class TestAutoencoder(VerbsContract):
    columns = ("code_0", "code_1")
    space = (LR,)

    def words(self, root: Path) -> list[str]:
        return ["data=curve", "model=autoencoder", "metric=val/error", "direction=minimize"]


class TestGAN(VerbsContract):
    edit = "optimizer.1.lr=1e-3"
    columns = ("prediction_0", "prediction_1")
    space = (LR,)
    on_lanes = "gan.py:42: automatic_optimization=False, its steps are its own matter"

    def words(self, root: Path) -> list[str]:
        return ["data=cloud", "model=gan", "metric=val/distance", "direction=minimize"]
