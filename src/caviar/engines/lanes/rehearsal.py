"""The first steps of a training, by its own module and as its `Recipe` says: do they come to the same?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from caviar.base.errors import name_and_text
from caviar.engines.dropout import Place, begin, end
from caviar.engines.experiment import NotFusibleError
from caviar.engines.lanes.stack import Stack
from caviar.engines.lanes.training import Training
from caviar.engines.native.loop import Native
from caviar.engines.stacked.backend import Backend, ByTorch

_STEPS = 3
_SAMPLES = 512
"""Of the validation part, at most."""

_WITHIN = 1e-6
"""How far two trainings in double precision may part in a few steps, as a share of their way."""

Weights = Mapping[str, Tensor]


@dataclass
class _Came:
    """What an epoch of a few steps came to: ``change``, of the weights and the buffers."""

    losses: dict[str, float]
    change: Weights


def rehearse(training: Training, native: bool) -> None:
    """Go through an epoch of a few steps, in double precision, on the data of the training.

    `torch.nn.Dropout` is left out: it draws other numbers by each way. `caviar.Dropout` draws the same.

    Args:
        training: the first of its kind; it is made anew, and left as it is.
        native: the loop in C++ may step it.

    Raises:
        NotFusibleError: lanes that go by the recipe do not do what the module does.
    """
    try:
        alone = _ByModule(training)
        wanted = alone.train()
        kinds: list[type[Backend]] = [ByTorch, Native] if native else [ByTorch]
        ways = [_by_lane(alone.shortened(), kind, training.recipe.prefix) for kind in kinds]
    except NotFusibleError:
        raise
    except Exception as error:
        raise NotFusibleError(
            f"its steps could not be rehearsed: {name_and_text(error)}"
        ) from error
    for found in ways:
        if found is not None:
            _compare(found, wanted)


class _ByModule:
    """The training's own module and data, and an epoch of theirs.

    Raises:
        NotFusibleError: its batches are not those of the recipe.
    """

    def __init__(self, training: Training) -> None:
        from caviar.engines.called.training import CalledTraining  # and, with it, Lightning

        recipe, course = training.recipe, training.course
        assert recipe.called is not None
        self._recipe, self._steps = recipe, min(_STEPS, course.steps)
        self._trainer = {
            **recipe.trainer,
            "limit_train_batches": self._steps,
            "limit_val_batches": 1,
            "check_val_every_n_epoch": 1,
        }
        called = recipe.called()
        on_cpu = {**self._trainer, "accelerator": "cpu", "devices": 1}
        made = CalledTraining(
            replace(
                called,
                make=lambda: replace(called.make(), trainer=on_cpu),
                nan_guard=False,
                early_stopping=None,
            )
        )
        self._made = made
        self._batches = list(islice(made.train.read(0), self._steps))
        assert made.val is not None
        self._val = [part[:_SAMPLES] for part in next(iter(made.val.read(0)))]
        order, size = recipe.order(len(recipe.train[0]), recipe.seed, 0), course.batch_size
        rows = [order[n * size : (n + 1) * size] for n in range(self._steps)]
        wanted = [tuple(part[own] for part in recipe.train) for own in rows]
        few = tuple(part[: len(self._val[0])] for part in recipe.val)
        if not all(map(_equal, [*self._batches, self._val], [*wanted, few])):
            raise NotFusibleError("the loaders give other batches than the data hold")

    def shortened(self) -> Training:
        """The rehearsed epoch, as the recipe describes it."""
        recipe = self._recipe
        x, y = (torch.cat(parts) for parts in zip(*self._batches, strict=True))

        return Training(
            replace(
                recipe,
                network=lambda: _without_dropout(recipe.network()),
                architecture=None,
                train=(_double(x), y),
                val=(_double(self._val[0]), self._val[1]),
                eval_batch_size=len(self._val[0]),
                order=lambda samples, *_: torch.arange(samples),
                trainer={**self._trainer, "precision": "64-true"},
                nan_guard=False,
                early_stopping=None,
            )
        )

    def train(self) -> _Came:
        """Go through the epoch, as a Trainer does."""
        made, last = self._made, self._steps - 1
        made.structure = None  # it is others here
        module = _without_dropout(made.module.double())
        before = _copied(module.state_dict())
        parameters, course = list(module.parameters()), made.course
        made.begin_epoch()
        place = Place(self._recipe.seed)
        begin(module, place)
        for number, batch in enumerate(self._batches):
            place.at(0, number)
            made.step_alone([_double(part) for part in batch])
            if course.norm is not None:
                nn.utils.clip_grad_norm_(parameters, course.norm)
            if course.value is not None:
                nn.utils.clip_grad_value_(parameters, course.value)
            made.optimizer.step()
            made.optimizer.zero_grad()
            made.trainer.global_step += 1
            made.batch_ended([], number, number == last)
        end(module)
        made.begin_validation()
        made.validate_alone([_double(part) for part in self._val])
        made.end_validation([])
        made.end_epoch([], last)
        if made.error is not None:
            raise made.error
        return _Came(_losses(made.metrics), _change(before, module.state_dict()))


def _by_lane(training: Training, kind: type[Backend], prefix: str) -> _Came | None:
    """The epoch on a lane; None where that backend does not know such trainings."""
    stack = Stack([training], 1)
    if stack.use(kind) is not None:
        return None
    lane = stack.admit(training)
    before = _copied(stack.last_weights(lane))
    (ended,) = stack.tick()
    if ended.error is not None:
        raise ended.error
    change = _change(before, stack.last_weights(lane))
    return _Came(
        _losses(training.metrics), {f"{prefix}{name}": own for name, own in change.items()}
    )


def _compare(found: _Came, wanted: _Came) -> None:
    for name, own in found.losses.items():
        its = wanted.losses.get(name, math.nan)
        if math.isfinite(own) and not math.isclose(own, its, rel_tol=_WITHIN, abs_tol=_WITHIN):
            raise NotFusibleError(
                f"that has a {name} of {own:.6g} after the first steps, training_step {its:.6g}"
            )
    names = list(found.change)
    if any(
        name not in wanted.change or wanted.change[name].shape != found.change[name].shape
        for name in names
    ):
        raise NotFusibleError("it has other weights")
    mine, its = (
        torch.cat([one.change[name].double().flatten() for name in names])
        for one in (found, wanted)
    )
    if mine.isfinite().all() and not (mine - its).norm() <= _WITHIN * its.norm() + 1e-12:
        raise NotFusibleError("it has other weights after the first steps")


def _without_dropout(module: Any) -> Any:
    for part in module.modules():
        if type(part) is nn.Dropout:
            part.p = 0.0
    return module


def _equal(batch: Any, wanted: tuple[Tensor, ...]) -> bool:
    return len(batch) == len(wanted) and all(map(torch.equal, batch, wanted))


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _copied(weights: Weights) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


def _change(before: Weights, after: Weights) -> Weights:
    return {name: tensor.detach() - before[name] for name, tensor in after.items()}


def _losses(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name.endswith("loss")}
