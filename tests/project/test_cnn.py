"""Claims about the CNN: it sees images, and shifts them while it trains alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from caviar import UsageError
from project.models.cnn import CNN, shifted


@given(st.integers(1, 3), st.integers(1, 2), st.integers(0, 2**16))
def test_a_shift_moves_each_image_as_a_whole(most: int, channels: int, seed: int) -> None:
    torch.manual_seed(seed)
    images = torch.rand(6, channels, 4, 5) + 1
    found = shifted(images, most)
    assert found.shape == images.shape
    room = torch.nn.functional.pad(images, (most,) * 4)
    places = [(i, j) for i in range(2 * most + 1) for j in range(2 * most + 1)]
    for image, around in zip(found, room, strict=True):
        assert any(image.equal(around[:, i : i + 4, j : j + 5]) for i, j in places)


def test_it_is_augmented_in_training_alone_and_each_image_by_itself() -> None:
    torch.manual_seed(0)
    network = CNN(64, 10, channels=4, shift=2)
    x = torch.rand(1, 64).expand(8, 64)
    network.blocks.eval()  # batch norm would hold them together
    assert all(one.allclose(network.eval()(x)[0]) for one in network.eval()(x))
    network.training = True
    assert len({tuple(one.tolist()) for one in network(x)}) > 1
    assert network(x.reshape(8, 1, 8, 8)).shape == (8, 10)


def test_without_a_shift_nothing_is_drawn() -> None:
    network = CNN(64, 10, channels=4, shift=0).train()
    x = torch.rand(4, 64)
    before = torch.get_rng_state()
    network(x)
    assert torch.get_rng_state().equal(before)


def test_pixels_that_are_no_square_are_told() -> None:
    with pytest.raises(UsageError, match=r"model\.in_channels=3: 64 features a sample are no sq"):
        CNN(64, 10, in_channels=3)
