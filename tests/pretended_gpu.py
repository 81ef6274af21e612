"""A GPU that is not there: tensors that say `cuda:0` and compute on the CPU, with real numbers.

It refuses what CUDA refuses (tensors of two devices in one operation, numpy of a tensor on the GPU, a
library that reads its memory) and counts what costs time there, by line of source: copies from the host,
waits for the device, kernels. A CUDA graph does again what was launched, on the same memory and by the same
numbers of the host; random numbers are drawn by a generator of the GPU's own, by which a graph draws on. It
cannot show speed, memory, a GPU's rounding, errors that come late.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakIdKeyDictionary

from caviar.engines.called import watching

GPU = torch.device("cuda", 0)

_VIEWS = {
    "view", "slice", "select", "transpose", "t", "expand", "unsqueeze", "squeeze", "detach", "alias",
    "unbind", "split", "split_with_sizes", "as_strided", "permute", "_unsafe_view", "_reshape_alias",
    "unflatten", "unfold", "diagonal", "reshape", "empty", "empty_like", "empty_strided", "new_empty",
    "_local_scalar_dense",
}  # fmt: skip
"""Operations that launch nothing."""

_WAITING = {"nonzero", "bincount", "_unique2", "masked_select", "unique_dim", "unique_consecutive"}
"""Operations whose result's size is known only when the device has come to it."""

_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}


class Notes:
    """What was done so far: each a line of caviar's or the project's source -> how often.

    Attributes:
        copies: from the host to the device; ``copied`` is their bytes.
        unwaited: those of them that the host does not wait for: from pinned memory, where it says so.
        waits: of the host for the device.
        kernels: that were launched, by operation; all of a graph are one.
        graph: the one that is being recorded.
        strict: whether a wait is an error, as torch's ``set_sync_debug_mode`` has it.
        random: the state of the GPU's generator.
    """

    graph: Graph | None = None
    strict = False
    random = torch.Generator().manual_seed(0).get_state()

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.copies: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.kernels: Counter[str] = Counter()
        self.copied = self.unwaited = 0
        self.pinned = WeakIdKeyDictionary()

    def copy(self, tensor: torch.Tensor, unwaited: bool = False) -> None:
        self._refuse("a copy from the host", waits=not unwaited)
        self.copies[_line()] += 1
        self.copied += tensor.nbytes
        self.unwaited += unwaited

    def _refuse(self, why: str, waits: bool = True) -> None:
        if self.strict and waits:
            raise RuntimeError(f"called a synchronizing CUDA operation ({why})")
        if self.graph is not None:
            raise RuntimeError(
                f"CUDA error: operation not permitted when stream is capturing ({why})"
            )

    def wait(self, why: str) -> None:
        self._refuse(why)
        self.waits[f"{_line()} ({why})"] += 1

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw from the GPU's generator in the block, which no host would see."""
        profile = sys.getprofile()
        sys.setprofile(None)
        before = torch.get_rng_state()
        torch.set_rng_state(self.random)
        try:
            yield
        finally:
            self.random = torch.get_rng_state()
            torch.set_rng_state(before)
            sys.setprofile(profile)

    def seed(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed).get_state()

    def __str__(self) -> str:
        lines = [f"{self.kernels.total()} kernels, {self.copied} bytes from the host"]
        for kind in ("copies", "waits"):
            found: Counter[str] = getattr(self, kind)
            lines.append(f"{found.total()} {kind}")
            lines += [f"  {count} {line}" for line, count in found.most_common()]
        return "\n".join(lines)


class Graph:
    """A CUDA graph: each launch with what it was given, and the memory that it gave."""

    def __init__(self) -> None:
        self.launches: list[tuple[Any, Any, Any, Any]] = []
        self._before: list[tuple[torch.Tensor, torch.Tensor]] = []

    def writes(self, func: Any, args: Any) -> None:
        """Note what a launch is about to write over: to record it is not yet to do it."""
        unsaid = ("running_mean", "running_var") if "native_batch_norm" in func.name() else ()
        for own, spec in zip(args, func._schema.arguments, strict=False):
            written = spec.alias_info is not None and spec.alias_info.is_write
            if written or (spec.name in unsaid and own is not None):
                self._before += [(one, one.clone()) for one in tree_leaves(own)]

    def recorded(self) -> None:
        for tensor, before in reversed(self._before):
            tensor.copy_(before)
        self._before.clear()

    def replay(self) -> None:
        NOTES.kernels["a graph"] += 1
        with torch.no_grad():
            for function, args, kwargs, written in self.launches:
                with NOTES.drawing() if _draws(function) else nullcontext():
                    found = function(*args, **kwargs)
                for to, own in zip(tree_leaves(written), tree_leaves(found), strict=True):
                    if isinstance(to, torch.Tensor) and to.data_ptr() != own.data_ptr():
                        to.copy_(own)


