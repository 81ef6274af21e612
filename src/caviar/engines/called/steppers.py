"""The optimizers of many lanes: stacked, where torch's is known, else each lane's own, on views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caviar.engines.called.layout import Layout
from caviar.engines.experiment import NotFusibleError
from caviar.engines.stacked.copies import sent
from caviar.engines.stacked.optimizers import OPTIMIZERS, LaneOptimizer

_AHEAD = 128
"""Steps whose columns are worked out together, at most."""

_LONG = 3000
"""From so many numbers of a lane on, a kernel for each lane is faster than some operations on all."""


class Stepper:
    """Steps lanes' optimizers.

    Args:
        optimizers: a lane's each, all of one `structure_of`.
        layout: of their parameters.
        dtype: of these.

    Attributes:
        slots: the stacked optimizers' state, by group, shape ``(lanes, numbers)`` each; empty where each
            lane's own steps.
        done: steps that lie behind each lane.
    """

    def __init__(
        self, optimizers: Sequence[torch.optim.Optimizer], layout: Layout, dtype: torch.dtype
    ) -> None:
        self._optimizers = optimizers
        self._layout = layout
        self._dtype = dtype
        self._device = "cpu"
        self._kind = _stacked(optimizers)
        lanes = len(optimizers)
        self.slots: list[list[Tensor]] = []
        self.done = np.zeros(lanes)
        self._known: Any = None
        self._unused: frozenset[str] | None = None
        self._settings: list[tuple[dict[str, Any], np.ndarray[Any, Any]]] = []
        # Of each group: constants, columns ``(steps, columns, lanes, 1)`` of the steps ahead, and of the
        # next one. On a GPU the first and the last stay where they are, as do the slots.
        self._constants: list[dict[str, Tensor]] = []
        self._columns: list[Tensor] = []
        self._now: list[Tensor] = []
        self._there: list[Tensor | None] = [None] * len(layout.groups)
        self._slots: list[list[Tensor]] = []
        self._each_lane: list[list[tuple[dict[str, float], float]]] = []  # by group: settings, rate
        # The parameters that were last stepped lane by lane, and by group each lane's, with its state.
        self._rows: Tensor | None = None
        self._lanes: list[list[tuple[Tensor, ...]]] = []
        self._place = self._ahead = self._stood = 0
        if self._kind is not None:
            for optimizer in optimizers:
                optimizer._opt_called = True  # type: ignore[attr-defined]  # schedulers look for it
            self.slots = [
                [torch.zeros(lanes, end - begin, dtype=dtype) for _ in self._kind.slots]
                for begin, end in layout.groups
            ]

    @property
    def is_stacked(self) -> bool:
        """Whether all lanes' optimizers are stepped as one, and keep nothing themselves."""
        return self._kind is not None

    @property
    def _by_lane(self) -> bool:
        """Whether each lane is stepped by torch's kernel."""
        has_kernel = self._kind is not None and self._kind.kernel is not None
        long = self._layout.size >= _LONG * len(self._layout.groups)
        single = self._dtype in (torch.float32, torch.float64)
        return has_kernel and long and single and self._device == "cpu"

    def to(self, device: str) -> None:
        """Compute there from now on.

        Raises:
            NotFusibleError: each lane's optimizer steps by itself, which is done on the CPU.
        """
        if self._kind is None and device != "cpu":
            raise NotFusibleError(f"{type(self._optimizers[0]).__name__}, lane by lane, on a GPU")
        self._device, self._ahead, self._rows = device, 0, None
        if device == "cpu":
            self._slots = self.slots
            self.slots = [[own.cpu() for own in group] for group in self.slots]
            return
        held = self._slots or [[None] * len(group) for group in self.slots]
        self.slots = [
            [sent(own, device, there) for own, there in zip(group, theirs, strict=True)]
            for group, theirs in zip(self.slots, held, strict=True)
        ]

    def leave_alone(self, names: frozenset[str]) -> None:
        """Step no parameter of these names: the loss does not depend on them.

        Raises:
            NotFusibleError: others than in the steps before, which a stacked optimizer cannot do.
        """
        if self._unused is None and names:
            if self._device != "cpu":
                raise NotFusibleError(f"{min(names)} takes no part in the loss, on a GPU")
            self._kind, self.slots = None, []
        elif self._unused is not None and names != self._unused and self._kind is not None:
            raise NotFusibleError(
                f"{min(names ^ self._unused)} takes part in the loss of some steps, and not of others"
            )
        self._unused = names

    def prepare(self) -> None:
        """Have the next step's numbers where `step` reads them: on a GPU where they were before."""
        if self._kind is None:
            return
        if self._by_lane:
            self._read_settings()
            return
        self._look_ahead()
        now = [columns[self._place] for columns in self._columns]
        if self._device == "cpu" or not self._now:
            self._now = [own if self._device == "cpu" else own.clone() for own in now]
        else:
            for there, own in zip(self._now, now, strict=True):
                there.copy_(own)

    def step(self, rows: Tensor, gradients: Tensor) -> None:
        """Step all lanes by the numbers that are prepared.

        Args:
            rows: the parameters, shape ``(lanes, numbers)``, which the lanes' modules hold views of.
            gradients: of the same shape; may be written over.
        """
        if self._kind is None:
            self._each(gradients)
            return
        if self._by_lane:
            self._step_lanes(rows, gradients)
            return
        for number, (begin, end) in enumerate(self._layout.groups):
            self._kind.step(
                rows[:, begin:end],
                gradients[:, begin:end],
                self.slots[number],
                self._constants[number],
                list(self._now[number]),
                end - begin,
            )

    def _step_lanes(self, rows: Tensor, gradients: Tensor) -> None:
        assert self._kind is not None
        assert self._kind.kernel is not None
        if rows is not self._rows:  # views take longer to make than a short step
            self._rows, self._lanes = rows, []
            for (begin, end), slots in zip(self._layout.groups, self.slots, strict=True):
                parts = (own.unbind() for own in (rows[:, begin:end], *slots))
                self._lanes.append(list(zip(*parts, strict=True)))
        counts = torch.from_numpy(self.done + 1).float().unbind()
        for (begin, end), lanes, said in zip(
            self._layout.groups, self._lanes, self._each_lane, strict=True
        ):
            each = zip(lanes, gradients[:, begin:end].unbind(), counts, said, strict=True)
            for (own, *state), gradient, count, (settings, lr) in each:
                self._kind.kernel(own, gradient, state, count, settings, lr)

    def stepped(self) -> None:
        """Count the step."""
        self.done += 1
        self._place += 1
        self._stood += 1

    def _each(self, gradients: Tensor) -> None:
        for lane, optimizer in enumerate(self._optimizers):
            views = iter(self._layout.views(gradients[lane]).items())
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.requires_grad:
                        name, gradient = next(views)
                        parameter.grad = None if name in (self._unused or ()) else gradient
            optimizer.step()

    def _look_ahead(self) -> None:
        """Have this step's numbers: those of as many steps together as the settings last stood still."""
        assert self._kind is not None
        changed = self._read_settings()
        if self._place < self._ahead and not changed:
            return
        self._place, self._ahead = 0, min(max(self._stood, 1), _AHEAD)
        if changed:
            self._stood = 0
        self._constants, self._columns = [], []
        for number, (settings, lrs) in enumerate(self._settings):
            rates = np.repeat(lrs[None], self._ahead, axis=0)
            columns = self._kind.steps(settings, rates, self.done).transpose(1, 0, 2)
            self._columns.append(self._sent(np.ascontiguousarray(columns))[..., None])
            numbers = np.stack(list(settings.values()))
            self._there[number] = constants = self._sent(numbers, self._there[number])
            self._constants.append(dict(zip(settings, constants[..., None], strict=True)))

    def _read_settings(self) -> bool:
        """Take over what the lanes' groups say; whether a schedule or a hook has changed it."""
        assert self._kind is not None
        known = [
            [
                {name: value for name, value in group.items() if name != "params"}
                for optimizer in self._optimizers
                for group in (optimizer.param_groups[number],)
            ]
            for number in range(len(self._layout.groups))
        ]
        if known == self._known:
            return False
        self._known, self._settings, self._each_lane = known, [], []
        for group in known:
            lrs = np.array([float(lane["lr"]) for lane in group])
            each = [self._kind.settings(_numbers(self._kind.target, lane)) for lane in group]
            settings = {
                name: np.array([one[name] for one in each]) for name in self._kind.constants
            }
            self._settings.append((settings, lrs))
            self._each_lane.append([*zip(each, lrs.tolist(), strict=True)])
        return True

    def _sent(self, numbers: np.ndarray[Any, Any], there: Tensor | None = None) -> Tensor:
        return sent(torch.from_numpy(numbers).to(self._dtype), self._device, there)

    def save(self, lane: int) -> dict[str, Any]:
        """A lane's part of the state, as plain values and tensors."""
        if self._kind is None:
            state = self._optimizers[lane].state_dict()["state"]
            return {"done": float(self.done[lane]), "own": state}
        return {
            "done": float(self.done[lane]),
            "slots": [[slot[lane].to("cpu", copy=True) for slot in group] for group in self.slots],
        }

    def load(self, lane: int, saved: dict[str, Any]) -> None:
        """Set a lane to what `save` gave."""
        self.done[lane], self._ahead = saved["done"], 0
        if self._kind is None:
            optimizer = self._optimizers[lane]
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": saved["own"], "param_groups": groups})
            return
        for group, own in zip(self.slots, saved["slots"], strict=True):
            for slot, values in zip(group, own, strict=True):
                slot[lane] = values


def _stacked(optimizers: Sequence[torch.optim.Optimizer]) -> LaneOptimizer | None:
    """The stacked form that knows all that these lanes are set to."""
    kind = type(optimizers[0])
    known = OPTIMIZERS.get(f"torch.optim.{kind.__name__}")
    if known is None or known.target is not kind:
        return None
    try:
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                known.settings(_numbers(kind, group))
    except NotFusibleError:
        return None
    return known


_OF_SCHEDULES = ("params", "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum", "lr")


def _numbers(kind: type, group: dict[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in group.items() if name not in _OF_SCHEDULES}
    if issubclass(kind, torch.optim.AdamW):
        found.pop("decoupled_weight_decay", None)  # which it is, and no setting of it
    return found
