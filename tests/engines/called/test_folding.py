"""What all lanes go through in one call comes to what `vmap` makes of torch's own functions."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from caviar.engines.called.folding import FOLDING
from caviar.engines.called.lifting import Instead, Table

Found = tuple[Tensor, list[Tensor], dict[str, Tensor]]


def by_lanes(
    make: Callable[[], nn.Module], x: Tensor, table: Table, lanes: int = 3, shared: bool = False
) -> Found:
    """Outputs, gradients of parameters and of ``x``, and buffers, of lanes that differ."""
    torch.manual_seed(0)
    modules = [make().double() for _ in range(lanes)]
    for module in modules:
        for numbers in [*module.parameters(), *module.buffers()]:
            if numbers.is_floating_point():
                numbers.data += 0.1 * torch.rand_like(numbers)
    parameters, buffers = stack_module_state(modules)  # type: ignore[arg-type]
    x = x.clone().requires_grad_()

    def one(own: Any, kept: Any, x: Tensor) -> Tensor:
        return functional_call(modules[0], (own, kept), (x,))

    # Of torch's kernels `vmap` knows the plainest.
    with Instead(table), nullcontext() if table else sdpa_kernel(SDPBackend.MATH):
        mapped = torch.vmap(one, in_dims=(0, 0, None if shared else 0), randomness="different")
        out = mapped(parameters, buffers, x)
    weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view(out.shape)
    return out, list(torch.autograd.grad((out * weights).sum(), [*parameters.values(), x])), buffers


def assert_alike(found: Found, plain: Found) -> None:
    torch.testing.assert_close(found, plain, rtol=1e-10, atol=1e-10)


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(
    "settings", [{}, {"affine": False}, {"track_running_stats": False}], ids=str
)
def test_batch_norm_of_lanes_is_torchs_and_so_are_its_statistics(
    settings: dict[str, bool], training: bool, shared: bool
) -> None:
    def make() -> nn.Module:
        layers = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5, **settings), nn.ReLU())
        return layers.train(training)

    x = numbers(*([] if shared else [3]), 6, 4)
    found, plain = (by_lanes(make, x, table, shared=shared) for table in (FOLDING, {}))
    assert_alike(found, plain)
    if training and not settings:
        assert (
            found[2]["1.running_mean"]
            != by_lanes(make, x * 2, {}, shared=shared)[2]["1.running_mean"]
        ).any()


@given(
    channels=st.tuples(st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4])),
    kernel=st.sampled_from([1, 2, 3]),
    stride=st.sampled_from([1, 2]),
    padding=st.sampled_from([0, 1, "valid"]),
    groups=st.sampled_from([1, 2]),
    bias=st.booleans(),
    shared=st.booleans(),
)
def test_a_convolution_of_lanes_is_torchs(
    channels: tuple[int, int],
    kernel: int,
    stride: int,
    padding: Any,
    groups: int,
    bias: bool,
    shared: bool,
) -> None:
    inner, outer = (groups * some for some in channels)

    def make() -> nn.Module:
        return nn.Conv2d(inner, outer, kernel, stride, padding, groups=groups, bias=bias)

    x = numbers(*([] if shared else [3]), 2, inner, 6, 5)
    assert_alike(*(by_lanes(make, x, table, shared=shared) for table in (FOLDING, {})))


@pytest.mark.parametrize(
    "pooling",
    [
        nn.MaxPool2d(2),
        nn.MaxPool2d(3, 1, 1),
        nn.AvgPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.AdaptiveMaxPool2d(2),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_small_network_of_convolutions_on_lanes_is_torchs(pooling: nn.Module) -> None:
    def make() -> nn.Module:
        first = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), pooling)
        return nn.Sequential(*first, nn.Conv2d(3, 2, 1), nn.Flatten())

    assert_alike(*(by_lanes(make, numbers(3, 4, 1, 6, 6), table) for table in (FOLDING, {})))


class Attending(nn.Module):
    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.queries, self.settings = nn.Linear(8, 24), settings

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            one.unflatten(-1, (2, 4)).transpose(1, 2) for one in self.queries(x).chunk(3, -1)
        )
        return functional.scaled_dot_product_attention(q, k, v, **self.settings)


class Masking(Attending):
    """Attends to what its own numbers say, as to what is no padding."""

    def forward(self, x: Tensor) -> Tensor:
        seen = x.detach().abs().argmax(1)[:, :1]  # so many places, at least the first
        self.settings["attn_mask"] = (torch.arange(x.shape[1]) <= seen)[:, None, None]
        return super().forward(x)


class OfOneHead(nn.Linear):
    """Attends over rows that have no heads, or that are all there is."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = super().forward(x).chunk(3, -1)
        three = functional.scaled_dot_product_attention(q, k, v)
        return three + functional.scaled_dot_product_attention(q[0], k[0], v[0])


