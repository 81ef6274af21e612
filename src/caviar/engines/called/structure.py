"""What a hook may not change in a lane's module and optimizer, where others are stepped with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
        self._made_of = [_made_of(part) for _, part in self._parts]
        self._buffers = [dict(part._buffers) for _, part in self._parts]
        self._parameters = dict(module.named_parameters())
        self._trains = [own.requires_grad for own in self._parameters.values()]
        self._optimizers, self._groups = optimizers, _groups(optimizers)
        self._schedulers, self._order = schedulers, [id(one) for one in schedulers]
        self.tensors: list[tuple[str, Tensor]] = [
            *self._parameters.items(), *module.named_buffers()
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
        for (name, part), made_of, buffers in zip(
            self._parts, self._made_of, self._buffers, strict=True
        ):
            for key, buffer in part._buffers.items():
                own = buffers.get(key)
                if buffer is not own and own is not None and buffer is not None:
                    own.data = buffer.to(own.dtype)
                    part._buffers[key] = own
            if _made_of(part) != made_of:
                return f"changes what {name or 'the module'} is made of"
            for hooks in (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks):
                if hooks:
                    return f"hangs a hook on {name or 'the module'}"
        for (name, own), trains in zip(self._parameters.items(), self._trains, strict=True):
            if own.requires_grad is not trains:
                return f"changes whether {name} trains"
        if _groups(self._optimizers) != self._groups:
            return "changes which parameters the optimizer has"
        if [id(one) for one in self._schedulers] != self._order:
            return "changes which schedules there are"
        return None


def _made_of(part: Any) -> tuple[Any, ...]:
    return tuple(
        (name, id(own))
        for held in (part._parameters, part._buffers, part._modules)
        for name, own in held.items()
    )


def _groups(optimizers: list[Any]) -> list[Any]:
    return [
        (id(one), [[id(own) for own in group["params"]] for group in one.param_groups])
        for one in optimizers
    ]
