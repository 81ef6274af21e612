"""From an engine's name to the engine. A new engine is one more name here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from caviar.engines.base import Engine

ENGINES = ("solo", "fused", "auto")
"""The names that ``hydra.sweeper.engine`` may have."""

FUSED_OPTIONS = ("lanes", "keep", "compile", "checkpoint_every")
"""What ``hydra.sweeper.fused`` may hold: arguments of `caviar.engines.lanes.engine.Fused`."""


def make_engine(
    task: Callable[[Any], Any],
    name: str = "solo",
    build: str | None = None,
    options: Mapping[str, Any] | None = None,
    trials: int | None = None,
    workers: int = 1,
) -> Engine:
    """Make an engine, in the process that will train.

    Args:
        task: the function that a solo trial calls.
        name: one of `ENGINES`.
        build: dotted name of the function config -> `Recipe`, which a fused engine asks for; without
            one, ``auto`` is ``solo``.
        options: what ``hydra.sweeper.fused`` says.
        trials: of the whole sweep, where that is known, and ``workers``, among which they are shared.
    """
    if name != "solo" and build is not None:
        from hydra.utils import get_method

        from caviar.engines.lanes.engine import Fused

        share = None if trials is None else -(-trials // workers)
        return Fused(task, get_method(build), auto=name == "auto", share=share, **(options or {}))
    from caviar.engines.solo import Solo

    return Solo(task)
