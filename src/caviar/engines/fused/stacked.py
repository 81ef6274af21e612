"""Many networks of one kind as one: their parameters side by side, and the way back to a plain one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import torch
from torch import Tensor, nn

from caviar.engines.fused.layers import State
from caviar.engines.fused.plan import Plan, plan_of

ALIGNED = 16
"""Each tensor begins at a multiple of so many numbers: vector instructions want it."""


class Stacked:
    """The parameters and buffers of ``lanes`` networks, a row a lane.

    Args:
        plan: what the networks share.
        lanes: how many there is room for; all are zero until `put`.
        dtype: of the parameters.

    Attributes:
        flat: all parameters, shape ``(lanes, numbers)``: those that weight decay may shrink first
            (two dimensions or more), up to ``decayed``.
        parameters: views into it, by name, with a first dimension of lanes; autograd's leaves.
        places: where each of them begins in a row, its size and its shape.
        running: all buffers of floats, shape ``(lanes, numbers)``, and ``buffers``, its views.
        counted: batch norm's counters, shape ``(lanes, counters)``.
    """

    def __init__(
        self, plan: Plan, lanes: int, dtype: torch.dtype = torch.float32, device: str = "cpu"
    ) -> None:
        self.plan = plan
        self.lanes = lanes
        matrices = [name for name in plan.parameters if len(plan.padded[name]) > 1]
        vectors = [name for name in plan.parameters if len(plan.padded[name]) <= 1]
        self.flat, self.parameters = _views(plan, [*matrices, *vectors], lanes, dtype, device)
        self.decayed = sum(_room(plan, name) for name in matrices)
        self.running, self.buffers = _views(plan, plan.buffers, lanes, dtype, device)
        self.counted = torch.zeros(lanes, len(plan.counters), dtype=torch.int64, device=device)
        self.values = {
            name: torch.full((lanes,), value, dtype=dtype, device=device)
            for name, value in plan.values.items()
        }
        self.places = [
            (start, prod(shape), shape)
            for _, (start, shape) in _places(plan, list(self.parameters))
        ]
        for parameter in self.parameters.values():
            parameter.requires_grad_()

    def put(self, lane: int, network: nn.Module, plan: Plan) -> None:
        """Set a lane to the weights of ``network``, whose plan has the same key."""
        with torch.no_grad():
            self.flat[lane] = 0
            self.running[lane] = 0
            tensors = network.state_dict()
            for name, tensor in tensors.items():
                if name in plan.counters:
                    self.counted[lane, list(plan.counters).index(name)] = tensor
                else:
                    whole = self.parameters.get(name, self.buffers.get(name))
                    assert whole is not None
                    _corner(whole[lane], plan.shapes[name]).copy_(tensor)
            for name, value in plan.values.items():
                self.values[name][lane] = value

    def take(self, lane: int, plan: Plan) -> dict[str, Tensor]:
        """A copy of a lane's weights: the state dict of its plain network."""
        return state_dict(plan, self.flat[lane], self.running[lane], self.counted[lane], self)

    def move(self, lane: int, to: Stacked, other: int) -> None:
        """Copy a lane to lane ``other`` of another stack of the same plan."""
        with torch.no_grad():
            to.flat[other] = self.flat[lane]
            to.running[other] = self.running[lane]
            to.counted[other] = self.counted[lane]
            for name, values in self.values.items():
                to.values[name][other] = values[lane]

    def state(self, training: bool, bits: dict[str, Tensor] | None = None) -> State:
        """What its layers compute with."""
        return State(self.parameters, self.buffers, self.values, bits or {}, training)

    def count_step(self) -> None:
        """Let batch norm's counters know that a training batch has gone by."""
        if self.plan.counters:
            self.counted += torch.tensor(list(self.plan.counters.values()), device=self.flat.device)


def state_dict(
    plan: Plan, flat: Tensor, running: Tensor, counted: Tensor, stacked: Stacked
) -> dict[str, Tensor]:
    """The plain state dict in one lane's rows of `Stacked`."""
    found: dict[str, Tensor] = {}
    for row, views in ((flat, stacked.parameters), (running, stacked.buffers)):
        for name, (start, shape) in _places(stacked.plan, list(views)):
            whole = row[start : start + prod(shape)].view(shape)
            found[name] = (
                _corner(whole, plan.shapes[name]).detach().to("cpu", copy=True).contiguous()
            )
    for index, name in enumerate(plan.counters):
        found[name] = counted[index].detach().to("cpu", copy=True)
    return {name: found[name] for name in plan.shapes}


def stack(networks: Sequence[nn.Module], pad: bool = True) -> Stacked:
    """Networks that differ in nothing but weights, dropout rates (and, with ``pad``, widths) as one.

    Raises:
        NotFusibleError: a layer cannot be stacked, or the networks are not of one kind.
    """
    from caviar.experiment import NotFusibleError

    plans = [plan_of(network, pad) for network in networks]
    for index, plan in enumerate(plans):
        if plan.key != plans[0].key:
            raise NotFusibleError(f"network {index} is not of the same kind as the first")
    dtype = next(iter(networks[0].parameters())).dtype
    stacked = Stacked(plans[0], len(networks), dtype)
    for lane, (network, plan) in enumerate(zip(networks, plans, strict=True)):
        stacked.put(lane, network, plan)
    return stacked


def unstack(stacked: Stacked, lane: int, into: nn.Module) -> nn.Module:
    """Give ``into``, a plain network as the one that was stacked, the weights of a lane."""
    into.load_state_dict(stacked.take(lane, plan_of(into, pad=False)))
    return into


def _views(
    plan: Plan, names: Sequence[str], lanes: int, dtype: torch.dtype, device: str
) -> tuple[Tensor, dict[str, Tensor]]:
    total = sum(_room(plan, name) for name in names)
    flat = torch.zeros(lanes, total, dtype=dtype, device=device)
    views = {
        name: flat[:, start : start + prod(shape)].view(lanes, *shape).detach()
        for name, (start, shape) in _places(plan, names)
    }
    return flat, views


def _places(plan: Plan, names: Sequence[str]) -> Iterator[tuple[str, tuple[int, tuple[int, ...]]]]:
    start = 0
    for name in names:
        yield name, (start, plan.padded[name])
        start += _room(plan, name)


def _room(plan: Plan, name: str) -> int:
    return -(-prod(plan.padded[name]) // ALIGNED) * ALIGNED


def _corner(whole: Tensor, shape: tuple[int, ...]) -> Tensor:
    return whole[tuple(slice(size) for size in shape)]
