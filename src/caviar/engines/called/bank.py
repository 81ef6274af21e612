"""The lanes that step together: their numbers in a few large tensors, which their modules hold views of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from caviar.engines.called.attributes import Gathered, gather, give_back
from caviar.engines.called.averaging import Averages
from caviar.engines.called.epochs import EVERY_STEPS
from caviar.engines.called.graph import Graphs
from caviar.engines.called.intake import Intake
from caviar.engines.called.pretend import LIFTED
from caviar.engines.called.probe import Probe
from caviar.engines.called.results import Results
from caviar.engines.called.step import Stepped
from caviar.engines.called.steppers import Stepper
from caviar.engines.called.tapes import Tapes
from caviar.engines.called.template import Template
from caviar.engines.called.training import CalledTraining
from caviar.engines.stacked.copies import sent
from caviar.engines.stacked.optimizers import clip


class Bank:
    """Some trainings, stepped together.

    Args:
        template: their module, once.
        trainings: of one kind; what they hold becomes a part of this.

    Attributes:
        intake: takes in what their steps log.
    """

    def __init__(self, template: Template, trainings: Sequence[CalledTraining]) -> None:
        self.template = template
        self.trainings = list(trainings)
        first = trainings[0]
        self.course, self.layout = first.course, first.layout
        self._modules: list[Any] = [training.module for training in trainings]
        own = [dict(module.named_parameters()) for module in self._modules]
        with torch.no_grad():
            self.rows = torch.stack(
                [torch.cat([its[name].reshape(-1) for name in self.layout.places]) for its in own]
            )
            self.parameters = self.layout.views(self.rows)
            frozen = [name for name in own[0] if name not in self.layout.places]
            self.buffers = {name: torch.stack([its[name].data for its in own]) for name in frozen}
            for name, _ in self._modules[0].named_buffers():
                of_all = [module.get_buffer(name) for module in self._modules]
                if name not in first.metric_buffers:
                    self.buffers[name] = torch.stack(of_all)
        self._give_views(own)
        states = [(one.stepper, one.place) for one in trainings]
        self.stepper = Stepper([one.optimizer for one in trainings], self.layout, self.course.dtype)
        for lane, (training, (stepper, place)) in enumerate(zip(trainings, states, strict=True)):
            if stepper is not None:
                self.stepper.load(lane, stepper.save(place))
            training.stepper, training.place = self.stepper, lane
            if training.saved_state is not None:
                self.stepper.load(lane, training.saved_state)
                training.saved_state = None
        averages = [one.callbacks.average for one in trainings if one.callbacks.average is not None]
        self._averages = Averages(averages, frozenset(own[0])) if averages else None
        self._gathered: Gathered | None = None
        self._said: dict[str, tuple[list[Any], Tensor]] = {}
        self._gradients: Tensor | None = None
        self._device = self.course.device
        self.intake = Intake(self.trainings)
        self._clipped = self._limits()
        # Where the steps are: on a CPU what the modules hold views of, else copies, which stay where they
        # are and are the lanes' from `begin` to `end`.
        self._stepped = self.rows, self.parameters, self.buffers
        self._graphs: Graphs | None = None
        self._tapes = Tapes(template)

    def _limits(self) -> tuple[Tensor | None, Tensor | None]:
        """The gradient's norm and value at most, of each lane."""
        courses = [training.course for training in self.trainings]

        def of(values: list[Any]) -> Tensor | None:
            if values[0] is None:
                return None
            return sent(torch.tensor(values, dtype=self.course.dtype)[:, None], self._device)

        return of([one.norm for one in courses]), of([one.value for one in courses])

    def _give_views(self, own: Sequence[dict[str, Any]]) -> None:
        for lane, (module, parameters) in enumerate(zip(self._modules, own, strict=True)):
            for name, parameter in parameters.items():
                numbers = self.parameters if name in self.parameters else self.buffers
                parameter.data = numbers[name][lane]
            for name, buffer in module.named_buffers():
                if name in self.buffers:
                    buffer.data = self.buffers[name][lane]

    def begin(self) -> None:
        """Take the lanes' attributes over, for steps."""
        trees = [training.trees for training in self.trainings]
        self._gathered = gather(self._modules, trees, self.course.dtype)
        self.template.hold(self._gathered, self._modules[0])
        self._tapes.begin()
        if self._device != "cpu":
            held, _, theirs = self._stepped if self._graphs is not None else (None, None, {})
            rows = sent(self.rows, self._device, held)
            buffers = {
                name: sent(own, self._device, theirs.get(name))
                for name, own in self.buffers.items()
            }
            if self._graphs is None:
                self._graphs, self._gradients = Graphs(self.template), torch.zeros_like(rows)
            self._graphs.begin()
            self._stepped = rows, self.layout.views(rows), buffers
            slots = self._gathered.slots
            slots.update({leaf: sent(own, self._device) for leaf, own in slots.items()})
            self.stepper.to(self._device)
            if self._averages is not None:
                self._averages.to(self._device)

    def end(self) -> None:
        """Give the lanes' attributes back, and their metrics what they were called with."""
        assert self._gathered is not None
        self.intake.flush()
        self._tapes.settle(self._gathered)
        if self._device != "cpu":
            rows, _, buffers = self._stepped
            if self._graphs is not None:
                self._graphs.settle(self._gathered)
            self.rows.copy_(rows)
            for name, own in self.buffers.items():
                own.copy_(buffers[name])
            slots = self._gathered.slots
            slots.update({leaf: own.cpu() for leaf, own in slots.items()})
            self.stepper.to("cpu")
            if self._averages is not None:
                self._averages.to("cpu")
        if self._gathered.changed:
            give_back(self._gathered, self._modules, self.template.names)
            for training in self.trainings:
                training.read_attributes()
        self._gathered = None

    def train(
        self, batch: Any, batch_idx: int, shared: bool, steps: bool, results: Results
    ) -> None:
        """A training step of all lanes; ``steps``: their optimizers step after it."""
        stepped = self._call("training_step", batch, batch_idx, shared)
        if steps:
            self._step()
        self.intake.take("training_step", stepped, results)
        for training in self.trainings:
            training.trainer.global_step += steps
        if self._averages is not None:
            _, parameters, buffers = self._stepped
            done = [training.trainer.global_step for training in self.trainings]
            self._averages.batch_ended({**parameters, **buffers}, done)
        if steps and stepped.loss is not None:
            self._guard(stepped.loss)

    def gradients(self, batch: Any, batch_idx: int, shared: bool) -> tuple[Tensor, Tensor]:
        """The loss of each lane, and its gradient, shape ``(lanes, numbers)``; nothing is stepped."""
        stepped = self._call("training_step", batch, batch_idx, shared)
        assert stepped.loss is not None
        assert self._gradients is not None
        return stepped.loss, self._gradients

    def validate(self, batch: Any, batch_idx: int, shared: bool, results: Results) -> None:
        """A validation step of all lanes."""
        stepped = self._call("validation_step", batch, batch_idx, shared)
        self.intake.take("validation_step", stepped, results)

    def _call(self, method: str, batch: Any, batch_idx: int, shared: bool) -> Stepped:
        """A step of the module, and the gradients of a training step, which are added to those before."""
        assert self._gathered is not None
        _, parameters, buffers = self._stepped
        if self._device != "cpu":
            batch = pytree.tree_map_only(Tensor, lambda own: sent(own, self._device), batch)
        lifted = self._lifted()
        if batch_idx == 0:
            arrays = {"parameters": parameters, "buffers": buffers}
            Probe(self.template, method, arrays, batch, shared).check(self._gathered, lifted)
        launch, given = (
            partial(self._launch, method, shared),
            (batch, lifted, batch_idx, self._gathered),
        )
        if self._graphs is None:
            stepped = self._tapes.call(method, launch, given, shared, [*buffers.values()])
            self._take_gradients(stepped)
            return stepped
        assert self._gradients is not None
        gradients = [self._gradients] if method == "training_step" else []
        return self._graphs.call(method, launch, given, shared, [*gradients, *buffers.values()])

    def _launch(
        self,
        method: str,
        shared: bool,
        batch: Any,
        lifted: Mapping[str, Tensor],
        batch_idx: int,
        gathered: Gathered,
    ) -> Stepped:
        _, parameters, buffers = self._stepped
        own = gathered, lifted, batch, batch_idx, shared
        if method != "training_step":
            arrays = {"parameters": parameters, "buffers": buffers}
            with torch.no_grad():
                return self.template.step(method, arrays, *own)
        leaves = {name: numbers.detach().requires_grad_() for name, numbers in parameters.items()}
        stepped = self.template.step(method, {"parameters": leaves, "buffers": buffers}, *own)
        self._differentiate(stepped, leaves)
        if self._graphs is not None:
            self._take_gradients(stepped)
        return stepped

    def _lifted(self) -> dict[str, Tensor]:
        """Attributes of the lanes' trainers that differ; the template's trainer has all others."""
        lifted = {}
        for name in LIFTED:
            values = [getattr(training.trainer, name) for training in self.trainings]
            if all(value == values[0] for value in values):
                setattr(self.template.trainer, name, values[0])
            else:
                lifted[name] = self._said_there(name, values)
        self.template.trainer.num_training_batches = self.trainings[0].train.batches
        return lifted

    def _said_there(self, name: str, values: list[Any]) -> Tensor:
        """What the lanes' trainers say, where the steps are; sent once, if it then goes on by ones."""
        before, there = self._said.get(name, (None, None))
        if there is None or values != before:
            on = [value - 1 if isinstance(value, int) else None for value in values] == before
            there = (
                there + 1 if on and there is not None else sent(torch.tensor(values), self._device)
            )
            self._said[name] = values, there
        return there

    def _differentiate(self, stepped: Stepped, leaves: dict[str, Tensor]) -> None:
        accumulate, lanes = self.course.accumulate, len(self.trainings)
        assert stepped.loss is not None
        loss = stepped.loss / accumulate if accumulate > 1 else stepped.loss
        # The sum's gradient is each lane's own: no lane's loss hangs on another's parameters.
        found = torch.autograd.grad(loss.sum(), list(leaves.values()), allow_unused=True)
        pairs = list(zip(leaves.items(), found, strict=True))
        stepped.unused = frozenset(name for (name, _), grad in pairs if grad is None)
        each = [own.detach() * 0 if grad is None else grad for (_, own), grad in pairs]
        stepped.gradients = torch.cat([own.reshape(lanes, -1) for own in each], dim=1)
        stepped.loss = stepped.loss.detach()

    def _take_gradients(self, stepped: Stepped) -> None:
        """Add a step's gradients to those before."""
        own, stepped.gradients = stepped.gradients, None
        if own is None:
            return
        self.stepper.leave_alone(stepped.unused)
        if self._gradients is None:
            self._gradients = own
        elif self._graphs is None:
            self._gradients = self._gradients + own
        else:
            self._gradients += own

    def _step(self) -> None:
        gradients, rows = self._gradients, self._stepped[0]
        assert gradients is not None

        def update() -> None:
            clip(gradients, *self._clipped)
            with torch.no_grad():
                self.stepper.step(rows, gradients)
                if self._graphs is not None:
                    gradients.zero_()

        self.stepper.prepare()
        if self._graphs is None:
            self._gradients = None
            update()
        else:
            slots = [slot for group in self.stepper.slots for slot in group]
            self._graphs.update(update, [rows, *slots, gradients])
        self.stepper.stepped()

    def _guard(self, losses: Tensor) -> None:
        looked = [
            (lane, training)
            for lane, training in enumerate(self.trainings)
            if training.trainer.global_step % EVERY_STEPS == 0 and training.recipe.nan_guard
        ]
        if looked:
            here = losses.tolist()
            for lane, training in looked:
                training.look_at(here[lane])
