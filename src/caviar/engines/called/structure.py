"""What a hook may not change in a lane's module and optimizer, where others are stepped with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from torch import Tensor

from caviar.engines.experiment import NotFusibleError


class Structure:
    """What a module and its training are made of, as the first epoch begins.

    Args:
        module: a lane's.
        optimizers, schedulers: of its training, one of the first.

    Attributes:
        tensors: parameters and buffers; what a hook makes of their numbers is their lane's from then on.
    """

    def __init__(self, module: Any, optimizers: list[Any], schedulers: list[Any]) -> None:
        self._parts = list(module.named_modules())
        parts = [part for _, part in self._parts]
        self._held = [
            held for part in parts for held in (part._parameters, part._buffers, part._modules)
        ]
        self._made_of = _ids(self._held)
        self._before = [dict(held) for held in self._held]
        self._hooks = [
            hooks
            for part in parts
            for hooks in (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks)
        ]
        self._names, self._parameters = zip(*module.named_parameters(), strict=True)
        self._trains = [own.requires_grad for own in self._parameters]
        self._optimizers, self._groups = optimizers, _groups(optimizers)
        self._schedulers, self._order = schedulers, [*map(id, schedulers)]
        self.tensors: list[tuple[str, Tensor]] = [
            *module.named_parameters(), *module.named_buffers()
        ]  # fmt: skip

    @contextmanager
    def kept(self) -> Iterator[None]:
        """See that a hook, called in the block, changes nothing but numbers.

        Raises:
            NotFusibleError: it does; what it is.
        """
        before = [own.data for _, own in self.tensors]
        yield
        if what := self._changed():
            raise NotFusibleError(f"it {what}")
        for (name, own), numbers in zip(self.tensors, before, strict=True):
            if own.data_ptr() != numbers.data_ptr():
                if (own.shape, own.dtype) != (numbers.shape, numbers.dtype):
                    raise NotFusibleError(f"it makes {name} another kind of tensor")
                numbers.copy_(own.data)
                own.data = numbers

    def _changed(self) -> str | None:
        # Asked after each hook of each lane: a look at all, and only where something is new at each.
        if _ids(self._held) != self._made_of:
            self._put_buffers_back()
            for number, (held, before) in enumerate(zip(self._held, self._before, strict=True)):
                if _ids([held]) != _ids([before]):
                    name = self._parts[number // 3][0]
                    return f"changes what {name or 'the module'} is made of"
        if any(self._hooks):
            return f"hangs a hook on {self._parts[[*map(bool, self._hooks)].index(True) // 3][0]}"
        if [own.requires_grad for own in self._parameters] != self._trains:
            changed = zip(self._names, self._parameters, self._trains, strict=True)
            name = next(name for name, own, trains in changed if own.requires_grad is not trains)
            return f"changes whether {name} trains"
        if _groups(self._optimizers) != self._groups:
            return "changes which parameters the optimizer has"
        if [*map(id, self._schedulers)] != self._order:
            return "changes which schedules there are"
        return None

    def _put_buffers_back(self) -> None:
        """Where a hook has put a new buffer in an old one's place, have the old one hold its numbers."""
        for (_, part), before in zip(self._parts, self._before[1::3], strict=True):
            for name, own in before.items():
                buffer = part._buffers.get(name)
                if buffer is not own and buffer is not None and own is not None:
                    own.data = buffer.to(own.dtype)
                    part._buffers[name] = own


def _ids(held: Sequence[dict[str, Any]]) -> list[int]:
    return [*map(id, chain.from_iterable(map(dict.values, held)))]


def _groups(optimizers: list[Any]) -> list[Any]:
    return [
        (id(one), [[*map(id, group["params"])] for group in one.param_groups]) for one in optimizers
    ]
