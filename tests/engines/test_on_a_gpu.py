"""What only a card can show: steps that are recorded, or compiled, come to what torch does one by one."""

import pytest
import torch

from caviar.engines.lanes.backends import BACKENDS
from caviar.engines.lanes.stack import Stack
from tests.engines.lanes import training

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("by", ["graph", "kernel"])
@pytest.mark.parametrize(
    "overrides",
    [(), ("model.dropout=0.3", "data.drop_last=false"), ("model.batch_norm=none", "optimizer=sgd")],
    ids=["as it ships", "dropout, a last batch that is not full", "sgd"],
)
def test_by_another_backend_lanes_come_to_the_same(overrides: tuple[str, ...], by: str) -> None:
    found = []
    for name in ("torch", by):
        some = [
            training(*overrides, trainer__accelerator="auto", seed=n, optimizer__lr=0.001 * 2**n)
            for n in range(5)
        ]
        stack = Stack(some, 6, "cuda")
        assert stack.use(BACKENDS[name][0]) is None
        for one in some:
            stack.admit(one)
        for _ in range(3):
            assert [one.error for one in stack.tick()] == [None] * 5
        stack.fetch(stack.active)
        found.append([stack.last_weights(lane) for lane in stack.active])
    for mine, its in zip(*reversed(found), strict=True):
        numbers = [name for name, own in its.items() if own.is_floating_point()]
        one, other = (
            torch.cat([own[n].double().flatten() for n in numbers]) for own in (mine, its)
        )
        assert (one - other).norm() <= 1e-4 * other.norm()