def to_places(places: int, kind: type = bool) -> Tensor:
    """A mask that lets each place see all others but some."""
    mask = torch.arange(places**2).view(places, places) % 4 != 1
    return mask if kind is bool else torch.linspace(-1, 1, places**2).double().view(mask.shape)


@pytest.mark.parametrize("places", [5, 15])
@pytest.mark.parametrize(
    "make",
    [
        lambda places: Attending(), lambda places: Attending(is_causal=True),
        lambda places: Attending(scale=0.3), lambda places: Masking(),
        lambda places: Attending(attn_mask=to_places(places)),
        lambda places: Attending(attn_mask=to_places(places, float)),
        lambda places: Attending(attn_mask=to_places(places).expand(2, 1, -1, -1)),
        lambda places: OfOneHead(8, 24),
    ],
    ids=["plain", "causal", "scaled", "own mask", "mask", "numbers", "of each", "one head"],
)  # fmt: skip
@pytest.mark.parametrize("shared", [False, True])
def test_attention_of_lanes_is_torchs(
    make: Callable[[int], nn.Module], places: int, shared: bool
) -> None:
    x = numbers(2, places, 8) if shared else numbers(3, 2, places, 8)
    each = [by_lanes(lambda: make(places), x, table, shared=shared) for table in (FOLDING, {})]
    assert_alike(*each)


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.softmax(-1), lambda x: x.log_softmax(dim=1), lambda x: torch.softmax(x, 0),
        lambda x: functional.log_softmax(x, 1), lambda x: functional.softmax(x, dim=1, dtype=torch.float32),
    ],
)  # fmt: skip
def test_softmax_of_lanes_is_torchs(function: Callable[[Tensor], Tensor], classes: int) -> None:
    x = numbers(3, 7, classes).requires_grad_()
    with Instead(FOLDING):
        found = torch.vmap(function)(x)
    plain = torch.vmap(function)(x)
    torch.testing.assert_close(found, plain, rtol=1e-10, atol=1e-12)
    ours, theirs = (torch.autograd.grad(out.pow(2).sum(), x)[0] for out in (found, plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_indices_of_a_pooled_lane_are_torchs() -> None:
    def pooled(x: Tensor) -> tuple[Tensor, Tensor]:
        return functional.max_pool2d(x, 2, return_indices=True)

    x = numbers(3, 2, 4, 6, 6)
    with Instead(FOLDING):
        found = torch.vmap(pooled)(x)
    torch.testing.assert_close(found, torch.vmap(pooled)(x), rtol=0, atol=0)


def test_what_a_step_does_by_torch_func_itself_is_left_to_torch() -> None:
    """A gradient of an input, as of a penalty; and a `vmap` of samples."""

    def step(x: Tensor) -> Tensor:
        inner = grad(
            lambda one: functional.softmax(
                functional.batch_norm(one, None, None, training=True), 1
            )[0].sum()
        )
        return inner(x) + torch.vmap(lambda row: row.softmax(0))(x)

    x = numbers(3, 6, 4)
    with Instead(FOLDING):
        found = torch.vmap(step)(x)
    torch.testing.assert_close(found, torch.vmap(step)(x), rtol=1e-10, atol=1e-12)


def test_batch_norm_of_all_lanes_is_one_call() -> None:
    """By `vmap` each lane's scale and shift are products and sums of their own."""

    def called(table: Table) -> dict[str, int]:
        with torch.autograd.profiler.profile() as seen:
            by_lanes(lambda: nn.BatchNorm1d(4), numbers(3, 6, 4), table)
        return {one.key: one.count for one in seen.key_averages()}

    folded, plain = called(FOLDING), called({})
    assert folded["aten::native_batch_norm"] == 1
    assert folded["aten::mul"] < plain["aten::mul"]
