"""What a callback keeps, so that a lane can be put back to an epoch's beginning, or go on elsewhere."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from copy import copy, deepcopy
from typing import Any

from lightning.pytorch import Callback
from torch import Tensor

from caviar.engines.called.trees import flatten
from caviar.engines.experiment import NotFusibleError

_LENT = ("log", "log_dict")
"""Attributes that a Trainer gives to a callback."""

_DICTS = (defaultdict, OrderedDict, Counter)


class CallbackState:
    """The attributes of a callback, and what its own `state_dict` says.

    Numbers, text, tensors, and lists, tuples, sets and dicts of these are kept; anything else has to be
    as it was, unless the callback has a `state_dict` that says all of it.

    Args:
        callback: as it is before its first hook.
        lane: the training that it is called for.
    """

    def __init__(self, callback: Callback, lane: Any) -> None:
        self._callback = callback
        self._says = type(callback).state_dict is not Callback.state_dict
        self._lanes = (lane.module, lane.trainer)
        self._names = {id(one): name for name, one in lane.module.named_modules()}
        self._before = {name: self._whole(name, own) for name, own in self._others()}

    def save(self) -> dict[str, Any]:
        """All that it keeps, as plain values and tensors.

        Raises:
            NotFusibleError: it keeps something that could not be put back.
        """
        found: dict[str, Any] = {
            "plain": {
                name: deepcopy(_as_plain(own))
                for name, own in vars(self._callback).items()
                if name not in _LENT and _is_plain(_as_plain(own))
            }
        }
        if self._says:
            found["own"] = deepcopy(self._callback.state_dict())
        for name, own in self._others():
            if name not in self._before or self._whole(name, own) != self._before[name]:
                raise NotFusibleError(
                    f"self.{name} is a {type(own).__name__}, which lanes cannot put back: "
                    "state_dict and load_state_dict would say how"
                )
        return found

    def load(self, saved: Mapping[str, Any]) -> None:
        """Have it keep what `save` gave."""
        held = vars(self._callback)
        for name, own in list(held.items()):
            if name not in _LENT and name not in saved["plain"] and _is_plain(_as_plain(own)):
                del held[name]
        for name, own in saved["plain"].items():
            held[name] = _like(held.get(name), deepcopy(own))
        if "own" in saved:
            self._callback.load_state_dict(deepcopy(saved["own"]))

    def _others(self) -> list[tuple[str, Any]]:
        """Attributes that are of no plain type, where its `state_dict` does not answer for them."""
        return [
            (name, own)
            for name, own in vars(self._callback).items()
            if not self._says
            and name not in _LENT
            and not _is_plain(_as_plain(own))
            and not any(own is one for one in self._lanes)
        ]

    def _whole(self, name: str, thing: Any) -> Any:
        tree = flatten(thing, self._names, f"self.{name}")
        leaves = [
            one.detach().cpu().numpy().tobytes() if isinstance(one, Tensor) else one
            for one in tree.leaves
        ]
        return tree.spec, tree.paths, leaves


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return all(isinstance(key, str | int) and _is_plain(one) for key, one in value.items())
    if kind in (list, tuple, set):
        return all(map(_is_plain, value))
    return value is None or kind in (bool, int, float, str, Tensor)


def _as_plain(value: Any) -> Any:
    """The same of a plain type, where it is a container of Python's library."""
    if type(value) in _DICTS:
        return dict(value)
    return list(value) if type(value) is deque else value


def _like(before: Any, plain: Any) -> Any:
    """What `_as_plain` gave, of the type that the attribute has had."""
    if type(before) in _DICTS:
        made = copy(before)
        made.clear()
        made.update(plain)
        return made
    return deque(plain, before.maxlen) if type(before) is deque else plain
