"""Where a lane's batches come from: its own DataLoader, or tensors in memory, taken by index."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, MutableMapping, Sequence
from typing import Any, Protocol
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, Subset, TensorDataset
from torch.utils.data._utils.collate import default_collate
from torch.utils.weak import WeakIdKeyDictionary

from caviar.engines.called.course import limited
from caviar.engines.called.seeds import Draws, derived, drawing
from caviar.engines.experiment import NotFusibleError
from caviar.engines.gpu import free_memory
from caviar.engines.stacked.copies import sent


class InMemory(Protocol):
    """A loader of tensors in memory that says so: ``order()`` gives the samples of the next epoch."""

    x: Tensor
    y: Tensor
    order: Any
    batch_size: int
    drop_last: bool

    def __len__(self) -> int: ...


class Feed:
    """The batches of one lane's loader.

    Args:
        loader: it.
        limit: of its batches, as a Trainer takes it.
        seed: of the training; None for a validation's.
        dtype: what floating-point numbers are turned into, where it is double.

    Attributes:
        batches: of an epoch.
        tensors: where batches are taken by index: what they are taken from.
        shape: feeds of lanes that step together have the same.

    Raises:
        NotFusibleError: it is no loader that lanes can read.
    """

    def __init__(
        self,
        loader: Any,
        limit: int | float,
        seed: int | None,
        dtype: torch.dtype,
        hooks: Any = None,
    ) -> None:
        try:
            self.batches = limited(len(loader), limit)
        except TypeError as error:
            raise NotFusibleError(f"a {type(loader).__name__} without a length") from error
        if not self.batches:
            raise NotFusibleError("an epoch without a batch")
        self._loader = loader
        self._seed = seed
        self._draws = Draws(0 if seed is None else seed)
        self._dtype = dtype
        self._hooks = hooks
        self.tensors: tuple[Tensor, ...] | None = None
        self._subset: Tensor | None = None
        self._sequence = tuple
        if hooks is None:
            self._find_tensors()
        tensors = self.tensors or ((),)
        samples = len(tensors[0] if self._subset is None else self._subset)
        self.shape = (self.batches, getattr(loader, "batch_size", None), samples, type(loader))

    def _find_tensors(self) -> None:
        loader = self._loader
        if isinstance(loader, DataLoader):
            plain = type(loader) is DataLoader and loader.collate_fn is default_collate
            if not plain or loader.num_workers or loader.batch_sampler is None:
                return
            dataset: Any = loader.dataset
            rows = None
            while type(dataset) is Subset:
                own = torch.as_tensor(list(dataset.indices))
                rows = own if rows is None else own[rows]
                dataset = dataset.dataset
            if type(dataset) is not TensorDataset:
                return
            self._sequence = list
            self.tensors, self._subset = self._taken(dataset.tensors), rows
        elif all(hasattr(loader, name) for name in InMemory.__annotations__):
            self.tensors = self._taken((loader.x, loader.y))

    def _taken(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(_known(self._converted(tensor)) for tensor in tensors)

    def _converted(self, tensor: Tensor) -> Tensor:
        double = self._dtype == torch.float64 and tensor.is_floating_point()
        return tensor.double() if double else tensor

    def rows(self, epoch: int) -> list[Tensor]:
        """Of `tensors`, the rows of each batch of an epoch."""
        loader = self._loader
        if not isinstance(loader, DataLoader):
            assert self.tensors is not None
            samples = len(self.tensors[0])
            order = torch.arange(samples) if loader.order is None else loader.order()
            size = loader.batch_size
            return [order[start * size : (start + 1) * size] for start in range(self.batches)]
        with drawing(self._epoch_draws(epoch)):
            # As a DataLoader does it when it is gone through anew, for its workers.
            torch.empty((), dtype=torch.int64).random_(generator=loader.generator)
            found = _batches(loader)[: self.batches]
        return found if self._subset is None else [self._subset[rows] for rows in found]

    def drawn_by(self, epoch: int) -> Hashable:
        """What an epoch's rows hang on: lanes that are alike in it have them alike.

        Of torch's own shuffling that is the seed; all else is known to be like itself alone.
        """
        own: Any = self._loader
        sampler: Any = own.sampler if type(own) is DataLoader else None
        shuffles = type(sampler) is RandomSampler and not sampler.replacement
        generators = getattr(own, "generator", None), getattr(sampler, "generator", None)
        if (
            not shuffles
            or generators != (None, None)
            or self._seed is None
            or self._subset is not None
        ):
            return id(self)
        return self._seed, epoch, self.shape, sampler.num_samples, own.drop_last

    def batch(self, rows: Tensor) -> Any:
        """A batch by its rows, shape ``(batch,)``, or of many lanes, ``(lanes, batch)``; where it is."""
        assert self.tensors is not None
        here = rows.device == self.tensors[0].device
        return self._sequence((own if here else _there[own][1])[rows] for own in self.tensors)

    def read(self, epoch: int) -> Iterator[Any]:
        """The batches of an epoch, read one by one."""
        self._epoch_draws(epoch)
        iterator = self._iterator()
        for _ in range(self.batches):
            with drawing(self._draws):
                batch = next(iterator)
                yield self._prepared(batch)

    def _iterator(self) -> Iterator[Any]:
        with drawing(self._draws):
            return iter(self._loader)

    def _prepared(self, batch: Any) -> Any:
        batch = pytree.tree_map_only(Tensor, self._converted, batch)
        if self._hooks is not None:
            batch = self._hooks.on_before_batch_transfer(batch, 0)
            batch = self._hooks.on_after_batch_transfer(batch, 0)
        return batch

    def _epoch_draws(self, epoch: int) -> Draws:
        if self._seed is not None:
            self._draws = Draws(derived(self._seed, epoch, 1))
        return self._draws


def _batches(loader: DataLoader[Any]) -> list[Tensor]:
    """The rows of each batch of an epoch, as its sampler gives them."""
    own: Any = loader.batch_sampler
    if type(own) is not BatchSampler:
        return [torch.as_tensor(batch) for batch in own]
    rows: Any = own.sampler
    drawn = type(rows) is RandomSampler  # its length is known, and what it gives are whole numbers
    order = np.fromiter(rows, np.int64, len(rows)) if drawn else np.array(list(rows))
    batches = list(torch.from_numpy(order).split(own.batch_size))
    return batches[:-1] if own.drop_last and len(batches[-1]) < own.batch_size else batches


_tensors: WeakValueDictionary[tuple[Any, ...], Tensor] = WeakValueDictionary()


def _known(tensor: Tensor) -> Tensor:
    """An equal tensor that a lane has already, or this one: lanes that share data are read together."""
    few = tensor.reshape(-1)[:: max(1, tensor.numel() // 16)].tolist()
    key = (tuple(tensor.shape), tensor.dtype, tuple(few))
    held = _tensors.get(key)
    if held is not None and (held is tensor or torch.equal(held, tensor)):
        return held
    _tensors[key] = tensor
    return tensor


_there: MutableMapping[Tensor, tuple[int, Tensor]] = WeakIdKeyDictionary()
"""Of tensors on the host the version, and what holds the same on the GPU, for all lanes."""

_PART = 0.25
"""Of a GPU's memory that is free, what a tensor may take: batches of a larger one are copied to it."""


