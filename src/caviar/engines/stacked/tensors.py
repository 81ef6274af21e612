"""What the lanes of a stack hold, a row a lane: weights, the optimizer's slots and settings, the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from caviar.engines.experiment import Recipe
from caviar.engines.stacked.course import Course
from caviar.engines.stacked.layers import State
from caviar.engines.stacked.optimizers import LaneOptimizer
from caviar.engines.stacked.parameters import Stacked
from caviar.engines.stacked.plan import Plan

Saved = dict[str, dict[str, Tensor]]
"""All numbers of a lane, in the sizes of its plain network: ``net``, ``best``, and each slot."""


class LaneTensors:
    """The tensors of ``lanes`` lanes. They stay where they are in memory: backends hold on to them.

    Args:
        plans: the networks that there is to be room for, of one kind.
        course, optimizer: how they are trained.
        recipe: whose data and weight decay all lanes have in common.
        lanes: how many.
        device: where they lie.

    Attributes:
        net: the networks as they stand, and ``best``, as they were after their best epochs.
        slots: what the optimizer remembers, each ``(lanes, numbers)``.
        constants: the optimizer's settings, each ``(lanes, 1)``; ``settings``: the same in double
            precision, each ``(lanes,)``.
        decayed: weight decay acts on so many of the first numbers of a network.
        norm, value: the gradient's limits ``(lanes, 1)``, where there are any.
        train, val: samples and their classes.
        units: of each dropout layer, the shape of what it drops from; ``num_classes``: of a network.
        smoothing, weights: of the loss: label smoothing ``(lanes,)``, classes' ``(lanes, classes)``.
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
        dtype = course.dtype
        self.lanes, self.device = lanes, device
        self.course, self.optimizer = course, optimizer
        self.net = Stacked(plans, lanes, dtype, device)
        self.best = Stacked(plans, lanes, dtype, device)
        self.slots = [torch.zeros_like(self.net.flat) for _ in optimizer.slots]
        self.decayed = self.net.flat.shape[1] if recipe.decay_all else self.net.decayed

        x, y = (part.to(device) for part in recipe.train)
        val_x, val_y = (part[: course.eval_samples].to(device) for part in recipe.val)
        if dtype == torch.float64 and x.is_floating_point():
            x, val_x = x.double(), val_x.double()
        self.train, self.val = (x, y), (val_x, val_y)

        def column(value: float = 0.0) -> Tensor:
            return torch.full((lanes, 1), value, dtype=dtype, device=device)

        self.constants = {name: column() for name in optimizer.constants}
        self.settings = {name: np.zeros(lanes) for name in self.constants}
        self.norm = None if course.norm is None else column(float("inf"))
        self.value = None if course.value is None else column(float("inf"))
        self.units, self.num_classes = self._tried()
        self.smoothing = torch.zeros(lanes, dtype=dtype, device=device)
        self.weights = torch.ones(lanes, self.num_classes, dtype=dtype, device=device)
        self._smooths: set[int] = set()
        self._weighs: set[int] = set()

    def _tried(self) -> tuple[dict[str, tuple[int, ...]], int]:
        """Each dropout layer's units, and the number of classes, from a pass of two samples."""
        net, x = self.net, self.val[0][:2]
        probe = State(net.parameters, net.buffers, net.values, training=False)
        probe.seen = {}
        with torch.no_grad():
            logits = forward(net.plan, probe, x.expand(self.lanes, *x.shape), self.course.mixed)
        return probe.seen, logits.shape[2]

    @property
    def loss_settings(self) -> tuple[Tensor | None, Tensor | None]:
        """``smoothing`` and ``weights``, each None where no lane has any."""
        return (
            self.smoothing if self._smooths else None,
            self.weights if self._weighs else None,
        )

    @property
    def changing(self) -> list[Tensor]:
        """All that a step changes."""
        return [self.net.flat, self.net.running, self.net.counted, *self.slots]

    def begin(self, lane: int, plan: Plan, weights: Mapping[str, Tensor]) -> None:
        """Put a network that has not been trained yet on a lane."""
        self.net.put(lane, plan, weights)
        for slot in self.slots:
            slot[lane] = 0

    def set(self, lane: int, course: Course, settings: Mapping[str, float], recipe: Recipe) -> None:
        """Note how a lane is trained."""
        for name, tensor in self.constants.items():
            tensor[lane] = self.settings[name][lane] = settings[name]
        if self.norm is not None and course.norm is not None:
            self.norm[lane] = course.norm
        if self.value is not None and course.value is not None:
            self.value[lane] = course.value
        self.smoothing[lane] = recipe.label_smoothing
        weights = recipe.class_weights
        self.weights[lane] = 1.0 if weights is None else torch.tensor(weights)
        if recipe.label_smoothing:
            self._smooths.add(lane)
        if weights is not None:
            self._weighs.add(lane)

    def clear(self, lane: int) -> None:
        """Empty a lane; what it holds is overwritten when it is taken again."""
        # Zeros are computed as fast as any number; NaN and subnormal ones may not be.
        self.net.clear(lane)
        for slot in self.slots:
            slot[lane] = 0
        self._smooths.discard(lane)
        self._weighs.discard(lane)

    def keep(self, lane: int) -> None:
        """Note the network of a lane as its best so far."""
        with torch.no_grad():
            for mine, best in (
                (self.net.flat, self.best.flat),
                (self.net.running, self.best.running),
                (self.net.counted, self.best.counted),
            ):
                best[lane].copy_(mine[lane])

    def save(self, lane: int, plan: Plan) -> Saved:
        """All numbers of a lane whose network is of ``plan``."""
        found = {"net": self.net.take(lane, plan), "best": self.best.take(lane, plan)}
        for name, slot in zip(self.optimizer.slots, self.slots, strict=True):
            own = self.net.layout.corners(slot[lane], plan)
            found[name] = {key: tensor.to("cpu", copy=True) for key, tensor in own.items()}
        return found

    def load(self, lane: int, plan: Plan, saved: Saved) -> None:
        """Set a lane to what `save` gave."""
        self.net.put(lane, plan, saved["net"])
        self.best.put(lane, plan, saved["best"])
        for name, slot in zip(self.optimizer.slots, self.slots, strict=True):
            slot[lane] = 0
            for key, tensor in self.net.layout.corners(slot[lane], plan).items():
                tensor.copy_(saved[name][key])


def forward(plan: Plan, state: State, x: Tensor, mixed: bool) -> Tensor:
    """Logits ``(lanes, batch, classes)``; ``mixed``: layers compute in bfloat16."""
    if not mixed:
        return plan.forward(state, x)
    with torch.autocast(x.device.type, torch.bfloat16):
        return plan.forward(state, x).float()
