"""A tape: what torch was seen to compute, done again on other numbers."""

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from caviar.engines.called.came import same
from caviar.engines.called.tape import Recorder, Tape, TapeError, as_one

pytestmark = pytest.mark.fast

Step = Callable[..., list[Tensor]]

STAYS = torch.arange(12.0).reshape(3, 4) / 7


def taken_down(step: Step, inputs: list[Tensor]) -> Tape:
    recorder = Recorder(inputs)
    with recorder:
        results = step(*inputs)
    return recorder.tape(results)


def again(tape: Tape, inputs: list[Tensor]) -> tuple[Any, ...]:
    with torch.no_grad():
        return tape.compiled()(inputs, tape.stays)


def assert_same(step: Step, of: list[Tensor], on: list[Tensor]) -> None:
    """A tape of a step on some inputs is the step on others."""
    tape = taken_down(step, [one.clone() for one in of])
    torch.manual_seed(3)
    wanted = step(*[one.clone() for one in on])
    torch.manual_seed(3)
    found = again(tape, [one.clone() for one in on])
    assert same(found, wanted)


PIECES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "a sum": lambda x, y: x + 2 * y,
    "in place": lambda x, y: x.clone().mul_(y).add_(1.5),
    "a view written to": lambda x, y: _written(x, y),
    "what stays": lambda x, y: x * STAYS[:, 1:2] + y.mean(),
    "a number of Python's": lambda x, y: x + torch.tensor(0.25) * y,
    "a number of Python's, written to": lambda x, y: x + torch.tensor(0.5).mul_(3.0),
    "made in it, and written to": lambda x, y: x + torch.zeros(()).add_(1.0).mul_(3.0),
    "rows that are picked": lambda x, y: x[torch.tensor([2, 0, 1])] - y,
    "parts": lambda x, y: torch.cat([*x.chunk(2, dim=1)][::-1], dim=1) * y,
    "drawn": lambda x, y: x + torch.randn_like(y),
    "a softmax": lambda x, y: torch.log_softmax(x, 1) * y.exp().clamp(max=3),
    "each row by itself": lambda x, y: torch.vmap(torch.dot)(x, y)[:, None] * x,
    "a gradient": lambda x, y: _gradient(x, y),
    "measured": lambda x, y: _measured(x, y),
    "of the host's": lambda x, y: as_one(_doubled, x.detach()) + y,
}


def _written(x: Tensor, y: Tensor) -> Tensor:
    own = x.clone()
    own[1].copy_(y[0])
    own.t()[2] = 0.5
    return own


def _gradient(x: Tensor, y: Tensor) -> Tensor:
    leaf = x.detach().requires_grad_()
    loss = functional.mse_loss(torch.sigmoid(leaf @ STAYS.t()), (y @ STAYS.t()).tanh())
    return torch.autograd.grad(loss, leaf)[0]


def _measured(x: Tensor, y: Tensor) -> Tensor:
    with torch.profiler.record_function("a part"):
        return x * y


def _doubled(x: Tensor) -> Tensor:
    return torch.from_numpy(np.multiply(x.numpy(), 2))


def numbers(seed: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(3, 4, generator=draw) for _ in range(2)]


@given(st.lists(st.sampled_from(sorted(PIECES)), min_size=1, max_size=6), st.integers(0, 99))
def test_a_tape_of_a_step_is_the_step_on_any_other_numbers(names: list[str], seed: int) -> None:
    def step(x: Tensor, y: Tensor) -> list[Tensor]:
        ends = []
        for name in names:
            x, y = PIECES[name](x, y), x
            ends.append(x.sum())
        return [x, *ends, y]

    assert_same(step, numbers(seed), numbers(seed + 1))


@pytest.mark.parametrize("name", PIECES)
def test_each_piece_of_a_step_can_be_taken_down(name: str) -> None:
    assert_same(lambda x, y: [PIECES[name](x, y)], numbers(0), numbers(1))


