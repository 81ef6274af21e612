"""Steps on a GPU of lanes that call their module, as CUDA graphs: one launch, where there were a hundred.

What the host decides of a step is a graph's key, and what changes from step to step is copied to where the
graph reads it. A step is recorded when it comes for the second time in an epoch, and its graph is held
against it in every epoch, before it goes on in its place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from caviar.engines.called.attributes import Gathered, Leaf, Place
from caviar.engines.called.came import difference
from caviar.engines.called.record import Record
from caviar.engines.called.recordable import (
    Counted,
    CountingError,
    Graph,
    UntoldError,
    counts,
    drawn_since,
    host_random,
    kept_in,
    undrawn,
    untold,
    why_not,
)
from caviar.engines.called.step import Launch, Stepped, Taken
from caviar.engines.called.template import Template
from caviar.engines.called.watching import Watch
from caviar.engines.gpu import gpu_lost
from caviar.engines.stacked.recording import copied, put_back, recorded

log = logging.getLogger(__name__)
STEPS = ("training_step", "validation_step", "the optimizers' step")


@dataclass
class _Step:
    """What is to be done, launched one by one or as a graph.

    Attributes:
        name: what it is called.
        key: what the host decides of it.
        inputs: what it takes anew each time.
        launch: does it.
        record: records it, with inputs that stay where they are.
        changes: gives what it changes, shape ``(lanes, …)``.
        gathered: the attributes that it takes and sets; None of an optimizer's.
    """

    name: str
    key: Hashable
    inputs: list[Tensor]
    launch: Callable[[], Stepped | None]
    record: Callable[[list[Tensor]], Graph]
    changes: Callable[[], list[Tensor]]
    gathered: Gathered | None = None


class Graphs:
    """The graphs of a bank, which go with it.

    Args:
        template: whose code they are of.
    """

    def __init__(self, template: Template) -> None:
        self._template = template
        self._graphs: dict[Hashable, Graph] = {}
        self._seen: set[Hashable] = set()
        self._held: set[Hashable] = set()
        self._dropped: set[str] = set()
        self._slots: dict[Hashable, Tensor] = {}
        self._known: dict[frozenset[Leaf], Any] = {}
        self._counted = Counted(template)

    def begin(self) -> None:
        """Before an epoch's steps: what was found out in the last one is not known of this one."""
        self._seen.clear()
        self._held.clear()
        self._known.clear()

    def settle(self, gathered: Gathered) -> None:
        """Have the attributes say what graphs have counted."""
        self._counted.settle(gathered)

    def call(
        self,
        method: str,
        launch: Launch,
        given: tuple[Any, Mapping[str, Tensor], int, Gathered],
        shared: bool,
        changes: Sequence[Tensor],
    ) -> Stepped:
        """A step of the module.

        Args:
            launch: does it.
            given: what it is given.
            shared: the batch is all lanes'.
            changes: what it changes beside attributes, shape ``(lanes, …)``.
        """
        batch, lifted, batch_idx, gathered = given
        how = method, shared, self._template.lifting
        taken = Taken(self._template.trainer, how, batch, lifted)
        if taken.unknown is not None:
            self._refuse(method, f"{method}: its batches hold a {taken.unknown}")

        def launched() -> Stepped:
            self.settle(gathered)
            self._known.clear()
            return launch(batch, lifted, batch_idx, gathered)

        def record(own: list[Tensor]) -> Graph:
            return self._recorded_call(method, launch, taken.of(own), gathered, changes)

        def changed() -> list[Tensor]:
            return [*changes, *gathered.slots.values()]

        step = _Step(method, taken.key, taken.inputs, launched, record, changed, gathered)
        return cast("Stepped", self._done(step))

    def update(self, launch: Callable[[], None], changes: Sequence[Tensor]) -> None:
        """A step of the optimizers, which ``launch`` does; see `call`."""

        def record(_: list[Tensor]) -> Graph:
            return Graph(recorded(launch, changes)[0], [], None)

        self._done(_Step(STEPS[-1], STEPS[-1], [], launch, record, lambda: [*changes]))

    def _done(self, step: _Step) -> Stepped | None:
        if step.name in self._dropped or step.name in self._template.launched:
            return step.launch()
        graph = self._graphs.get(step.key)
        if graph is not None and graph.kept != self._kept(step.gathered, graph):
            graph = None
        if graph is None and step.key not in self._seen:
            self._seen.add(step.key)
            return self._watched(step)
        if step.gathered is not None:
            self._settle(step.gathered)
        if graph is None:
            self._held.discard(step.key)
            graph = self._recorded(step)
        if graph is None:
            return step.launch()
        if step.key not in self._held:
            return self._compared(step, graph)
        if step.gathered is not None:
            step.gathered.changed |= graph.places
            self._counted.add(graph.counts)
        return graph.again(step.inputs)

    def _watched(self, step: _Step) -> Stepped | None:
        """What a step itself gives; it is no graph where its code does more than compute."""
        known = self._template.taped.watched
        if step.key in known and known[step.key][1].changed() is None:
            return step.launch()
        with Watch() as watch:
            stepped = step.launch()
        known[step.key] = None, watch
        if watch.seen is not None:
            self._refuse(step.name, watch.seen)
        return stepped

    def _settle(self, gathered: Gathered) -> None:
        """Have what is each lane's own of attributes be where graphs read and write it."""
        for leaf, own in gathered.slots.items():
            key = (leaf, own.shape, own.dtype)
            if key not in self._slots:
                self._slots[key] = own.detach().clone(memory_format=torch.contiguous_format)
            elif own is not self._slots[key]:
                self._slots[key].copy_(own)
            gathered.slots[leaf] = self._slots[key]

    def _kept(self, gathered: Gathered | None, graph: Graph) -> Any:
        """What modules keep in attributes, and their modes; not what is each lane's own, or counted."""
        if gathered is None:
            return None
        counted = frozenset(graph.counts)
        if self._counted.leaves.keys() - counted:  # it takes them as they are
            self.settle(gathered)
            self._known.clear()
        if counted not in self._known:
            self._known[counted] = self._template.modes, kept_in(gathered, counted)
        return self._known[counted]

    def _recorded(self, step: _Step) -> Graph | None:
        """A step recorded, without a trace; None: that cannot be."""
        try:
            with undrawn(step.name):
                own = [one.clone(memory_format=torch.contiguous_format) for one in step.inputs]
                graph = self._graphs[step.key] = step.record(own)
        except Exception as error:
            if gpu_lost(error):
                raise
            self._refuse(step.name, why_not(step.name, error))
            return None
        return graph

    def _recorded_call(
        self,
        method: str,
        launch: Launch,
        given: tuple[Any, Mapping[str, Tensor]],
        gathered: Gathered,
        changes: Sequence[Tensor],
        counted: frozenset[Leaf] = frozenset(),
    ) -> Graph:
        template, modes = self._template, self._template.modes
        slots, places, added = dict(gathered.slots), set[Place](), dict[Leaf, int]()

        def once() -> Stepped:
            fixed = template.copied(gathered.fixed, tallies)
            trial = Gathered(dict(slots), dict(gathered.numbers), fixed, dict(gathered.trees))
            template.put(fixed)
            stepped = launch(*given, index, trial)
            added.update(counts(method, trial, gathered))
            if template.modes != modes:
                raise UntoldError(f"{method} puts modules into another mode")
            new = [leaf for leaf, own in trial.slots.items() if own is not slots[leaf]]
            outs = copied(stepped.outs) if new else stepped.outs  # some may be what is written over
            put_back([slots[leaf] for leaf in new], copied(trial.slots[leaf] for leaf in new))
            places.update(trial.changed)
            return Stepped(stepped.loss, stepped.record, outs)

        try:
            with untold(template.trainer, method, given[1], counted) as (index, tallies):
                replay, found = recorded(once, [*changes, *slots.values()])
                repr((found.record.calls, found.record.logs))  # which are the host's
        except CountingError as more:
            counted |= more.leaves
            return self._recorded_call(method, launch, given, gathered, changes, counted)
        finally:
            template.put(gathered.fixed)
            for part, mode in modes.items():
                part.training = mode
        record = Record([], 0, found.record.calls, found.record.logs)
        inputs = [leaf for leaf in pytree.tree_leaves(given) if isinstance(leaf, Tensor)]
        stepped = Stepped(found.loss, record, found.outs)
        graph = Graph(replay, inputs, stepped, None, frozenset(places), added)
        graph.kept = self._kept(gathered, graph)
        return graph

    def _compared(self, step: _Step, graph: Graph) -> Stepped | None:
        """What a step itself gives; its graph is held against it, and goes on if it comes to the same."""
        changes, kept, random = step.changes(), self._kept(step.gathered, graph), host_random()
        before, there = copied(changes), torch.cuda.get_rng_state()
        given = graph.again(step.inputs)
        found = copied(changes)
        put_back(changes, before)
        torch.cuda.set_rng_state(there)
        stepped = step.launch()
        if self._kept(step.gathered, graph) != kept:
            why = "changes what it keeps in attributes"
        elif drawn_since(random):
            why = "draws on the host"
        else:
            why = difference(before, (found, given), (step.changes(), stepped))
        if why is None:
            self._held.add(step.key)
            graph.kept = self._kept(
                step.gathered, graph
            )  # the same thing is soon found to be the same
        else:
            self._dropped.add(step.name)
            del self._graphs[step.key]
            _say(f"{step.name} {why}")
        return stepped

    def _refuse(self, name: str, why: str) -> None:
        if self._template.launched.setdefault(name, why) is why:
            _say(why)


def _say(why: str) -> None:
    log.info("launched step by step, not by a CUDA graph: %s", why)
