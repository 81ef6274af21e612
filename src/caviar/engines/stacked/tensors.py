"""What the lanes of a stack compute with: their rows, and what all of them have in common."""

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
from caviar.engines.stacked.rows import Rows


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
        return [self.net.flat, self.net.running, self.net.counted, *self.slots]

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

    def keep(self, lanes: Sequence[int]) -> None:
        """Note the networks of some lanes as their best so far."""
        if not lanes:
            return
        which = sent(torch.tensor(lanes), self.device)
        for mine, best in (
            (self.net.flat, self.best.flat),
            (self.net.running, self.best.running),
            (self.net.counted, self.best.counted),
        ):
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
