"""The kinds of trials that a worker has: a group of each, and whose turn it is."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Sequence

from caviar.base.errors import name_and_text
from caviar.engines.experiment import NotFusibleError
from caviar.engines.gpu import GpuLostError, gpu_lost
from caviar.engines.lanes.calibration import choose
from caviar.engines.lanes.folds import Folded
from caviar.engines.lanes.groups import Group
from caviar.engines.lanes.ways import AnyTraining, calls

DEFAULT_LANES = 64
"""Lanes of a stack, where nothing else is said or measured."""

_MOST = {"cpu": DEFAULT_LANES, "cuda": 4096}
"""Lanes at most, where nothing is said: a GPU has work for thousands, and `choose` sees what they bring."""

_LEFT_WAITING = 60.0
"""Seconds after which a group that others have outnumbered gets its tick."""

_MANY, _FEW = 8, 4
"""So many groups of so few trials each on the average are worth a word."""

_ENOUGH = 256
"""Trials that are looked at for that: each is compared with all before it."""


class Kinds:
    """All groups.

    Args:
        lanes: of a stack at most; None: as many as pay.
        auto: measure for each kind whether lanes pay at all.
        native: the loop in C++ may step them.
        device: where they compute.

    Attributes:
        most: lanes that there is memory for, as far as is known.
    """

    def __init__(self, lanes: int | None, auto: bool, native: bool, device: str) -> None:
        self.most = lanes or _MOST[device]
        self._given, self._auto, self._native, self._device = lanes, auto, native, device
        self._groups: dict[Hashable, Group] = {}
        self._noted = 0
        # Of trials that call their module.
        self._settings: dict[Hashable, list[dict[str, str]]] = {}

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def count(self) -> int:
        """How many trials have a lane, or wait for one."""
        return sum(group.count for group in self)

    def of(self, training: AnyTraining) -> Group:
        """The group that a training belongs to; of a kind that is new, its steps are measured.

        Raises:
            NotFusibleError: they cannot be.
            GpuLostError: and nothing can be on this process's GPU any more.
        """
        group = self._groups.get(training.key)
        if group is None:
            most, by = self.most, "native" if self._native else "torch"
            if self._auto or self._given is None or calls(training):
                try:
                    choice = choose(training, self._given, self._device, self._native)
                except NotFusibleError:
                    raise
                except BaseException as error:
                    if gpu_lost(error):
                        raise GpuLostError(error) from error
                    # Nobody else's: a Trainer alone comes to the same, or bears it, or says it better.
                    raise NotFusibleError(
                        f"its steps could not be measured: {name_and_text(error)}"
                    ) from error
                most = choice.lanes or (0 if self._auto else min(self.most, DEFAULT_LANES))
                by = choice.by
            group = self._groups[training.key] = Group(most, by, self._device)
        return group

    def why_apart(self, training: AnyTraining, overrides: Sequence[str]) -> str | None:
        """Note a trial's settings, and say which of them keep trials from sharing lanes, where many do not.

        Lanes that call a module are shared by networks of one shape alone.
        """
        if not calls(training) or self._noted == _ENOUGH:
            return None
        self._noted += 1
        words = [word.partition("=") for word in overrides]
        settings = {name: value for name, _, value in words if name != "seed"}
        self._settings.setdefault(training.key, []).append(settings)
        groups = self._settings.values()
        if len(groups) < _MANY or sum(map(len, groups)) >= _FEW * len(groups):
            return None
        apart = [
            name
            for name, value in settings.items()
            if not _is_decimal(value)
            and len({one.get(name) for group in groups for one in group}) > 1
            and all(len({one.get(name) for one in group}) == 1 for group in groups)
        ]
        if not apart:
            return None
        self._noted = _ENOUGH
        return (
            f"few trials share lanes: they do who have the same {', '.join(apart)}; "
            "with some values alone to choose from, as in choice(32, 64, 128), more do"
        )

    def withdraw(self, trial: Folded) -> None:
        """Take all folds of a trial out."""
        for group in self:
            group.withdraw(trial)

    def room(self, ahead: float) -> int:
        """How many jobs there is room for.

        More than there are lanes: the next trials are here when lanes become free. More still where
        there are several groups, so that each finds enough to fill its stack.

        Args:
            ahead: trials that are to wait for a lane, as a share of the lanes.
        """
        sizes = sorted((min(group.most, self.most) for group in self), reverse=True)
        return sum(sizes[:4]) + (int(ahead * sizes[0]) if sizes else 0)

    def next(self) -> Group | None:
        """The group with the most trials, unless another has been left waiting for long."""
        groups = [group for group in self if group.count]
        if not groups:
            return None
        oldest = min(groups, key=lambda group: group.ticked)
        if time.monotonic() - oldest.ticked > _LEFT_WAITING:
            return oldest
        return max(groups, key=lambda group: group.count)


def _is_decimal(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return not value.lstrip("-").isdigit()
