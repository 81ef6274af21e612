"""What torch computes in a step on a CPU, taken down once, and done again without the step's own code.

Up to half of a step of many small lanes goes into finding out, through `vmap`, autograd and the module's
code, which operations of torch it comes to. They are the same in the next step: a tape has them as a
function in Python, one on a line. Tensors that were there before the step stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode
from torch.utils.weak import WeakTensorKeyDictionary

from caviar.engines.called.watching import Watch

_ATEN = torch.ops.aten
_SAME = {_ATEN.detach.default, _ATEN.alias.default}
"""They give what they take: autograd, which they are for, is over in a tape."""

_OF_VALUES = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
_AWAY = dict.fromkeys(
    ("numpy", "tolist", "__array__", "__dlpack__", "data_ptr", "storage", "untyped_storage"),
    "numbers leave torch",
)
_LEAVING = {**_AWAY, "__set__": "attribute is set", "set_": "memory is another's"}
"""Of a tensor, what no operation of torch's shows, and what it does."""

_LONGEST = 20_000
"""Lines at most: what `vmap` has no rule for comes lane by lane."""

_OF_SHAPES = {_ATEN.is_same_size.default}
_INDEX, _LIFT_FRESH = _ATEN.index.Tensor, _ATEN.lift_fresh.default

Run = Callable[[Sequence[Tensor], Sequence[Any]], tuple[Any, ...]]


class TapeError(Exception):
    """Why a step cannot be taken down."""


@dataclass(frozen=True)
class Tape:
    """A step taken down.

    Attributes:
        text: its operations: a function of what is another tensor each time, and of what stays.
        names: what the text calls them.
        stays: what stays.
    """

    text: str
    names: dict[str, Any]
    stays: tuple[Any, ...]

    def compiled(self) -> Run:
        """The function; another tape of the same text may take it for its own."""
        known = dict(self.names)
        exec(compile(self.text, "<tape>", "exec"), known)
        return known["run"]


@dataclass
class Known:
    """What is known of steps that may be taped, by what tells them apart.

    Attributes:
        often: those that have come so often in an epoch that a tape pays.
        watched: what modules kept in attributes as one was seen to do no more than compute, and who saw it.
        counted: what they count up in attributes.
        runs: functions that were held against a step, by their text.
        is_trusted: nothing is found out of them, to measure how long they take.
    """

    often: set[Hashable] = field(default_factory=set)
    watched: dict[Hashable, tuple[Any, Watch]] = field(default_factory=dict)
    counted: set[Any] = field(default_factory=set)
    runs: dict[str, Run] = field(default_factory=dict)
    is_trusted: bool = False


class _Operation:
    """What there is to know of an operation of torch's, found out once."""

    def __init__(self, func: Any) -> None:
        self.name = str(func).replace("::", "_").replace(".", "_")
        self.call = func._op
        self.is_same, self.is_view = func in _SAME, func.is_view
        of_values = bool(_OF_VALUES & set(func.tags))
        gives_tensors = all("Tensor" in str(one.type) for one in func._schema.returns)
        self.is_of_values = of_values or not (gives_tensors or func in _OF_SHAPES)


_KNOWN: dict[Any, _Operation] = {}


def _operation(func: Any) -> _Operation:
    if func not in _KNOWN:
        _KNOWN[func] = _Operation(func)
    return _KNOWN[func]