def _fits(tensor: Tensor, device: str) -> bool:
    """Whether a tensor is on the device, or has room there; it is copied to it once, unless it changes."""
    if tensor not in _there or _there[tensor][0] != tensor._version:
        if tensor.nbytes > _PART * free_memory():
            return False
        _there[tensor] = tensor._version, tensor.to(device)
    return True


def stacked_batches(
    feeds: Sequence[Feed], epochs: Sequence[int], device: str = "cpu"
) -> Iterator[tuple[Any, bool]]:
    """The batches of lanes that go through an epoch together.

    Args:
        feeds: a lane's each, of the same `Feed.shape`.
        epochs: which epoch each lane is in.
        device: where the lanes step: those of tensors that all share, and that it has room for, are there.

    Yields:
        A batch, its tensors of shape ``(lanes, …)``, and False; or one that is all lanes', and True.
    """
    first = feeds[0]
    if first.tensors is not None and all(_same_tensors(first, feed) for feed in feeds):
        rows = _rows(feeds, epochs)
        if device != "cpu" and all(_fits(own, device) for own in first.tensors):
            yield from _there_too(first, rows, device)
            return
        for own in zip(*rows, strict=True):
            if all(one is own[0] or torch.equal(one, own[0]) for one in own[1:]):
                yield first.batch(own[0]), True
            else:
                yield first.batch(torch.stack(own)), False
        return
    for batches in zip(*(_each(f, e) for f, e in zip(feeds, epochs, strict=True)), strict=True):
        yield _stack(batches), False


