"""The callbacks of one lane: whichever of its trial's can be called between steps, in a Trainer's order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    BaseFinetuning,
    Checkpoint,
    EarlyStopping,
    LearningRateMonitor,
    StochasticWeightAveraging,
    WeightAveraging,
)

from caviar.engines import experiment
from caviar.engines.called.averaging import Averaging
from caviar.engines.called.callback_state import CallbackState
from caviar.engines.called.rates import Rates
from caviar.engines.called.reasons import located
from caviar.engines.experiment import NotFusibleError

STAGED = ("setup", "teardown")
"""Hooks that are told the stage, ``fit``."""

_HOOKS = (
    *STAGED, "on_fit_start", "on_fit_end", "on_train_start", "on_train_end", "on_train_epoch_start",
    "on_train_epoch_end", "on_validation_start", "on_validation_end", "on_validation_epoch_start",
    "on_validation_epoch_end",
)  # fmt: skip
"""What a callback on a lane is called for: all that a Trainer calls between steps, in `fit`."""

_NO_MATTER = ("state_dict", "load_state_dict", "state_key", "on_test", "on_predict")
"""Beginnings of the names of what else it may have: its state, and what is never called in training."""

_WHY_NOT: dict[type, str] = {
    StochasticWeightAveraging: (
        "on_train_epoch_start puts its own schedule in the place of the module's, and has an epoch without "
        "steps after the last: an average beside the weights, callbacks=ema, would be a lane's"
    ),
    BaseFinetuning: "on_train_epoch_start changes which parameters train",
}
"""Lightning's own that change more than a lane can follow, though they do it between steps."""


class Member(Protocol):
    """One of the callbacks, as a lane has it.

    Attributes:
        monitors: it is called for an epoch's end after the module, whose logs of then it may look at.
        stepwise: it is called before each batch.
    """

    monitors: bool
    stepwise: bool

    def call(self, hook: str, lane: Any) -> None:
        """Have it do what it does there."""
        ...

    def save(self) -> dict[str, Any]:
        """All that it keeps, as plain values and tensors."""
        ...

    def load(self, saved: Mapping[str, Any], lane: Any) -> None:
        """Go on from what `save` gave."""
        ...


class Callbacks:
    """All of one lane's.

    Args:
        made: their names in the config -> themselves, in its order; see `experiment.Called.callbacks`.

    Attributes:
        average: what keeps an average of the lane's weights, where one of them does.
        stepwise: one of them is called before each batch.
        stops: the place of early stopping is among them.
        hooks: those that the trial's own code has.

    Raises:
        NotFusibleError: one of them is no lane's; which, and the hook that keeps it from one.
    """

    def __init__(self, made: Mapping[str, Any]) -> None:
        self._members: dict[str, Member] = {}
        for name, callback in made.items():
            with _named(name):
                self._members[name] = _member(callback)
        averages = [one for one in self._members.values() if isinstance(one, Averaging)]
        if len(averages) > 1:
            raise NotFusibleError("callbacks: two averages of the weights")
        self.average = averages[0] if averages else None
        self.stops = any(isinstance(one, Stopping) for one in self._members.values())
        self.hooks = {hook for one in self.own for hook in _HOOKS if overrides(one, hook)}
        self.stepwise = any(one.stepwise for one in self._members.values())

    def __bool__(self) -> bool:
        return bool(self._members)

    @property
    def kind(self) -> tuple[Any, ...]:
        """Lanes whose steps are followed by the same have the same."""
        return () if self.average is None else self.average.kind

    @property
    def own(self) -> list[Callback]:
        """Those that are called as they are."""
        return [one.callback for one in self._members.values() if isinstance(one, UserCallback)]

    def call(self, hook: str, lane: Any, monitoring: bool | None = None) -> None:
        """Call a hook of all of them, or of those alone that monitor, or do not.

        Args:
            lane: the training that they are called for.

        Raises:
            NotFusibleError: one of them asks for what a lane has not.
            Exception: what one of them raises.
        """
        for name, member in self._members.items():
            if monitoring is None or member.monitors is monitoring:
                with _named(name, hook):
                    member.call(hook, lane)

    def save(self) -> dict[str, Any]:
        """All that they keep, as plain values and tensors.

        Raises:
            NotFusibleError: one keeps what could not be put back.
        """
        found = {}
        for name, member in self._members.items():
            with _named(name):
                found[name] = member.save()
        return found

    def check(self) -> None:
        """See that what the trial's own keep can be saved.

        Raises:
            NotFusibleError: one keeps what could not be put back.
        """
        for name, member in self._members.items():
            if isinstance(member, UserCallback):
                with _named(name):
                    member.save()

    def load(self, saved: Mapping[str, Any], lane: Any) -> None:
        """Go on from what `save` gave."""
        for name, member in self._members.items():
            member.load(saved[name], lane)


