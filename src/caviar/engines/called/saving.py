"""A lane written down: as Lightning reads a checkpoint, and so that it can be gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from caviar.engines.called.attributes import load_attributes, saved_attributes
from caviar.engines.progress import lightning_checkpoint

if TYPE_CHECKING:
    from caviar.engines.called.training import CalledTraining


def checkpoint(training: CalledTraining) -> dict[str, Any]:
    """What Lightning's ``load_from_checkpoint`` reads: the module at its best epoch."""
    epoch = training.scoring.epoch
    assert training.best is not None
    assert epoch is not None
    step = (epoch + 1) * training.length.steps
    found = lightning_checkpoint(training.best, "", {}, epoch, step)
    found["hyper_parameters"] = dict(training.module.hparams)
    if not is_plain(found["hyper_parameters"]):
        # As a Trainer's are written: what is no plain value could not be read with weights_only.
        del found["hyper_parameters"], found["hparams_name"]
    training.module.on_save_checkpoint(found)
    return found


def save(training: CalledTraining) -> dict[str, Any]:
    """All that it takes to go on with it later, as plain values and tensors."""
    own = training.stepper
    stepper = training.saved_state if own is None else own.save(training.place)
    groups = [
        {name: value for name, value in group.items() if name != "params"}
        for group in training.optimizer.param_groups
    ]
    return {
        "training": {**training.state(), "global_step": training.trainer.global_step},
        "tensors": {
            "module": {name: one.detach().clone() for name, one in training.tensors},
            "best": training.best,
            "stepper": stepper,
            "groups": groups,
            "schedulers": [one.scheduler.state_dict() for one in training.schedulers],
            "attributes": saved_attributes(training.module, training.trees),
            "callbacks": training.callbacks.save(),
        },
    }


def load(training: CalledTraining, saved: Mapping[str, Any]) -> None:
    """Go on from what `save` gave.

    Raises:
        Exception: it is not of such a training.
    """
    tensors = saved["tensors"]
    training.load_state(saved["training"])
    training.trainer.current_epoch = training.epoch
    training.trainer.global_step = saved["training"]["global_step"]
    with torch.no_grad():
        for name, own in training.tensors:
            own.data = tensors["module"][name].clone()
    training.best, training.saved_state, training.stepper = (
        tensors["best"], tensors["stepper"], None,
    )  # fmt: skip
    for group, own in zip(training.optimizer.param_groups, tensors["groups"], strict=True):
        group.update(own)
    for one, own in zip(training.schedulers, tensors["schedulers"], strict=True):
        one.scheduler.load_state_dict(own)
    for metric in training.metrics_of_module.values():
        metric.reset()
    load_attributes(training.module, tensors["attributes"])
    training.callbacks.load(tensors.get("callbacks", {}), training)
    training.read_attributes()
    training.error = None


def is_plain(value: Any) -> bool:
    """Whether a value is made of numbers, text, lists, tuples and dicts."""
    if isinstance(value, dict):
        return all(isinstance(key, str | int) and is_plain(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return value is None or type(value) in (bool, int, float, str)
