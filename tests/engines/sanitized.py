"""A program that runs the loop in C++ built with g++'s sanitizers: whatever it does wrong ends it.

Run as ``python -m tests.engines.sanitized`` with libasan preloaded.
"""

from itertools import product

import torch

from caviar.engines.experiment import Recipe
from caviar.engines.lanes.stack import Stack
from caviar.engines.lanes.training import Training
from caviar.engines.native import build
from caviar.engines.native.loop import Native
from caviar.lightning.batches import epoch_order
from project.choices import ACTIVATIONS
from project.models.mlp import MLP

SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def trained(
    hidden: list[int],
    activation: str,
    batch_norm: str,
    optimizer: dict[str, object],
    batch: int,
    features: int,
    classes: int,
    precision: str,
) -> None:
    """Two epochs of two lanes of other widths, each step's numbers where nothing lies beyond them."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(13, features, generator=generator)
    y = torch.arange(13) % classes
    val = x[:5], y[:5]

    def one(widths: list[int], seed: int) -> Training:
        def network() -> MLP:
            torch.manual_seed(seed)
            return MLP(features, classes, widths, activation=activation, batch_norm=batch_norm,
                       dropout=0.3)  # fmt: skip

        return Training(
            Recipe(
                network=network,
                train=(x, y),
                val=val,
                batch_size=batch,
                eval_batch_size=3,
                drop_last=False,
                order=epoch_order,
                optimizer=optimizer,
                trainer={"max_epochs": 2, "precision": precision, "gradient_clip_val": 1.0},
                metric="val/loss",
                direction="minimize",
                seed=seed,
                label_smoothing=0.1,
                nan_guard=False,
            )
        )

    trainings = [one(hidden, 0), one([width + 1 for width in hidden], 1)]
    if trainings[0].key != trainings[1].key:  # an activation that gives no 0 for 0
        trainings[1] = one(hidden, 1)
    stack = Stack(trainings, 3)
    why = stack.use(Native)
    assert why is None, why
    for each in trainings:
        stack.admit(each)
    for _ in range(2):
        ended = stack.tick()
    assert [one.error for one in ended] == [None, None]


def main() -> None:
    build._FLAGS = (*(flag for flag in build._FLAGS if flag != "-O3"), *SANITIZED)
    torch.set_num_threads(1)
    sgd = {"_target_": "torch.optim.SGD", "lr": 0.01, "momentum": 0.9}
    optimizers = [
        sgd,
        {"_target_": "torch.optim.Adam", "lr": 0.01},
        {"_target_": "torch.optim.AdamW", "lr": 0.01},
        {"_target_": "torch.optim.RMSprop", "lr": 0.01},
    ]
    for precision, number in product(("32-true", "64-true"), range(len(ACTIVATIONS))):
        trained(
            hidden=[[], [1], [7, 1], [17], [33, 5]][number % 5],
            activation=list(ACTIVATIONS)[number],
            batch_norm=("before", "after", "none")[number % 3],
            optimizer=optimizers[number % 4],
            batch=(5, 8, 40, 7)[number % 4] if number % 3 < 2 else 1,
            features=(1, 4, 17)[number % 3],
            classes=(2, 3, 17)[number % 3],
            precision=precision,
        )
    print("nothing was found")


if __name__ == "__main__":
    main()