@contextmanager
def _recording(graph: Graph) -> Iterator[None]:
    kernels, random = NOTES.kernels.copy(), NOTES.random
    NOTES.graph = graph
    try:
        yield
    finally:
        NOTES.graph, NOTES.kernels, NOTES.random = None, kernels, random
        graph.recorded()


NOTES = Notes()


def _line() -> str:
    frame: Any = sys._getframe(2)
    while frame is not None:
        _, found, path = frame.f_code.co_filename.partition("/src/")
        if found and path.startswith(("caviar/", "project/")):
            return f"{path}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back
    return "a test"


class OnGpu(torch.Tensor):
    """A tensor that the pretended GPU holds: ``inner`` is where its numbers are."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> OnGpu:
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(),
            dtype=inner.dtype, device=inner.device,
        )  # fmt: skip
        made.inner = inner
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return GPU

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    @property
    def is_cpu(self) -> bool:  # type: ignore[override]
        return False

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy.")

    __array__ = numpy

    def data_ptr(self) -> int:
        raise AssertionError("who reads the memory of a GPU on the host crashes")

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnGpu({self.inner})"

    def tolist(self) -> Any:
        NOTES.wait("tolist")
        return self.inner.tolist()

    def cpu(self, *_: Any, **__: Any) -> torch.Tensor:
        return _down(self)

    def __deepcopy__(self, memo: Any) -> OnGpu:
        return OnGpu(self.inner.clone())

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.name().split("::")[1].split(".")[0]
        if "device" in kwargs:
            kwargs["device"] = torch.device("cpu")
        _check_places(name, func, args, kwargs)
        if name == "_local_scalar_dense":
            NOTES.wait("item")
        elif name in _WAITING:
            NOTES.wait(name)
        if name in _INDEXING and any(
            isinstance(one, torch.Tensor) and one.dtype == torch.bool
            for one in tree_leaves(args[1])
        ):
            NOTES.wait("a boolean index")
        if name not in _VIEWS:
            NOTES.kernels[name] += 1
        inner = tree_map(_inner, args), tree_map(_inner, kwargs)
        if NOTES.graph is not None:
            NOTES.graph.writes(func, inner[0])
        with NOTES.drawing() if _draws(func) else nullcontext():
            found = func(*inner[0], **inner[1])
        if NOTES.graph is not None:
            NOTES.graph.launches.append((func, *inner, found))
        if name in ("copy_", "_foreach_copy_") and not isinstance(tree_leaves(args[0])[0], OnGpu):
            return args[0]
        found = tree_map(lambda one: OnGpu(one) if isinstance(one, torch.Tensor) else one, found)
        in_place = (name.endswith("_") and not name.endswith("__")) or "__i" in name
        if in_place and args and isinstance(args[0], torch.Tensor):
            return args[0]
        if name == "_foreach_copy_":
            return None
        return return_and_correct_aliasing(func, args, kwargs, found)


def _check_places(name: str, func: Any, args: Any, kwargs: Any) -> None:
    """Refuse tensors of two devices in one operation; note what copies between them."""
    tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
    host = [one for one in tensors if not isinstance(one, OnGpu) and one.dim()]
    if name in ("native_batch_norm", "native_batch_norm_backward"):
        host = []  # vmap gives it a weight of its own, where this tensor's device is not known
    if name in ("copy_", "_foreach_copy_"):
        pairs = zip(args[0], args[1], strict=True) if name != "copy_" else [(args[0], args[1])]
        for to, of in pairs:
            if isinstance(to, OnGpu) and not isinstance(of, OnGpu):
                NOTES.copy(of, name == "copy_" and args[2:] == (True,) and of in NOTES.pinned)
            elif isinstance(of, OnGpu) and not isinstance(to, OnGpu):
                NOTES.wait("a copy to the host")
    elif host:
        index = tree_leaves(args[1]) if name in _INDEXING else []
        if isinstance(args[0], OnGpu) and all(any(own is one for one in index) for own in host):
            for own in host:
                NOTES.copy(own)
            return
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"cuda:0 and cpu! ({func.name()})"
        )


_DRAWING = {"rand", "randn", "randint", "randperm", "normal"}
"""Functions of torch that draw where they are told to."""


def _draws(function: Any) -> bool:
    """Whether an operation, or a function of torch, draws random numbers."""
    tags = getattr(function, "tags", ())
    return torch.Tag.nondeterministic_seeded in tags or (not tags and function.__name__ in _DRAWING)


def _inner(one: Any) -> Any:
    return one.inner if isinstance(one, OnGpu) else one


def up(tensor: torch.Tensor) -> OnGpu:
    """A copy of it on the pretended GPU."""
    with torch._C.DisableTorchFunctionSubclass():
        return OnGpu(tensor.detach().clone())


def _down(tensor: OnGpu) -> torch.Tensor:
    NOTES.wait("a copy to the host")
    return tensor.inner.detach().clone()


def _is_gpu(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


class _Machine(TorchFunctionMode):
    """Meets all that names a device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.Tensor.to, torch.Tensor.cuda):
            return _moved(func, args[0], list(args[1:]), kwargs)
        if func is torch.Tensor.pin_memory:
            pinned = args[0].clone(memory_format=torch.contiguous_format)
            NOTES.pinned[pinned] = True
            return pinned
        if getattr(func, "__name__", "") != "__get__" and _is_gpu(kwargs.get("device")):
            kwargs["device"] = "cpu"
            with NOTES.drawing() if _draws(func) else nullcontext():
                found = func(*args, **kwargs)
            if isinstance(found, OnGpu):
                return found
            made = up(found)
            if func in (torch.tensor, torch.as_tensor):
                NOTES.copy(found)
            elif func.__name__ not in _VIEWS:
                NOTES.kernels[func.__name__] += 1
                if NOTES.graph is not None:
                    NOTES.graph.launches.append((func, args, kwargs, made.inner))
            return made
        return func(*args, **kwargs)