def test_what_stays_is_read_anew_and_written_to() -> None:
    norm, weight = nn.BatchNorm1d(4), torch.ones(4)
    assert norm.running_mean is not None

    def step(x: Tensor) -> list[Tensor]:
        return [norm(x.detach()).detach() * weight[:2].sum()]

    (x, y), kept = numbers(0), norm.running_mean.clone()
    tape = taken_down(step, [x])
    after = norm.running_mean.clone()
    norm.running_mean.copy_(kept)
    weight.fill_(5.0)
    (found,) = again(tape, [x])
    assert torch.equal(norm.running_mean, after)
    assert torch.equal(found, 10 * functional.batch_norm(x, None, None, training=True))
    norm.running_mean.copy_(kept)
    again(tape, [y])
    assert not torch.equal(norm.running_mean, after)


def test_a_tape_holds_on_to_nothing_that_it_made() -> None:
    alive: list[int] = []

    def counted(x: Tensor) -> Tensor:
        wide = [one for one in gc.get_objects() if type(one) is Tensor and one.shape == (3, 4321)]
        alive.append(len(wide))
        return x.clone()

    def step(x: Tensor) -> list[Tensor]:
        wide = x[:, :1].expand(3, 4321).clone()
        for _ in range(20):
            wide = as_one(counted, wide * 1.01)
        return [wide.sum()]

    tape = taken_down(step, [numbers(0)[0]])
    alive.clear()
    again(tape, [numbers(1)[0]])
    assert max(alive) <= 3  # of twenty that were made


def test_tapes_of_a_step_say_the_same_whatever_the_numbers() -> None:
    def step(x: Tensor, by: float = 1.0, dims: int = 1) -> list[Tensor]:
        return [(x * by).sum(dims)]

    one = taken_down(step, [numbers(0)[0]])
    other = taken_down(partial(step, by=2.0, dims=0), [numbers(1)[0]])
    assert one.text == other.text
    x = numbers(2)[0]
    with torch.no_grad():
        (found,) = one.compiled()([x], other.stays)
    assert torch.equal(found, (x * 2.0).sum(0))


REFUSED: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "item": (lambda x: x * x.sum().item(), "aten._local_scalar_dense.default hangs on"),
    "if": (lambda x: x if x.sum() > 0 else -x, "hangs on what numbers there are"),
    "equal": (lambda x: x * float(torch.equal(x, x)), "aten.equal.default hangs on"),
    "a mask": (lambda x: x[x > 0].sum() + x, "aten.nonzero.default hangs on|aten.index.Tensor"),
    "nonzero": (lambda x: x + len(x.nonzero()), "aten.nonzero.default hangs on"),
    "tolist": (lambda x: x * x.tolist()[0][0], "a tensor's numbers leave torch"),
    "numpy": (lambda x: x * float(x.numpy().max()), "a tensor's numbers leave torch"),
    "asarray": (lambda x: x * float(np.asarray(x).max()), "a tensor's numbers leave torch"),
    "data": (lambda x: _another(x), "a tensor's attribute is set"),
}


def _another(x: Tensor) -> Tensor:
    own = torch.zeros(3, 4)
    own.data = x
    return own


@pytest.mark.parametrize("name", REFUSED)
def test_a_step_that_looks_at_numbers_is_no_tape(name: str) -> None:
    step, why = REFUSED[name]
    with pytest.raises(TapeError, match=why):
        taken_down(lambda x: [step(x)], [numbers(0)[0]])


def test_what_was_refused_stays_so_where_a_step_catches_it() -> None:
    def step(x: Tensor) -> list[Tensor]:
        try:
            return [x * x.sum().item()]
        except Exception:
            return [x]

    with pytest.raises(TapeError, match="hangs on"):
        taken_down(step, [numbers(0)[0]])


def test_after_a_step_that_is_no_tape_torch_is_what_it_was() -> None:
    with pytest.raises(TapeError):
        taken_down(lambda x: [x * x.sum().item()], [numbers(0)[0]])
    assert numbers(0)[0].sum().item() == pytest.approx(sum(numbers(0)[0].numpy().ravel()))
