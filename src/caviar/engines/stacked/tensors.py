"""What the lanes of a stack compute with: a row of what is each lane's own, and what all have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from caviar.engines.experiment import Recipe
from caviar.engines.stacked.copies import sent
from caviar.engines.stacked.course import Course
from caviar.engines.stacked.layers import State
from caviar.engines.stacked.optimizers import LaneOptimizer
from caviar.engines.stacked.parameters import Stacked
from caviar.engines.stacked.plan import Plan

Saved = dict[str, dict[str, Tensor]]
"""All numbers of a lane, in the sizes of its plain network: ``net``, ``best``, and each slot."""


class Rows:
    """The rows of some lanes, on one device.

    Args:
        plans: the networks that there is to be room for, of one kind.
        course, optimizer: how they are trained.
        num_classes: of each network.
        lanes: how many.
        device: where they lie.

    Attributes:
        net: the networks as they stand, and ``best``, as they were after their best epochs.
        slots: what the optimizer remembers, each ``(lanes, numbers)``.
        constants: the optimizer's settings, each ``(lanes, 1)``.
        norm, value: the gradient's limits ``(lanes, 1)``, where there are any.
        smoothing, weights: of the loss: label smoothing ``(lanes,)``, classes' ``(lanes, classes)``.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        course: Course,
        optimizer: LaneOptimizer,
        num_classes: int,
        lanes: int,
        device: str,
    ) -> None:
        dtype = course.dtype
        self.lanes, self.device, self.num_classes = lanes, device, num_classes
        self.course, self.optimizer, self._plans = course, optimizer, plans
        self.net = Stacked(plans, lanes, dtype, device)
        self.best = Stacked(plans, lanes, dtype, device)
        self.slots = [torch.zeros_like(self.net.flat) for _ in optimizer.slots]

        def column(value: float = 0.0) -> Tensor:
            return torch.full((lanes, 1), value, dtype=dtype, device=device)

        self.constants = {name: column() for name in optimizer.constants}
        self.norm = None if course.norm is None else column(float("inf"))
        self.value = None if course.value is None else column(float("inf"))
        self.smoothing = torch.zeros(lanes, dtype=dtype, device=device)
        self.weights = torch.ones(lanes, num_classes, dtype=dtype, device=device)

    @property
    def pieces(self) -> list[Tensor]:
        """All of it as matrices ``(lanes, …)`` of one type; whole numbers by their bits."""
        dtype = self.course.dtype
        found = [self.weights, self.smoothing[:, None], *self.slots, *self.constants.values()]
        for net in (self.net, self.best):
            found += [net.flat, net.running]
            if net.counted.numel():
                found.append(net.counted.view(dtype))
        found += [values[:, None] for values in self.net.values.values()]
        found += [limit for limit in (self.norm, self.value) if limit is not None]
        return found

    def move(self, rows: Sequence[int], to: Rows, lanes: Sequence[int]) -> None:
        """Copy some rows to lanes of another, of the same layout: all by one copy between the devices."""
        mine, its = (
            sent(torch.tensor(which), one.device) for which, one in ((rows, self), (lanes, to))
        )
        whole = torch.cat([piece.index_select(0, mine) for piece in self.pieces], dim=1)
        whole = sent(whole, to.device) if self.device == "cpu" else whole.to(to.device)
        start = 0
        for piece in to.pieces:
            piece.index_copy_(0, its, whole[:, start : start + piece.shape[1]])
            start += piece.shape[1]

    def begin(self, row: int, plan: Plan, weights: Mapping[str, Tensor]) -> None:
        """Put a network that has not been trained yet on a row."""
        self.net.put(row, plan, weights)
        for slot in self.slots:
            slot[row] = 0

    def set(self, row: int, course: Course, settings: Mapping[str, float], recipe: Recipe) -> None:
        """Note how a row's network is trained."""
        for name, tensor in self.constants.items():
            tensor[row] = settings[name]
        for limits, own in ((self.norm, course.norm), (self.value, course.value)):
            if limits is not None and own is not None:
                limits[row] = own
        self.smoothing[row] = recipe.label_smoothing
        weights = recipe.class_weights
        self.weights[row] = 1.0 if weights is None else torch.tensor(weights)

    def save(self, row: int, plan: Plan) -> Saved:
        """All numbers of a row whose network is of ``plan``; not of one on a GPU: see `Dock`."""
        found = {"net": self.net.take(row, plan), "best": self.best.take(row, plan)}
        for name, slot in zip(self.optimizer.slots, self.slots, strict=True):
            own = self.net.layout.corners(slot[row], plan)
            found[name] = {key: tensor.clone() for key, tensor in own.items()}
        return found

    def load(self, row: int, plan: Plan, saved: Saved) -> None:
        """Set a row to what `save` gave."""
        self.net.put(row, plan, saved["net"])
        self.best.put(row, plan, saved["best"])
        for name, slot in zip(self.optimizer.slots, self.slots, strict=True):
            slot[row] = 0
            for key, tensor in self.net.layout.corners(slot[row], plan).items():
                tensor.copy_(saved[name][key])


