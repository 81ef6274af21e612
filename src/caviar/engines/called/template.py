"""The module that stands for all lanes in a step: its own code, called once, by `vmap`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from inspect import signature
from typing import Any

import torch
from lightning.pytorch.utilities.data import extract_batch_size
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from caviar.base.private import attach
from caviar.engines.called.attributes import (
    Gathered,
    Leaf,
    Place,
    metrics_of,
    own_modules,
    rebuilt,
    usual_attributes,
)
from caviar.engines.called.changes import Changes, as_before, loss_of
from caviar.engines.called.course import Course, DefaultType
from caviar.engines.called.dropping import DROPPING
from caviar.engines.called.folding import FOLDING
from caviar.engines.called.lifting import LIFTING, Instead
from caviar.engines.called.pretend import LaneTrainer
from caviar.engines.called.record import MetricStandIn, Record
from caviar.engines.called.step import Stepped, Tensors
from caviar.engines.called.tape import Known
from caviar.engines.called.trees import flatten


class _Caller(nn.Module):
    """Calls a module's method as its forward: that is what `functional_call` can call."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, method: str, arguments: Sequence[Any]) -> Any:
        return getattr(self.module, method)(*arguments)


class Template:
    """A copy of one lane's module, for all that may share steps with it.

    Args:
        module: that lane's.
        course: how its training goes.

    Attributes:
        names: the id of each of its modules -> its name.
        proven: by method, numbers that it has taken as tensors.
        lifting: whether functions of torch are to take tensors for their numbers.
        pinned: numbers that steps take as they are: lanes that differ in them cannot step together.
        launched: why a step is no CUDA graph, and no tape, by its name.
        taped: what is known of those that may be tapes.
    """

    def __init__(self, module: Any, course: Course) -> None:
        self.course = course
        hidden = {
            name: vars(module).pop(name) for name in ("log", "log_dict") if name in vars(module)
        }
        self.module: Any = deepcopy(module)
        vars(module).update(hidden)
        self.trainer = LaneTrainer(course)
        attach(self.module, self.trainer)
        self.record = Record()
        for name, metric in metrics_of(self.module).items():
            holder, _, last = name.rpartition(".")
            stand_in = MetricStandIn(name, metric, lambda: self.record)
            self.module.get_submodule(holder)._modules[last] = stand_in
        vars(self.module)["log"] = self._log
        vars(self.module)["log_dict"] = self._log_dict
        self.names = {id(one): name for name, one in self.module.named_modules()}
        self._modules = dict(self.module.named_modules())
        self._own = {
            name: part
            for name, part in own_modules(self.module).items()
            if not type(part).__module__.startswith("torch.")
        }
        self._caller = _Caller(self.module)
        self._hook = ""
        self._batch: Any = None
        self.pinned: frozenset[Leaf] = frozenset()
        self.proven: dict[str, set[Leaf]] = {}
        self.lifting = False
        self.launched: dict[str, str] = {}
        self.taped = Known()
        self._takes: dict[str, int] = {}

    def step(
        self,
        method: str,
        arrays: Mapping[str, Tensors],
        gathered: Gathered,
        lifted: Mapping[str, Tensor],
        batch: Any,
        batch_idx: int,
        shared: bool,
    ) -> Stepped:
        """Call a step of the module for all lanes at once.

        Args:
            method: ``training_step`` or ``validation_step``.
            arrays: parameters and buffers by name, shape ``(lanes, …)``; buffers are changed in place.
            gathered: the lanes' attributes, which the step may set.
            lifted: what the trainer says that differs between lanes, shape ``(lanes,)``.
            batch: its tensors of shape ``(lanes, …)``, or, ``shared``, one for all.
        """
        self._hook = method
        buffers = arrays["buffers"]
        changed = Changes()

        def one(
            parameters: Tensors,
            buffers: Tensors,
            slots: dict[Leaf, Tensor],
            said: Tensors,
            batch: Any,
        ) -> Any:
            self.record = record = Record()
            held = {f"module.{name}": tensor for name, tensor in (parameters | buffers).items()}
            self._batch = batch
            changed.clear()
            vars(self.trainer).update(said)
            self._hold_slots(gathered, slots)
            out = functional_call(
                self._caller, held, (method, self._given(method, batch, batch_idx))
            )
            record.told = len(record.outs)
            self._collect(gathered, slots, record, changed)
            for name, tensor in buffers.items():
                if held[f"module.{name}"] is not tensor:
                    changed.buffers[name] = record.out(held[f"module.{name}"])
            loss = loss_of(out) if method == "training_step" else None
            return loss, tuple(record.outs)

        dims = (0, 0, 0, 0, None if shared else 0)
        with self._context():
            mapped = torch.vmap(one, in_dims=dims, out_dims=0, randomness="different")
            if method == "training_step":
                loss, outs = mapped(
                    arrays["parameters"], buffers, gathered.slots, dict(lifted), batch
                )
            else:
                loss = None
                mapped = torch.vmap(
                    lambda p, b, s, t, x: one(p, b, s, t, x)[1],
                    in_dims=dims,
                    randomness="different",
                )
                outs = mapped(arrays["parameters"], buffers, gathered.slots, dict(lifted), batch)
        found = [out.detach() for out in outs]
        for name, out in changed.buffers.items():
            buffers[name].copy_(found[out.number])
        for leaf in changed.gone:
            del gathered.slots[leaf]
            gathered.numbers.pop(leaf, None)
        for leaf, out in changed.leaves.items():
            gathered.slots[leaf] = found[out.number]
        self._batch = None
        return Stepped(loss, self.record, found[: self.record.told])

    def _given(self, method: str, batch: Any, batch_idx: int) -> tuple[Any, ...]:
        """The arguments that a step takes: Lightning gives it no index where it has no place for one."""
        if method not in self._takes:
            self._takes[method] = len(signature(getattr(self.module, method)).parameters)
        return (batch, batch_idx)[: self._takes[method]]

    @contextmanager
    def _context(self) -> Iterator[None]:
        device = self.course.device
        kept = None if device == "cpu" else False  # a graph may have none of autocast's
        with ExitStack() as stack:
            # Of the kernels for attention, vmap knows the plain one.
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            if self.course.mixed:
                stack.enter_context(torch.autocast(device, torch.bfloat16, cache_enabled=kept))
            if device == "cpu":
                rules = DROPPING if self.course.mixed else {**DROPPING, **FOLDING}
                stack.enter_context(Instead(rules))
            if self.lifting:
                stack.enter_context(Instead(LIFTING))
            stack.enter_context(DefaultType(self.course.dtype))
            yield

    def _hold_slots(self, gathered: Gathered, slots: Mapping[Leaf, Tensor]) -> None:
        """Have the module's attributes hold the lanes' own."""
        inside: dict[Place, dict[Any, Tensor]] = {}
        for (name, attribute, path), tensor in slots.items():
            inside.setdefault((name, attribute), {})[path] = tensor
        for place, at in inside.items():
            made = rebuilt(gathered.fixed[place], at, self.module, self.names)
            vars(self._modules[place[0]])[place[1]] = made

    def hold(self, gathered: Gathered, owner: nn.Module) -> None:
        """Have the attributes that all lanes share, before the steps of these lanes.

        Args:
            owner: the module that they were gathered from.
        """
        names = {id(one): name for name, one in owner.named_modules()}
        for place, thing in gathered.fixed.items():
            holder = vars(self._modules[place[0]])
            made = rebuilt(thing, {}, self.module, names)
            gathered.fixed[place] = holder[place[1]] = made
        for place in [place for place, _ in self._steps_attributes()]:
            if place not in gathered.fixed:
                del vars(self._modules[place[0]])[place[1]]
        for name, part in owner.named_modules():
            if name in self._modules:
                self._modules[name].training = part.training

    @property
    def modes(self) -> dict[nn.Module, bool]:
        """Whether its parts train."""
        return {part: part.training for part in self._modules.values()}

    def copied(self, fixed: Mapping[Place, Any], at: Mapping[Leaf, Any] = {}) -> dict[Place, Any]:
        """Copies of attributes, with other leaves at some, for a step that is to leave no trace."""
        return {
            place: rebuilt(
                thing,
                {leaf[2]: own for leaf, own in at.items() if leaf[:2] == place},
                self.module,
                self.names,
            )
            for place, thing in fixed.items()
        }

    def put(self, fixed: Mapping[Place, Any]) -> None:
        """Have the module hold these attributes."""
        for place, thing in fixed.items():
            vars(self._modules[place[0]])[place[1]] = thing

    def _collect(
        self, gathered: Gathered, slots: Mapping[Leaf, Tensor], record: Record, changed: Changes
    ) -> None:
        """Find what the step has set in attributes; new tensors in it leave the step."""
        for place, thing in self._steps_attributes():
            before = gathered.trees.get(place)
            tree = flatten(thing, self.names, f"self.{place[1]}")
            own = {(*place, path): leaf for path, leaf in zip(tree.paths, tree.leaves, strict=True)}
            new = {
                leaf: value
                for leaf, value in own.items()
                if isinstance(value, Tensor) and value is not slots.get(leaf)
            }
            gone = [
                leaf
                for leaf in slots
                if leaf[:2] == place and not isinstance(own.get(leaf), Tensor)
            ]
            if not (new or gone) and before is not None and as_before(tree, before):
                continue
            gathered.changed.add(place)
            gathered.trees[place], gathered.fixed[place] = tree, thing
            changed.gone += gone
            changed.leaves.update({leaf: record.out(value) for leaf, value in new.items()})

    def _steps_attributes(self) -> Iterator[tuple[Place, Any]]:
        """The attributes of modules that torch did not write: those that a step may set."""
        for name, part in self._own.items():
            usual = usual_attributes(type(part))
            for attribute, value in vars(part).items():
                if attribute not in usual:
                    yield (name, attribute), value

    def _log(self, name: str, value: Any, *args: Any, **given: Any) -> None:
        given.update(zip(("prog_bar", "logger", "on_step", "on_epoch"), args, strict=False))
        self.record.log(self._hook, name, value, self._batch_size, given)

    def _log_dict(self, dictionary: Any, *args: Any, **given: Any) -> None:
        members = dictionary.members() if isinstance(dictionary, MetricStandIn) else dictionary
        for name, value in members.items():
            self._log(name, value, *args, **given)

    def _batch_size(self) -> int:
        return extract_batch_size(self._batch)
