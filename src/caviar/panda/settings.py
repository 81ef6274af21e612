"""What may be edited in a run under way: how each setting is checked, read and put in force.

The commands check a value without torch; `Setting.get` and `Setting.put` work on a Lightning trainer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import yaml

from caviar.base.errors import usage_error
from caviar.base.rules import POSITIVE, TRAINING, Rule

_RULES = {**TRAINING, "trainer.gradient_clip_val": POSITIVE.or_null}

_OF_ONE = re.compile(r"optimizer\.(\d+)\.(\w+)")
"""The key of a setting of one of several optimizers."""


@dataclass(frozen=True)
class Setting:
    """One hyperparameter that may be edited.

    Attributes:
        get: its value in a training, None where the training has no such setting.
        put: put a value in force.
        missing: why a training may not have it.
    """

    get: Callable[[Any], Any]
    put: Callable[[Any, Any], None]
    missing: str = ""


def parse(key: str, text: str) -> Any:
    """The value of ``key`` that ``text`` is.

    Raises:
        UsageError: there is no such setting, or it cannot have that value.
    """
    find(key)
    try:
        value = yaml.safe_load(text)
        if isinstance(value, str):
            value = float(value)  # YAML 1.1 takes 3e-4 for text
    except (yaml.YAMLError, ValueError):
        raise usage_error(key, text, "must be a number") from None
    return check(key, value)


def check(key: str, value: Any) -> Any:
    """``value`` as ``key`` holds it.

    Raises:
        UsageError: there is no such setting, or it cannot have that value.
    """
    find(key)
    rule = _rule(key)
    rule.check(key, value)
    if value is None:
        return None
    return int(value) if rule.whole else float(value)


def _rule(key: str) -> Rule:
    return _RULES[_OF_ONE.sub(r"optimizer.\2", key)]


def values(trainer: Any) -> dict[str, Any]:
    """Every setting that this training has, with its value; of several optimizers each one's too."""
    keys, count = list(SETTINGS), len(trainer.optimizers)
    if count > 1:
        names = [key.partition(".")[2] for key in SETTINGS if key.startswith("optimizer.")]
        keys += [f"optimizer.{index}.{name}" for index in range(count) for name in names]
    found = {key: find(key).get(trainer) for key in keys}
    return {key: value for key, value in found.items() if value is not None or _rule(key).null}


def find(key: str) -> Setting:
    """The setting ``key``; ``optimizer.1.lr`` is that of the second of several optimizers.

    Raises:
        UsageError: there is no such setting.
    """
    one = _OF_ONE.fullmatch(key)
    setting = SETTINGS.get(f"optimizer.{one[2]}" if one else key)
    if setting is None:
        tails = {name.rpartition(".")[2]: name for name in SETTINGS}
        like = tails.get(key.rpartition(".")[2], key)
        raise usage_error("set", key, "cannot be edited while a run trains", SETTINGS, like)
    if one is None:
        return setting
    index = int(one[1])
    return replace(
        setting,
        get=lambda trainer: setting.get(_one_optimizer(trainer, index)),
        put=lambda trainer, value: setting.put(_one_optimizer(trainer, index), value),
    )


def _one_optimizer(trainer: Any, index: int) -> Any:
    """A trainer as one of its optimizers and that one's schedules know it."""
    its = trainer.optimizers[index : index + 1]
    configs = [one for one in trainer.lr_scheduler_configs if one.scheduler.optimizer in its]
    return SimpleNamespace(optimizers=its, lr_scheduler_configs=configs)


def annealed(trainer: Any) -> float:
    """The learning rate over its base: what the schedule has made of it."""
    lr = next((float(group["lr"]) for group in _groups(trainer)), None)
    base = _get_lr(trainer)
    return lr / base if lr is not None and base else 1.0


def _groups(trainer: Any) -> Iterator[dict[str, Any]]:
    for optimizer in trainer.optimizers:
        yield from optimizer.param_groups


def _schedulers(trainer: Any) -> Iterator[Any]:
    waiting = [config.scheduler for config in trainer.lr_scheduler_configs]
    while waiting:
        scheduler = waiting.pop()
        yield scheduler
        waiting += getattr(scheduler, "_schedulers", [])


def _get_lr(trainer: Any) -> float | None:
    """The base of the schedule; without one, the learning rate."""
    bases = (float(group.get("initial_lr", group["lr"])) for group in _groups(trainer))
    return next(bases, None)