class UserCallback:
    """A callback that is called as it is, between steps, with its lane's module and trainer.

    Args:
        callback: of its own trial alone.

    Raises:
        NotFusibleError: it has a hook that lanes do not call.
    """

    stepwise = False

    def __init__(self, callback: Callback) -> None:
        for kind, why in _WHY_NOT.items():
            if isinstance(callback, kind):
                raise NotFusibleError(why)
        for name in dir(Callback):
            known = name in _HOOKS or name.startswith(("_", *_NO_MATTER))
            if not known and overrides(callback, name):
                raise NotFusibleError(name)
        self.callback = callback
        self.monitors = isinstance(callback, EarlyStopping | Checkpoint)
        self._hooks = {name for name in _HOOKS if overrides(callback, name)}
        self._state: CallbackState | None = None

    def call(self, hook: str, lane: Any) -> None:
        if hook == "setup":
            self._begin(lane)
        if hook in self._hooks:
            more = ("fit",) if hook in STAGED else ()
            with lane.lent(hook):
                getattr(self.callback, hook)(lane.trainer, lane.module, *more)

    def _begin(self, lane: Any) -> None:
        validates = any(hook.startswith("on_validation") for hook in self._hooks)
        if validates and lane.experiment.trainer.get("num_sanity_val_steps", 2):
            raise NotFusibleError(
                "on_validation_…, which a sanity check calls: num_sanity_val_steps=0"
            )
        if lane.course.val_every > 1 and _speaks_of_gradients(self.callback):
            raise NotFusibleError("it looks at gradients, which lanes do not keep")
        vars(self.callback).update(log=lane.module.log, log_dict=lane.module.log_dict)
        self._state = CallbackState(self.callback, lane)

    def save(self) -> dict[str, Any]:
        assert self._state is not None
        return self._state.save()

    def load(self, saved: Mapping[str, Any], lane: Any) -> None:
        assert self._state is not None
        self._state.load(saved)


class Stopping:
    """The place of early stopping among callbacks, where it is looked at after a validation."""

    monitors = stepwise = False

    def call(self, hook: str, lane: Any) -> None:
        if hook == "on_validation_end" and lane.course.val_every > 1 and lane.stops_early():
            lane.trainer.should_stop = True

    def save(self) -> dict[str, Any]:
        return {}

    def load(self, saved: Mapping[str, Any], lane: Any) -> None:
        pass


def overrides(callback: Any, name: str) -> bool:
    """Whether a callback has its own of a method of Lightning's, by its class or for itself alone."""
    own = getattr(type(callback), name, None) is not getattr(Callback, name)
    return own or name in vars(callback)


def _member(callback: Any) -> Member:
    if isinstance(callback, experiment.EarlyStopping):
        return Stopping()
    if isinstance(callback, LearningRateMonitor):
        return Rates(callback)
    if isinstance(callback, WeightAveraging):
        return Averaging(callback)
    if not isinstance(callback, Callback):
        raise NotFusibleError(f"a {type(callback).__qualname__}, no Callback")
    return UserCallback(callback)


def _speaks_of_gradients(callback: Callback) -> bool:
    """Whether a method of its class names ``grad``: after a step there is one, until a validation."""
    return any(
        "grad" in getattr(getattr(thing, "__code__", None), "co_names", ())
        for kind in type(callback).__mro__
        if kind not in Callback.__mro__
        for thing in vars(kind).values()
    )


@contextmanager
def _named(name: str, hook: str = "") -> Iterator[None]:
    try:
        yield
    except NotFusibleError as error:
        words = [f"callbacks.{name}", *([hook] if hook else []), str(located(error))]
        raise NotFusibleError(": ".join(words)) from error