def _rows(feeds: Sequence[Feed], epochs: Sequence[int]) -> list[list[Tensor]]:
    """The rows of each lane's batches; those of lanes that draw alike are drawn once."""
    drawn: dict[Hashable, list[Tensor]] = {}
    for feed, epoch in zip(feeds, epochs, strict=True):
        alike = feed.drawn_by(epoch)
        if alike not in drawn:
            drawn[alike] = feed.rows(epoch)
    return [drawn[feed.drawn_by(epoch)] for feed, epoch in zip(feeds, epochs, strict=True)]


def _there_too(
    first: Feed, rows: Sequence[Sequence[Tensor]], device: str
) -> Iterator[tuple[Any, bool]]:
    """Batches of tensors that are on the device, by the rows of each lane's, which are sent together.

    Raises:
        IndexError: there is no such row; a GPU would be lost by it.
    """
    assert first.tensors is not None
    samples, batches = len(first.tensors[0]), list(zip(*rows, strict=True))
    whole = torch.cat([torch.stack(own) for own in batches], dim=1)
    for row in (int(whole.min()), int(whole.max())):
        if not -samples <= row < samples:
            raise IndexError(f"index {row} is out of bounds for dimension 0 with size {samples}")
    there = sent(whole, device).split([len(own[0]) for own in batches], dim=1)
    for own, each in zip(batches, there, strict=True):
        alike = all(one is own[0] or torch.equal(one, own[0]) for one in own[1:])
        yield first.batch(each[0] if alike else each), alike


def _same_tensors(one: Feed, other: Feed) -> bool:
    return other.tensors is not None and all(
        mine is its for mine, its in zip(one.tensors or (), other.tensors, strict=True)
    )


def _each(feed: Feed, epoch: int) -> Iterator[Any]:
    if feed.tensors is None:
        return feed.read(epoch)
    return (feed.batch(rows) for rows in feed.rows(epoch))


def _stack(batches: Sequence[Any]) -> Any:
    flat = [pytree.tree_flatten(batch) for batch in batches]
    if any(spec != flat[0][1] for _, spec in flat):
        raise NotFusibleError("its batches are put together in another way in each lane")
    leaves = []
    for own in zip(*(leaves for leaves, _ in flat), strict=True):
        if isinstance(own[0], Tensor):
            if any(one.shape != own[0].shape for one in own):
                raise NotFusibleError(
                    "its batches have another shape in each lane: padded to one length, they would not"
                )
            leaves.append(torch.stack(own))
        elif any(one != own[0] for one in own):
            raise NotFusibleError(f"its batches hold a {type(own[0]).__name__}, no tensor")
        else:
            leaves.append(own[0])
    return pytree.tree_unflatten(leaves, flat[0][1])