def _put_lr(trainer: Any, value: float) -> None:
    """Give every schedule a new base, so that it goes on from there; groups keep their ratios."""
    base = _get_lr(trainer)
    assert base is not None

    def scaled(old: float) -> float:
        return value if old == base or not base else old * (value / base)

    for group in _groups(trainer):
        for name in ("lr", "initial_lr", "max_lr", "min_lr"):
            if name not in group:
                continue
            if hasattr(group[name], "fill_"):
                group[name].fill_(scaled(float(group[name])))
            else:
                group[name] = scaled(group[name])
    for scheduler in _schedulers(trainer):
        for name in ("base_lrs", "max_lrs"):
            if hasattr(scheduler, name):
                setattr(scheduler, name, [scaled(old) for old in getattr(scheduler, name)])


def _group_entry(name: str, index: int | None = None) -> tuple[Any, Any]:
    def get(trainer: Any) -> float | None:
        found = next((group[name] for group in _groups(trainer) if name in group), None)
        return None if found is None else float(found if index is None else found[index])

    def put(trainer: Any, value: float) -> None:
        for group in _groups(trainer):
            if name in group and index is None:
                group[name] = value
            elif name in group:
                pair = list(group[name])
                pair[index] = value  # type: ignore[index]
                group[name] = tuple(pair)

    return get, put


def _get_decay(trainer: Any) -> float | None:
    decays = [group["weight_decay"] for group in _groups(trainer) if "weight_decay" in group]
    return float(max(decays)) if decays else None


def _put_decay(trainer: Any, value: float) -> None:
    """Change the groups that decay. Where none does yet: those with a matrix; biases are left be."""
    groups = [group for group in _groups(trainer) if "weight_decay" in group]
    decaying = [group for group in groups if group["weight_decay"]]
    matrices = [group for group in groups if any(p.ndim > 1 for p in group["params"])]
    for group in decaying or matrices or groups:
        group["weight_decay"] = value


def _dropouts(trainer: Any) -> list[tuple[Any, str]]:
    from torch import nn
    from torch.nn.modules.dropout import _DropoutNd

    places: list[tuple[Any, str]] = []
    for module in trainer.lightning_module.modules():
        if isinstance(module, _DropoutNd):
            places.append((module, "p"))
        elif isinstance(module, nn.MultiheadAttention):
            places.append((module, "dropout"))
    return places


def _smoothed(trainer: Any) -> list[tuple[Any, str]]:
    name = "label_smoothing"
    modules = trainer.lightning_module.modules()
    return [(m, name) for m in modules if isinstance(getattr(m, name, None), int | float)]


def _attributes(places: Callable[[Any], list[tuple[Any, str]]]) -> tuple[Any, Any]:
    def get(trainer: Any) -> float | None:
        return next((float(getattr(owner, name)) for owner, name in places(trainer)), None)

    def put(trainer: Any, value: float) -> None:
        for owner, name in places(trainer):
            setattr(owner, name, value)

    return get, put


def _put_clip(trainer: Any, value: float | None) -> None:
    trainer.gradient_clip_val = value


def _put_max_epochs(trainer: Any, value: int) -> None:
    trainer.fit_loop.max_epochs = value


_NO_DROPOUT = "the network has no dropout layer (start it with a small model.dropout, as 1e-6)"
_NOT_THIS = "this optimizer has no such setting"

SETTINGS: dict[str, Setting] = {
    "optimizer.lr": Setting(_get_lr, _put_lr, _NOT_THIS),
    "optimizer.momentum": Setting(*_group_entry("momentum"), _NOT_THIS),
    "optimizer.beta1": Setting(*_group_entry("betas", 0), _NOT_THIS),
    "optimizer.beta2": Setting(*_group_entry("betas", 1), _NOT_THIS),
    "optimizer.weight_decay": Setting(_get_decay, _put_decay, _NOT_THIS),
    "model.dropout": Setting(*_attributes(_dropouts), _NO_DROPOUT),
    "model.loss.label_smoothing": Setting(
        *_attributes(_smoothed), "the loss has no label_smoothing"
    ),
    "trainer.gradient_clip_val": Setting(lambda t: t.gradient_clip_val, _put_clip),
    "trainer.max_epochs": Setting(lambda t: t.fit_loop.max_epochs, _put_max_epochs),
}
"""Key, as in a config -> how it is edited. A new one is a line here, and one in `caviar.base.rules`."""