class Recorder(TorchDispatchMode):
    """Takes down what is done while it is entered.

    Args:
        inputs: what is another tensor each time.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self._slots: Any = WeakTensorKeyDictionary()
        self._count = self._inputs = len(inputs)
        for slot, tensor in enumerate(inputs):
            self._slots[tensor] = slot
        self._lines: list[str] = []
        self._last: dict[int, int] = {}  # a slot -> the line that has it last
        self._names: dict[str, Any] = {}
        self._stays: list[Any] = []
        self._placed: dict[int, str] = {}  # a tensor's id -> what it is called among these
        self._leaving = _Leaving(self)
        self.is_inside = False
        self._refused: TapeError | None = None

    def __enter__(self) -> Recorder:
        self._leaving.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._leaving.__exit__(*error)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.is_inside or func.namespace == "profiler":
            return func(*args, **kwargs)
        operation = _operation(func)
        if operation.is_of_values and not (func is _INDEX and not _has_mask(args[1])):
            self.refuse(f"{func} hangs on what numbers there are")
        taken: list[Tensor] = []
        if func is _LIFT_FRESH:  # made from numbers of Python's: a step may write to it
            made = self._text(args[0].clone(), taken)
            self._add(_operation(_ATEN.clone.default), f"{made}, ", args[0], [])
            return args[0]
        text = "".join(f"{self._text(one, taken)}, " for one in args)
        text += "".join(f"{key}={self._text(one, taken)}, " for key, one in kwargs.items())
        out = func(*args, **kwargs)
        of_what_stays = all(self._slots.get(one) is None for one in taken)
        if operation.is_same and not of_what_stays:
            self._slots[out] = self._slots[args[0]]
        elif not (operation.is_view and of_what_stays):  # a view of what stays does, too
            self._add(operation, text, out, taken)
        return out

    def host(self, function: Callable[..., Tensor], args: tuple[Any, ...]) -> Tensor:
        """Have all that a function does with tensors be one operation."""
        taken: list[Tensor] = []
        text = "".join(f"{self._text(one, taken)}, " for one in args)
        self.is_inside = True
        try:
            out = function(*args)
        finally:
            self.is_inside = False
        self._named(function.__name__, function, text, out, taken)
        return out

    def refuse(self, why: str) -> NoReturn:
        """Raise a `TapeError`."""
        self._refused = TapeError(why)
        raise self._refused

    def tape(self, results: Sequence[Tensor]) -> Tape:
        """What it has taken down, as a function that gives these, in this order.

        Raises:
            TapeError: something was refused, which code of the step may have caught.
        """
        if self._refused is not None:
            raise self._refused
        taken: list[Tensor] = []
        ends = "".join(f"{self._text(one, taken)}, " for one in results)
        for tensor in taken:
            self._last.pop(self._slots.get(tensor), None)
        over: dict[int, list[str]] = {}
        for slot, line in self._last.items():
            if slot >= self._inputs:
                over.setdefault(line, []).append(f"x{slot}")
        lines = ["def run(v, c):"]
        for letter, of, count in ("x", "v", self._inputs), ("c", "c", len(self._stays)):
            if count:
                lines.append(f"  {''.join(f'{letter}{number}, ' for number in range(count))}= {of}")
        for number, line in enumerate(self._lines):
            lines.append(f"  {line}")
            if number in over:
                lines.append(f"  del {', '.join(over[number])}")
        lines.append(f"  return ({ends})")
        return Tape("\n".join(lines), self._names, tuple(self._stays))

    def _text(self, thing: Any, taken: list[Tensor]) -> str:
        """An argument as Python has it; ``taken``: takes in the tensors in it."""
        if isinstance(thing, Tensor):
            taken.append(thing)
            slot = self._slots.get(thing)
            if slot is not None:
                return f"x{slot}"
            if id(thing) not in self._placed:
                self._placed[id(thing)] = self._stay(thing)
            return self._placed[id(thing)]
        if isinstance(thing, list | tuple) and any(isinstance(one, Tensor) for one in thing):
            inner = "".join(f"{self._text(one, taken)}, " for one in thing)
            return f"[{inner}]" if isinstance(thing, list) else f"({inner})"
        if thing is None or isinstance(thing, bool | str):
            return repr(thing)
        return self._stay(
            thing
        )  # numbers may be others in the next epoch: the text is then the same

    def _stay(self, thing: Any) -> str:
        self._stays.append(thing)
        return f"c{len(self._stays) - 1}"

    def _add(self, operation: _Operation, text: str, out: Any, taken: list[Tensor]) -> None:
        self._named(operation.name, operation.call, text, out, taken)

    def _named(self, name: str, call: Any, text: str, out: Any, taken: list[Tensor]) -> None:
        number = len(self._lines)
        if number == _LONGEST:
            self.refuse(f"it comes to more than {_LONGEST:,} operations")
        for tensor in taken:
            if (slot := self._slots.get(tensor)) is not None:
                self._last[slot] = number
        self._names[name] = call
        given = {id(tensor) for tensor in taken}
        self._lines.append(f"{self._target(out, given, number)} = {name}({text})")

    def _target(self, out: Any, given: set[int], number: int) -> str:
        if isinstance(out, list | tuple):
            return f"({''.join(f'{self._target(one, given, number)}, ' for one in out)})"
        if not isinstance(out, Tensor) or id(out) in given:  # nothing new: it was written to
            return "_"
        slot, self._count = self._count, self._count + 1
        self._slots[out], self._last[slot] = slot, number
        return f"x{slot}"


class _Leaving(TorchFunctionMode):
    """Raises where numbers leave torch while a step is taken down: what is done with them is not seen."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _LEAVING and not self._recorder.is_inside:
            self._recorder.refuse(f"a tensor's {_LEAVING[name]}")
        return func(*args, **(kwargs or {}))


def as_one(function: Callable[..., Tensor], *args: Any) -> Tensor:
    """Call a function of tensors, which a tape has as one operation.

    Args:
        function: of the module that defines it, by its own name; torch does not see into it.
        args: tensors that are no lane's, and what a tape has as it is.
    """
    mode = _get_current_dispatch_mode()
    return mode.host(function, args) if isinstance(mode, Recorder) else function(*args)


def _has_mask(indices: Sequence[Tensor | None]) -> bool:
    """Whether what is picked by them is as many as there are ones in a mask."""
    return any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in indices)
