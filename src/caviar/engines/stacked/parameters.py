"""Many networks of one kind as one: their parameters side by side, and the way back to a plain one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from caviar.engines.stacked.layers import State
from caviar.engines.stacked.plan import Plan, Shapes, widest

ALIGNED = 16
"""Each tensor begins at a multiple of so many numbers: vector instructions want it."""


@dataclass(frozen=True)
class Layout:
    """Where tensors lie in the row of a matrix ``(lanes, numbers)``.

    Attributes:
        places: name -> the first number, and the tensor's shape.
        size: numbers in a row.
    """

    places: Mapping[str, tuple[int, tuple[int, ...]]]
    size: int

    @classmethod
    def of(cls, names: Sequence[str], shapes: Shapes) -> Layout:
        """One tensor after the other."""
        places, start = {}, 0
        for name in names:
            places[name] = (start, shapes[name])
            start += -(-prod(shapes[name]) // ALIGNED) * ALIGNED
        return cls(places, start)

    def views(self, matrix: Tensor) -> dict[str, Tensor]:
        """The tensors of all lanes, each ``(lanes, …)``."""
        return {
            name: matrix[:, start : start + prod(shape)].view(len(matrix), *shape).detach()
            for name, (start, shape) in self.places.items()
        }

    def corners(self, row: Tensor, plan: Plan) -> dict[str, Tensor]:
        """The tensors in one lane's row, in the sizes that ``plan`` has of them; views too."""
        return {
            name: row.detach()[start : start + prod(shape)].view(shape)[
                tuple(slice(size) for size in plan.shapes[name])
            ]
            for name, (start, shape) in self.places.items()
        }


class Stacked:
    """The parameters and buffers of ``lanes`` networks, a row a lane.

    Args:
        plans: what networks it is for; their kind is the same, their widths may differ.
        lanes: how many there is room for; all are zero until `put`.
        dtype: of the parameters.

    Attributes:
        flat: all parameters, shape ``(lanes, numbers)``: those that weight decay may shrink first
            (two dimensions or more), up to ``decayed``.
        parameters: views into it, by name, with a first dimension of lanes; autograd's leaves.
        running: all buffers of floats, shape ``(lanes, numbers)``, and ``buffers``, its views.
        counted: batch norm's counters, shape ``(lanes, counters)``.
        tensors: all three of these matrices.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        lanes: int,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ) -> None:
        self.plan = plan = plans[0]
        self.shapes = shapes = widest(plans)
        matrices = [name for name in plan.parameters if len(shapes[name]) > 1]
        vectors = [name for name in plan.parameters if len(shapes[name]) <= 1]
        self.layout = Layout.of([*matrices, *vectors], shapes)
        self.decayed = Layout.of(matrices, shapes).size
        self.running_layout = Layout.of(plan.buffers, shapes)

        def zeros(numbers: int, kind: torch.dtype = dtype) -> Tensor:
            return torch.zeros(lanes, numbers, dtype=kind, device=device)

        self.flat = zeros(self.layout.size)
        self.parameters = self.layout.views(self.flat)
        self.running = zeros(self.running_layout.size)
        self.buffers = self.running_layout.views(self.running)
        self.counted = zeros(len(plan.counters), torch.int64)
        self.tensors = self.flat, self.running, self.counted
        self._a_step = torch.tensor(list(plan.counters.values()), dtype=torch.int64, device=device)
        self.values = {
            name: torch.full((lanes,), value, dtype=dtype, device=device)
            for name, value in plan.values.items()
        }
        for parameter in self.parameters.values():
            parameter.requires_grad_()
        self._views: dict[int, tuple[Plan, Mapping[str, Tensor]]] = {}

    def holds(self, plan: Plan) -> bool:
        """Whether there is room for a network of this plan."""
        return all(
            size <= room
            for name, shape in plan.shapes.items()
            for size, room in zip(shape, self.shapes[name], strict=True)
        )

    def put(self, lane: int, plan: Plan, tensors: Mapping[str, Tensor]) -> None:
        """Set a lane to a plain network's state dict; ``plan`` is that network's."""
        for matrix in self.tensors:
            matrix[lane] = 0
        own = self._of(lane, plan)
        torch._foreach_copy_([own[name] for name in tensors], list(tensors.values()))  # type: ignore[attr-defined]
        for name, value in plan.values.items():
            self.values[name][lane] = value

    def take(self, lane: int, plan: Plan) -> dict[str, Tensor]:
        """A copy of a lane as the state dict of its plain network."""
        own = self._of(lane, plan)
        return {name: own[name].to("cpu", copy=True).contiguous() for name in plan.shapes}

    def _of(self, lane: int, plan: Plan) -> Mapping[str, Tensor]:
        """Views of a lane, by the names of a plan's state dict."""
        # Made once: seventeen views take as long as what is copied into them.
        kept = self._views.get(lane)
        if kept is None or kept[0] is not plan:
            own = {
                **self.layout.corners(self.flat[lane], plan),
                **self.running_layout.corners(self.running[lane], plan),
                **dict(zip(plan.counters, self.counted[lane].unbind(), strict=True)),
            }
            kept = self._views[lane] = (plan, own)
        return kept[1]

    def state(self, training: bool, bits: dict[str, Tensor] | None = None) -> State:
        """What its layers compute with."""
        return State(self.parameters, self.buffers, self.values, bits or {}, training)

    def count_steps(self, steps: int) -> None:
        """Let batch norm's counters know that training batches have gone by."""
        if self.plan.counters:
            self.counted += steps * self._a_step