class LaneTensors(Rows):
    """All that a stack's lanes compute with. It stays where it is in memory: backends hold on to it.

    Args:
        plans: the networks that there is to be room for, of one kind.
        course, optimizer: how they are trained.
        recipe: whose data and weight decay all lanes have in common.
        lanes: how many.
        device: where they lie.

    Attributes:
        settings: the optimizer's in double precision, each ``(lanes,)``.
        decayed: weight decay acts on so many of the first numbers of a network.
        train, val: samples and their classes.
        units: of each dropout layer, the shape of what it drops from; ``dropped``: the units of that
            shape's last dimension that each lane has, ``(lanes,)``.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        course: Course,
        optimizer: LaneOptimizer,
        recipe: Recipe,
        lanes: int,
        device: str,
    ) -> None:
        x, y = (part.to(device) for part in recipe.train)
        val_x, val_y = (part[: course.eval_samples].to(device) for part in recipe.val)
        if course.dtype == torch.float64 and x.is_floating_point():
            x, val_x = x.double(), val_x.double()
        self.train, self.val = (x, y), (val_x, val_y)
        self.units, num_classes = _tried(plans, course, val_x[:2], device)
        super().__init__(plans, course, optimizer, num_classes, lanes, device)
        self.decayed = self.net.flat.shape[1] if recipe.decay_all else self.net.decayed
        self.settings = {name: np.zeros(lanes) for name in self.constants}
        self.dropped = {name: np.zeros(lanes, dtype=np.int64) for name in self.units}
        self._smooths: set[int] = set()
        self._weighs: set[int] = set()

    def beside(self, count: int) -> Rows:
        """Rows of the same layout on the host."""
        return Rows(self._plans, self.course, self.optimizer, self.num_classes, count, "cpu")

    @property
    def loss_settings(self) -> tuple[Tensor | None, Tensor | None]:
        """``smoothing`` and ``weights``, each None where no lane has any."""
        return (self.smoothing if self._smooths else None, self.weights if self._weighs else None)

    @property
    def changing(self) -> list[Tensor]:
        """All that a step changes."""
        return [*self.net.tensors, *self.slots]

    def note(self, lane: int, plan: Plan, settings: Mapping[str, float], recipe: Recipe) -> None:
        """Note how a lane is trained, beside what `set` puts into its row."""
        for name, shape in self.units.items():
            own = plan.dropouts[name]
            self.dropped[name][lane] = shape[-1] if own is None else own
        for name, values in self.settings.items():
            values[lane] = settings[name]
        if recipe.label_smoothing:
            self._smooths.add(lane)
        if recipe.class_weights is not None:
            self._weighs.add(lane)

    def forget(self, lane: int) -> None:
        """Nobody is on a lane any more."""
        self._smooths.discard(lane)
        self._weighs.discard(lane)

    def clear(self, lanes: Sequence[int]) -> None:
        """Empty some lanes; what they hold is overwritten when they are taken again."""
        # Zeros are computed as fast as any number; NaN and subnormal ones may not be.
        which = sent(torch.tensor(lanes), self.device)
        for tensor in self.changing:
            tensor.index_fill_(0, which, 0)

    def keep(self, lanes: Sequence[int]) -> None:
        """Note the networks of some lanes as their best so far."""
        if not lanes:
            return
        which = sent(torch.tensor(lanes), self.device)
        for mine, best in zip(self.net.tensors, self.best.tensors, strict=True):
            best.index_copy_(0, which, mine.index_select(0, which))


def _tried(
    plans: Sequence[Plan], course: Course, x: Tensor, device: str
) -> tuple[dict[str, tuple[int, ...]], int]:
    """What each dropout layer is given, a sample's shape, and the number of classes: by two samples."""
    net = Stacked(plans, 1, course.dtype, device)
    probe = State(net.parameters, net.buffers, net.values, training=False)
    probe.seen = {}
    with torch.no_grad():
        logits = forward(net.plan, probe, x[None], course.mixed)
    return probe.seen, logits.shape[2]


def forward(plan: Plan, state: State, x: Tensor, mixed: bool) -> Tensor:
    """Logits ``(lanes, batch, classes)``; ``mixed``: layers compute in bfloat16."""
    if not mixed:
        return plan.forward(state, x)
    with torch.autocast(x.device.type, torch.bfloat16):
        return plan.forward(state, x).float()