def _moved(func: Any, tensor: torch.Tensor, rest: list[Any], kwargs: dict[str, Any]) -> Any:
    device = "cuda" if func is torch.Tensor.cuda else kwargs.pop("device", None)
    for one in list(rest):
        if device is None and isinstance(one, torch.device | str):
            device = one
            rest.remove(one)
        elif device is None and isinstance(one, torch.Tensor):
            device = one.device
            rest[rest.index(one)] = one.dtype
    more = [one for one in rest if one is not None]
    unwaited = kwargs.pop("non_blocking", False) and tensor in NOTES.pinned
    on_gpu = isinstance(tensor, OnGpu)
    if device is None or _is_gpu(device) == on_gpu:
        return func(tensor, *more, **kwargs) if more or kwargs else tensor
    if on_gpu:
        found: torch.Tensor = _down(tensor)  # type: ignore[arg-type]
    else:
        NOTES.copy(tensor, unwaited)
        found = up(tensor)
    kwargs.pop("copy", None)
    return found.to(*more, **kwargs) if more or kwargs else found


@contextmanager
def pretended_gpu(memory: int = 139 * 2**30) -> Iterator[Notes]:
    """For the block, a machine with a GPU of so many bytes; what is done to it is noted.

    Yields:
        The notes, empty at first.
    """
    autocast = torch.autocast

    def mixed(kind: str, *arguments: Any, **keywords: Any) -> Any:
        return autocast("cpu", *arguments, **keywords)  # a build without CUDA knows no other

    stand_ins: dict[str, Any] = {
        "is_available": lambda: True,
        "synchronize": lambda *_: NOTES.wait("synchronize"),
        "mem_get_info": lambda *_: (memory, memory),
        "get_device_name": lambda *_: "pretended",
        "get_device_capability": lambda *_: (9, 0),
        "get_device_properties": lambda *_: SimpleNamespace(multi_processor_count=132),
        "empty_cache": lambda: None,
        "Stream": lambda: SimpleNamespace(wait_stream=lambda other: None),
        "current_stream": lambda: SimpleNamespace(wait_stream=lambda other: None),
        "stream": lambda own: nullcontext(),
        "CUDAGraph": Graph,
        "get_rng_state": lambda *_: NOTES.random,
        "set_rng_state": lambda state, *_: setattr(NOTES, "random", state),
        "manual_seed_all": NOTES.seed,
        "get_sync_debug_mode": lambda: 2 * NOTES.strict,
        "set_sync_debug_mode": lambda mode: setattr(NOTES, "strict", mode in (2, "error")),
        "graph": _recording,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
    }
    own = watching.is_somebodys  # what pretends is no part of anybody's step
    swapped = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)  # a parameter is to stay what it is
    NOTES.clear()
    try:
        with (
            patch.multiple(torch.cuda, **stand_ins),
            patch.object(torch, "autocast", mixed),
            patch.object(watching, "is_somebodys", lambda name: name != __name__ and own(name)),
            _Machine(),
        ):
            yield NOTES
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swapped)
