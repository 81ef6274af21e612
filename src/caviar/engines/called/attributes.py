"""What modules keep in attributes: gathered from all lanes before their steps, and given back after."""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from caviar.engines.called.record import MetricStandIn
from caviar.engines.called.trees import Path, Tree, flatten, is_object

Place = tuple[str, str]
"""A module's name, and an attribute of it."""

Leaf = tuple[str, str, Path]
"""An attribute's leaf."""


@cache
def usual_attributes(kind: type[nn.Module]) -> frozenset[str]:
    """What every module has, and is none of its author's."""
    made = LightningModule() if issubclass(kind, LightningModule) else nn.Module()
    return frozenset(
        {*vars(made), "log", "log_dict", "_hparams", "_hparams_initial", "_hparams_name"}
    )


def own_modules(module: nn.Module) -> dict[str, nn.Module]:
    """All that are part of a module but for its metrics, by name."""
    found: dict[str, nn.Module] = {}
    metrics: list[str] = []
    for name, one in module.named_modules():
        if any(name.startswith(f"{metric}.") for metric in metrics):
            continue
        if isinstance(one, Metric | MetricCollection | MetricStandIn):
            metrics.append(name)
        else:
            found[name] = one
    return found


def metrics_of(module: nn.Module) -> dict[str, Any]:
    """Its metrics, and collections of some, by name."""
    found: dict[str, Any] = {}
    for name, one in module.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if isinstance(one, Metric | MetricCollection) and not inside:
            found[name] = one
    return found


def trees_of(module: nn.Module) -> dict[Place, Tree]:
    """All attributes of a module and its parts, taken apart.

    Raises:
        NotFusibleError: one that lanes could not have each of their own.
    """
    parts = own_modules(module)
    names = {id(one): name for name, one in module.named_modules()}
    found = {}
    for name, part in parts.items():
        usual = usual_attributes(type(part))
        for attribute, value in vars(part).items():
            if attribute not in usual or attribute == "_hparams":
                where = ".".join(word for word in ("self", name, attribute) if word)
                found[name, attribute] = flatten(value, names, where)
    return found


@dataclass
class Gathered:
    """The attributes of several lanes.

    Attributes:
        slots: what each lane has its own of, shape ``(lanes, …)``.
        numbers: those of them that are numbers, with their type.
        fixed: what stands in an attribute, the slots' places aside; of the first lane.
        trees: `fixed` taken apart.
        changed: what steps have set.
    """

    slots: dict[Leaf, Tensor]
    numbers: dict[Leaf, type]
    fixed: dict[Place, Any]
    trees: dict[Place, Tree]
    changed: set[Place] = field(default_factory=set)

    def paths(self, place: Place) -> list[Path]:
        """Where slots are in an attribute."""
        return [leaf[2] for leaf in self.slots if leaf[:2] == place]


def gather(
    modules: Sequence[nn.Module], trees: Sequence[Mapping[Place, Tree]], dtype: torch.dtype
) -> Gathered:
    """Gather the attributes of lanes whose trees differ in leaves alone."""
    gathered = Gathered({}, {}, {}, dict(trees[0]))
    for place, first in trees[0].items():
        gathered.fixed[place] = vars(modules[0].get_submodule(place[0]))[place[1]]
        for number, path in enumerate(first.paths):
            values = [own[place].leaves[number] for own in trees]
            leaf = (*place, path)
            if isinstance(values[0], Tensor):
                gathered.slots[leaf] = torch.stack([value.detach() for value in values])
            elif any(value != values[0] for value in values):
                kind = type(values[0])
                gathered.slots[leaf] = torch.tensor(
                    values, dtype=dtype if kind is float else torch.int64
                )
                gathered.numbers[leaf] = kind
    return gathered


def give_back(gathered: Gathered, modules: Sequence[nn.Module], names: Mapping[int, str]) -> None:
    """Set in each lane what steps have set.

    Args:
        names: the id of each module that was stepped -> its name.
    """
    for place in gathered.changed:
        paths = gathered.paths(place)
        values: dict[Path, list[Any]] = {}
        for path in paths:
            leaf = (*place, path)
            slot = gathered.slots[leaf]
            kind = gathered.numbers.get(leaf)
            values[path] = (
                [value.clone() for value in slot]
                if kind is None
                else [kind(value) for value in slot.tolist()]
            )
        for lane, module in enumerate(modules):
            own = {path: values[path][lane] for path in paths}
            made = rebuilt(gathered.fixed[place], own, module, names)
            vars(module.get_submodule(place[0]))[place[1]] = made
    gathered.changed.clear()


