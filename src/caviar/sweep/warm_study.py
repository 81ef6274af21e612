"""A study whose sampler knows trials of earlier sweeps, beside the study's own."""

from __future__ import annotations

from collections.abc import Container, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from caviar.base.private import method_of

_own_trials = method_of(optuna.Study, "_get_trials")


class WarmStudy(optuna.Study):
    """What samplers and pruners read of it begins with ``history``, whose numbers are below 0.

    Nothing of that is in its storage.
    """

    history: Sequence[FrozenTrial] = ()

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        before = [t for t in self.history if states is None or t.state in states]
        return [*before, *_own_trials(self, deepcopy, states, use_cache)]
