"""Trainings side by side: every lane goes through its own epoch, and all of them step together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caviar.base.errors import name_and_text
from caviar.engines.lanes.training import Training
from caviar.engines.native.loop import Native, why_not
from caviar.engines.stacked.compiling import compiled
from caviar.engines.stacked.layers import State
from caviar.engines.stacked.loss import cross_entropy
from caviar.engines.stacked.metrics import Metrics, Outputs
from caviar.engines.stacked.optimizers import clip
from caviar.engines.stacked.plan import Plan
from caviar.engines.stacked.stacked import Stacked

log = logging.getLogger(__name__)

_DRAWN_AT_ONCE = 1 << 20
"""Random numbers for dropout, a lane: a few steps' worth, so that memory stays small."""

_EVALUATED_AT_ONCE = 1 << 22
"""Numbers in a layer's output at validation, all lanes together."""


@dataclass(frozen=True)
class Ended:
    """What an epoch was to one lane.

    Attributes:
        over: the training has had its last epoch.
        error: why it failed, where it did.
    """

    training: Training
    lane: int
    over: bool
    error: BaseException | None = None


_REHEARSED = 32
"""Steps of the loop in C++ that are timed together."""


class Stack:
    """Room for ``lanes`` trainings of one kind.

    Nothing that one lane computes reaches another, so a lane whose numbers are NaN harms nobody.

    Args:
        trainings: those it is for, of one kind; they are not admitted by this.
        lanes: how many there is room for.
        device: where it computes.

    Attributes:
        trainings: by lane; None where it is free.
        compiled: whether steps go by a compiled graph; may be set at any time. It changes rounding.
        native: the loop in C++ that trains the lanes instead, see `go_native`.
    """

    def __init__(self, trainings: Sequence[Training], lanes: int, device: str = "cpu") -> None:
        first = trainings[0]
        plans = [training.plan for training in trainings]
        self.key = first.key
        self.lanes = lanes
        self.device = device
        self.compiled = False
        self.native: Native | None = None
        self.trainings: list[Training | None] = [None] * lanes
        self._course = course = first.course
        self._optimizer = first.optimizer
        dtype = course.dtype
        self._net = Stacked(plans, lanes, dtype, device)
        self._best = Stacked(plans, lanes, dtype, device)
        self._gradients = torch.zeros_like(self._net.flat)
        self._gradient_views = list(self._net.layout.views(self._gradients).values())
        self._leaves = list(self._net.parameters.values())
        self._slots = [torch.zeros_like(self._net.flat) for _ in self._optimizer.slots]
        everything = first.recipe.decay_all
        self._decayed = self._net.flat.shape[1] if everything else self._net.decayed

        self._x, self._y = (part.to(device) for part in first.recipe.train)
        self._val_x, self._val_y = (
            part[: course.eval_samples].to(device) for part in first.recipe.val
        )
        if dtype == torch.float64 and self._x.is_floating_point():
            self._x, self._val_x = self._x.double(), self._val_x.double()
        self._order = torch.zeros(lanes, course.samples, dtype=torch.int64)
        probe = State(self._net.parameters, self._net.buffers, self._net.values, training=False)
        probe.seen = {}
        with torch.no_grad():
            logits = self._forward(probe, self._val_x[:2].expand(lanes, *self._val_x[:2].shape))
        self._units = probe.seen
        self._widest = max([shape[0] for shape in self._net.shapes.values() if shape])
        self.num_classes = logits.shape[2]
        self._metrics = Metrics(first.recipe.metrics, self.num_classes)

        def column(value: float = 0.0) -> Tensor:
            return torch.full((lanes, 1), value, dtype=dtype, device=device)

        self._constants = {name: column() for name in self._optimizer.constants}
        self._settings = {name: np.zeros(lanes) for name in self._constants}  # in double precision
        self._norm = None if course.norm is None else column(float("inf"))
        self._value = None if course.value is None else column(float("inf"))
        self._smoothing = torch.zeros(lanes, dtype=dtype, device=device)
        self._weights = torch.ones(lanes, self.num_classes, dtype=dtype, device=device)
        self._smooths = self._weighs = False
        self._changing = [self._net.flat, self._net.running, self._net.counted, *self._slots]
        self._snapshot: list[Tensor] = []
        self._generators = [torch.Generator() for _ in range(lanes)]

    @property
    def active(self) -> list[int]:
        """The lanes that have a training."""
        return [lane for lane, training in enumerate(self.trainings) if training is not None]

    @property
    def free(self) -> list[int]:
        """The lanes that have none."""
        return [lane for lane, training in enumerate(self.trainings) if training is None]

    def go_native(self) -> str | None:
        """Train by the loop in C++ from now on, which changes rounding; or say why it cannot."""
        parts = ((self._x, self._y), (self._val_x, self._val_y))
        why = why_not(self._net, self._course, self._optimizer, parts, self.num_classes)
        if why is not None:
            return why
        try:
            self.native = Native(
                self._net, self._course, self._optimizer, *parts, self._slots, self._constants,
                self._norm, self._value, self._smoothing, self._weights,
            )  # fmt: skip
        except OSError as error:
            return str(error)
        for lane, training in enumerate(self.trainings):
            if training is not None:
                self._set(lane, training)
        return None

    def admit(self, training: Training, lane: int | None = None) -> int:
        """Put a training on a lane, the first free one unless it is said which."""
        lane = self.free[0] if lane is None else lane
        assert self.trainings[lane] is None
        assert training.key == self.key
        self.trainings[lane] = training
        self._net.put(lane, training.plan, training.weights)
        for slot in self._slots:
            slot[lane] = 0
        self._set(lane, training)
        return lane

    def release(self, lane: int) -> None:
        """Empty a lane; what it holds is overwritten when it is taken again."""
        self.trainings[lane] = None
        # Zeros are computed as fast as any number; NaN and subnormal ones may not be.
        self._net.clear(lane)
        for slot in self._slots:
            slot[lane] = 0
        self._flags()

    def holds(self, training: Training) -> bool:
        """Whether its lanes are wide enough for a training of this kind."""
        return self._net.holds(training.plan)

    def resized(self, lanes: int, more: Sequence[Training] = ()) -> Stack:
        """The same trainings, as they stand, in a stack of ``lanes`` lanes that has room for more."""
        active = self.active
        trainings = [training for training in self.trainings if training is not None]
        other = Stack([*trainings, *more], lanes, self.device)
        if self.native is not None:
            other.go_native()
        for new, (lane, training) in enumerate(zip(active, trainings, strict=True)):
            other.trainings[new] = training
            other._put(new, self._tensors(lane))
            other._set(new, training)
        return other

    def tick(self) -> list[Ended]:
        """One epoch in every lane."""
        self._snapshot = [tensor.detach().clone() for tensor in self._changing]
        columns = self._prepare()
        losses = torch.zeros(self.lanes, dtype=self._course.dtype, device=self.device)
        size, done = self._course.batch_size, 0
        order = self._order.to(self.device)
        for bits, steps in self._bits():
            rows = order[:, done * size : (done + steps) * size]
            self._steps(rows, columns[done : done + steps], bits, losses)
            done += steps
        losses /= self._course.steps
        metrics = self._evaluate() if any(t.validates() for t in self.trainings if t) else {}
        # From here on the epoch is done: trainings take it in, and cannot be taken back.
        self._snapshot = []
        return self._end_epoch(losses.tolist(), metrics)

    def rehearse(self) -> float:
        """Seconds that a step takes at best, from a few; what they do to the lanes is undone."""
        before = [tensor.detach().clone() for tensor in self._changing]
        columns, (bits, count) = self._prepare(), next(self._bits())
        # The loop in C++ makes itself room once a call: one step alone would bear all of that.
        steps = 1 if self.native is None else min(count, _REHEARSED)
        rows = self._order[:, : steps * self._course.batch_size].to(self.device)
        losses = torch.zeros(self.lanes, dtype=self._course.dtype, device=self.device)
        found = (
            seconds(lambda: self._steps(rows, columns[:steps], bits, losses), self.device) / steps
        )
        self._snapshot = before
        self.rewind()
        return found

    def rewind(self) -> None:
        """After a tick that was cut short: put every lane back to where its epoch began.

        The trainings are there still: they take an epoch in when all else of it is done.
        """
        with torch.no_grad():
            for tensor, before in zip(self._changing, self._snapshot, strict=False):
                tensor.copy_(before)
        self._snapshot = []

    def best_weights(self, lane: int) -> dict[str, Tensor]:
        """The plain state dict of a lane's best epoch."""
        training = self.trainings[lane]
        assert training is not None
        return self._best.take(lane, training.plan)

    def last_weights(self, lane: int) -> dict[str, Tensor]:
        """The plain state dict of a lane as it stands."""
        training = self.trainings[lane]
        assert training is not None
        return self._net.take(lane, training.plan)

    def save(self, lane: int) -> dict[str, Any]:
        """All that it takes to go on with a lane later, as plain values and tensors."""
        training = self.trainings[lane]
        assert training is not None
        return {"training": training.state(), "tensors": self._tensors(lane)}

    def load(self, lane: int, saved: dict[str, Any]) -> None:
        """Go on from what `save` gave; the training is on the lane already."""
        training = self.trainings[lane]
        assert training is not None
        self._put(lane, saved["tensors"])
        training.load_state(saved["training"])

    def _tensors(self, lane: int) -> dict[str, dict[str, Tensor]]:
        """All numbers of a lane, in the sizes of its plain network."""
        training = self.trainings[lane]
        assert training is not None
        plan = training.plan
        found = {"net": self._net.take(lane, plan), "best": self._best.take(lane, plan)}
        for name, slot in zip(self._optimizer.slots, self._slots, strict=True):
            own = self._net.layout.corners(slot[lane], plan)
            found[name] = {key: tensor.to("cpu", copy=True) for key, tensor in own.items()}
        return found

    def _put(self, lane: int, tensors: dict[str, dict[str, Tensor]]) -> None:
        training = self.trainings[lane]
        assert training is not None
        plan = training.plan
        self._net.put(lane, plan, tensors["net"])
        self._best.put(lane, plan, tensors["best"])
        for name, slot in zip(self._optimizer.slots, self._slots, strict=True):
            slot[lane] = 0
            for key, tensor in self._net.layout.corners(slot[lane], plan).items():
                tensor.copy_(tensors[name][key])

    def _set(self, lane: int, training: Training) -> None:
        recipe, course = training.recipe, training.course
        for name, tensor in self._constants.items():
            tensor[lane] = self._settings[name][lane] = training.settings[name]
        if self._norm is not None and course.norm is not None:
            self._norm[lane] = course.norm
        if self._value is not None and course.value is not None:
            self._value[lane] = course.value
        self._smoothing[lane] = recipe.label_smoothing
        weights = recipe.class_weights
        self._weights[lane] = 1.0 if weights is None else torch.tensor(weights)
        if self.native is not None:
            self.native.admit(lane, training.plan.shapes)
        self._flags()

    def _flags(self) -> None:
        recipes = [training.recipe for training in self.trainings if training is not None]
        self._smooths = any(recipe.label_smoothing for recipe in recipes)
        self._weighs = any(recipe.class_weights is not None for recipe in recipes)

    def _prepare(self) -> Tensor:
        """Each lane's order of samples, and the optimizer's columns ``(steps, columns, lanes, 1)``."""
        course, active = self._course, self.active
        shape = (len(self._optimizer.columns), course.steps, self.lanes)
        columns = np.ones(shape)
        columns[0] = 0.0
        trainings = [training for training in self.trainings if training is not None]
        rates = np.empty((course.steps, len(active)))
        for index, (lane, training) in enumerate(zip(active, trainings, strict=True)):
            recipe = training.recipe
            order = recipe.order(len(recipe.train[0]), recipe.seed, training.epoch)
            self._order[lane] = order[: course.samples]
            rates[:, index] = training.rates()
        settings = {name: values[active] for name, values in self._settings.items()}
        done = np.array([float(training.epoch * course.steps) for training in trainings])
        columns[:, :, active] = self._optimizer.steps(settings, rates, done)
        found = torch.from_numpy(columns).transpose(0, 1).unsqueeze(3)
        return found.to(self.device, course.dtype).contiguous()

    def _bits(self) -> Iterator[tuple[dict[str, Tensor], int]]:
        """The epoch's steps, some at a time: random numbers of the dropout layers, and how many steps.

        A layer's numbers are of shape ``(steps, lanes, batch, …)``, drawn lane by lane.
        """
        size, left = self._course.batch_size, self._course.steps
        if not self._units:
            yield {}, left
            return
        for lane, training in enumerate(self.trainings):
            if training is not None:
                seed = np.random.SeedSequence([training.recipe.seed % 2**32, training.epoch, 2])
                self._generators[lane].manual_seed(int(seed.generate_state(1)[0]))
        numbers = size * sum(int(np.prod(shape)) for shape in self._units.values())
        at_once = min(left, max(1, _DRAWN_AT_ONCE // numbers))
        while left:
            drawn = {
                name: torch.zeros(at_once, self.lanes, size, *shape, dtype=torch.int16)
                for name, shape in self._units.items()
            }
            for lane, training in enumerate(self.trainings):
                if training is not None:
                    self._draw(lane, training, at_once, drawn)
            on_device = {name: tensor.to(self.device) for name, tensor in drawn.items()}
            yield on_device, min(at_once, left)
            left -= min(at_once, left)

    def _draw(self, lane: int, training: Training, steps: int, drawn: dict[str, Tensor]) -> None:
        """Draw a lane's numbers, for the units that it has and no others."""
        for name, tensor in drawn.items():
            units = training.plan.dropouts[name]
            place = tensor[:, lane] if units is None else tensor[:, lane, ..., :units]
            # Four 16-bit numbers a word: a generator gives words no slower.
            words = torch.empty(-(-place.numel() // 4), dtype=torch.int64)
            words.random_(-(2**63), None, generator=self._generators[lane])
            place.copy_(words.view(torch.int16)[: place.numel()].view(place.shape))

    def _steps(
        self, order: Tensor, columns: Tensor, bits: dict[str, Tensor], losses: Tensor
    ) -> None:
        """Some steps of all lanes; the loss of each, before the step, is added to ``losses``."""
        if self.native is not None:
            self.native.steps(self.active, order, columns, bits, self._decayed, losses)
            self._net.count_steps(len(columns))
            return
        size = self._course.batch_size
        for step, column in enumerate(columns):
            rows = order[:, step * size : (step + 1) * size]
            own = {name: drawn[step, :, : rows.shape[1]] for name, drawn in bits.items()}
            losses += self._step(rows, column, own)

    def _step(self, rows: Tensor, columns: Tensor, bits: dict[str, Tensor]) -> Tensor:
        """One step of all lanes; the loss of each, before it."""
        gradients, losses = self._backward(rows, bits)
        for view, gradient in zip(self._gradient_views, gradients, strict=True):
            view.copy_(gradient)
        clip(self._gradients, self._norm, self._value)
        self._optimizer.step(
            self._net.flat,
            self._gradients,
            self._slots,
            self._constants,
            columns.unbind(0),
            self._decayed,
        )
        self._net.count_steps(1)
        return losses

    def _backward(self, rows: Tensor, bits: dict[str, Tensor]) -> tuple[Sequence[Tensor], Tensor]:
        arguments = (
            self._net.plan,
            self._net.state(True, bits),
            *(self._x, self._y, rows),
            *self._loss_settings(),
            self._course.mixed,
        )
        if self.compiled:
            try:
                losses = compiled(_losses)(*arguments)
            except RuntimeError as error:  # torch._dynamo and torch._inductor raise kinds of it
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                log.warning("not compiled, so step by step: %s", " ".join(str(error).split())[:500])
                self.compiled = False
        if not self.compiled:
            losses = _losses(*arguments)
        # The lanes' losses have no parameter in common: the gradient of the sum is each lane's own.
        return torch.autograd.grad(losses.sum(), self._leaves), losses.detach()

    def _forward(self, state: State, x: Tensor) -> Tensor:
        return _forward(self._net.plan, state, x, self._course.mixed)

    def _loss_settings(self) -> tuple[Tensor | None, Tensor | None]:
        """Label smoothing and class weights, each None where no lane has any."""
        return (
            self._smoothing if self._smooths else None,
            self._weights if self._weighs else None,
        )

    def _evaluate(self) -> dict[str, list[float]]:
        outputs, total = self._outputs()
        values = {"loss": total / len(self._val_x), **self._metrics(outputs)}
        return {f"val/{name}": value.tolist() for name, value in values.items()}

    def _outputs(self) -> tuple[Outputs, Tensor]:
        """What the lanes say of the validation part, and their losses, summed over it."""
        lanes, x, y = self.lanes, self._val_x, self._val_y
        total = torch.zeros(lanes, dtype=self._course.dtype, device=self.device)
        if self.native is not None:
            found = torch.zeros(lanes, self.num_classes, len(x), dtype=self._course.dtype)
            self.native.evaluate(self.active, found, total)
            return Outputs(found, y), total
        at_once = max(1, _EVALUATED_AT_ONCE // (lanes * self._widest))
        probabilities = []
        with torch.no_grad():
            for start in range(0, len(x), at_once):
                part, targets = x[start : start + at_once], y[start : start + at_once]
                logits = self._forward(self._net.state(False), part.expand(lanes, *part.shape))
                losses = cross_entropy(logits, targets.expand(lanes, -1), *self._loss_settings())
                total += losses.sum(1)
                probabilities.append(logits.transpose(1, 2).contiguous().softmax(dim=1))
        return Outputs(torch.cat(probabilities, dim=2), y), total

    def _end_epoch(self, losses: list[float], metrics: dict[str, list[float]]) -> list[Ended]:
        ended = []
        for lane, training in enumerate(self.trainings):
            if training is None:
                continue
            own = {name: values[lane] for name, values in metrics.items()}
            try:
                over = training.epoch_ended(losses[lane], own if training.validates() else None)
                ended.append(Ended(training, lane, over))
            except BaseException as error:  # its own: its neighbours go on
                ended.append(Ended(training, lane, True, error))
            if training.improved:
                self._keep(lane)
        return ended

    def _keep(self, lane: int) -> None:
        """Note the weights of a lane as its best so far."""
        with torch.no_grad():
            for mine, best in (
                (self._net.flat, self._best.flat),
                (self._net.running, self._best.running),
                (self._net.counted, self._best.counted),
            ):
                best[lane].copy_(mine[lane])


def _forward(plan: Plan, state: State, x: Tensor, mixed: bool) -> Tensor:
    if not mixed:
        return plan.forward(state, x)
    with torch.autocast(x.device.type, torch.bfloat16):
        return plan.forward(state, x).float()


def _losses(
    plan: Plan,
    state: State,
    x: Tensor,
    y: Tensor,
    rows: Tensor,
    smoothing: Tensor | None,
    weights: Tensor | None,
    mixed: bool,
) -> Tensor:
    """The mean loss of each lane on its rows, shape ``(lanes,)``."""
    logits = _forward(plan, state, x[rows], mixed)
    return cross_entropy(logits, y[rows], smoothing, weights).mean(1)


def seconds(step: Callable[[], Any], device: str) -> float:
    """The least time of a step, over some after the first two: others on the machine only add to it."""
    times: list[float] = []
    for number in range(22):
        began = perf_counter()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        if number > 1:
            times.append(perf_counter() - began)
        if len(times) > 2 and sum(times) > 0.2:
            break
    return min(times)


def out_of_memory(error: BaseException) -> bool:
    """Whether torch, or the loop in C++, found no memory for the lanes."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in name_and_text(error)
    )