def rebuilt(
    thing: Any, at: Mapping[Path, Any], module: nn.Module, names: Mapping[int, str], path: Path = ()
) -> Any:
    """A copy of an attribute for another lane's module, with other leaves at some paths."""
    if path in at:
        return at[path]

    def inner(key: Any, value: Any) -> Any:
        return rebuilt(value, at, module, names, (*path, key))

    if isinstance(thing, nn.Module):
        return module.get_submodule(names[id(thing)])
    if isinstance(thing, types.MethodType) and id(thing.__self__) in names:
        return types.MethodType(thing.__func__, module.get_submodule(names[id(thing.__self__)]))
    if isinstance(thing, dict):
        made = type(thing).__new__(type(thing))
        if hasattr(thing, "default_factory"):
            made.default_factory = thing.default_factory  # type: ignore[attr-defined]
        for key, value in thing.items():
            dict.__setitem__(made, key, inner(key, value))
        return made
    if isinstance(thing, list | deque):
        made = deque(maxlen=thing.maxlen) if isinstance(thing, deque) else type(thing)()
        made.extend(inner(n, value) for n, value in enumerate(thing))
        return made
    if isinstance(thing, tuple):
        parts = [inner(n, value) for n, value in enumerate(thing)]
        return type(thing)(*parts) if hasattr(thing, "_fields") else type(thing)(parts)
    if isinstance(thing, partial):
        args, keywords = inner("args", thing.args), inner("keywords", thing.keywords)
        return partial(thing.func, *args, **keywords)
    if isinstance(thing, set):
        return type(thing)(thing)
    if is_object(thing) and not isinstance(thing, type | types.ModuleType | types.FunctionType):
        made = object.__new__(type(thing))
        made.__dict__.update({key: inner(key, value) for key, value in vars(thing).items()})
        return made
    return thing


def saved_attributes(module: nn.Module, trees: Mapping[Place, Tree]) -> list[dict[str, Any]]:
    """What modules that torch did not write keep in attributes, as plain values and tensors."""
    found = []
    parts = dict(module.named_modules())
    names = {id(one): name for name, one in parts.items()}
    for place, tree in trees.items():
        plain = _is_plain(tree.spec)
        if (not tree.leaves and not plain) or place[1] == "_hparams":
            continue
        if type(parts[place[0]]).__module__.startswith("torch."):
            continue
        own: dict[str, Any] = {"place": list(place)}
        if plain:
            thing = vars(parts[place[0]])[place[1]]
            leaves = {
                path: leaf.detach().clone()
                for path, leaf in zip(tree.paths, tree.leaves, strict=True)
                if isinstance(leaf, Tensor)
            }
            own["whole"] = rebuilt(thing, leaves, module, names)
        else:
            own["leaves"] = [
                leaf.detach().clone() if isinstance(leaf, Tensor) else leaf for leaf in tree.leaves
            ]
        found.append(own)
    return found


def load_attributes(module: nn.Module, saved: Sequence[Mapping[str, Any]]) -> None:
    """Set what `saved_attributes` gave.

    Raises:
        ValueError: an attribute is put together in another way now.
    """
    names = {id(one): name for name, one in module.named_modules()}
    trees = trees_of(module)
    for own in saved:
        name, attribute = own["place"]
        holder = vars(module.get_submodule(name))
        if "whole" in own:
            holder[attribute] = rebuilt(own["whole"], {}, module, names)
            continue
        tree = trees[name, attribute]
        at = dict(zip(tree.paths, own["leaves"], strict=True))
        holder[attribute] = rebuilt(holder[attribute], at, module, names)


def _is_plain(spec: Any) -> bool:
    """Whether a tree is of numbers, tensors, text, lists, tuples and dicts alone."""
    if spec == "leaf":
        return True
    if not isinstance(spec, tuple) or len(spec) != 2:
        return False
    kind, parts = spec
    if kind in (bool, str, type(None)):
        return True
    if kind is dict:
        return all(isinstance(key, str | int) and _is_plain(part) for key, part in parts)
    return kind in (list, tuple) and all(map(_is_plain, parts))
