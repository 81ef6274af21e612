"""Claims about the split and the batches."""

import numpy as np
import pytest
import torch

from caviar import UsageError
from caviar.lightning.batches import Batches, epoch_order
from caviar.tables.split import check_fractions, needed, stratified_split

LABELS = np.repeat([0, 1, 2], [100, 40, 6])


@pytest.mark.fast
def test_every_row_is_in_exactly_one_part() -> None:
    split = stratified_split(LABELS, 0.15, 0.15, seed=0)
    rows = np.concatenate([split.train, split.val, split.test])
    assert sorted(rows) == list(range(len(LABELS)))


def test_every_part_has_each_class_in_its_share() -> None:
    split = stratified_split(LABELS, 0.2, 0.1, seed=0)
    assert np.bincount(LABELS[split.val]).tolist() == [20, 8, 1]
    assert np.bincount(LABELS[split.test]).tolist() == [10, 4, 1]


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    first, again, other = (stratified_split(LABELS, 0.15, 0.15, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.test, again.test)
    assert not np.array_equal(np.sort(first.test), np.sort(other.test))


def test_without_a_test_fraction_the_test_part_is_empty() -> None:
    assert len(stratified_split(LABELS, 0.2, 0.0, seed=0).test) == 0


def test_a_class_too_small_for_the_parts_is_told() -> None:
    with pytest.raises(UsageError, match="class 1 has 2 samples, too few to split"):
        stratified_split(np.array([0, 0, 0, 0, 1, 1]), 0.2, 0.2, seed=0)


def test_what_is_needed_is_just_enough() -> None:
    assert needed(0.15, 0.15) == 3
    assert needed(0.15, 0.0) == 2
    for val, test in ((0.15, 0.15), (0.5, 0.4), (0.1, 0.0), (0.45, 0.5)):
        labels = np.repeat([0, 1], needed(val, test))
        assert len(stratified_split(labels, val, test, seed=0).train) >= 2


@pytest.mark.parametrize(("val", "test"), [(-0.1, 0.1), (0, 0.1), (0.1, -0.1), (0.5, 0.5), (1, 0)])
def test_impossible_fractions_are_told(val: float, test: float) -> None:
    with pytest.raises(UsageError, match=r"data\.(val|test)_fraction="):
        check_fractions(val, test)


X = torch.arange(10.0).unsqueeze(1)
Y = torch.arange(10)


def test_batches_keep_features_and_targets_together() -> None:
    for x, y in Batches(X, Y, 3, order=lambda: epoch_order(10, 0, 0)):
        assert torch.equal(x[:, 0], y.float())


def test_an_epoch_is_every_sample_once_in_an_order_of_its_own() -> None:
    orders = [epoch_order(10, 0, epoch) for epoch in range(3)]
    assert all(torch.equal(order.sort().values, Y) for order in orders)
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(orders[1], epoch_order(10, 0, 1))
    assert not torch.equal(orders[1], epoch_order(10, 1, 0))


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_the_last_batch_is_kept_or_left_out_as_asked(drop_last: bool, sizes: list[int]) -> None:
    for order in (None, lambda: epoch_order(10, 0, 0)):
        batches = Batches(X, Y, 4, order=order, drop_last=drop_last)
        assert [len(x) for x, _ in batches] == sizes
        assert len(batches) == len(sizes)


def test_a_batch_larger_than_the_data_is_all_of_it() -> None:
    assert [len(x) for x, _ in Batches(X, Y, 64, drop_last=True)] == [10]


def test_two_processes_share_an_epoch_without_overlap() -> None:
    def order() -> torch.Tensor:
        return epoch_order(10, 0, 0)

    seen = [torch.cat([y for _, y in Batches(X, Y, 2, order, share=(r, 2))]) for r in (0, 1)]
    assert torch.equal(torch.cat(seen).sort().values, Y)
