"""The end of a sweep: the best trials, where the best checkpoint is, and how to look closer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table
from rich.text import Text

from caviar.base.errors import UsageError
from caviar.base.objectives import front, signed
from caviar.base.words import last_parts, short
from caviar.reports.worth_in_words import in_words
from caviar.runs.folder import Result
from caviar.runs.places import typed
from caviar.space.space import Space
from caviar.sweep.asking import INTERRUPTED
from caviar.sweep.baseline import BASELINE, is_baseline
from caviar.sweep.settings import Settings
from caviar.sweep.view import Outcome

ROWS = 10


def print_summary(
    folder: Path,
    trials: list[FrozenTrial],
    space: Space,
    settings: Settings,
    outcome: Outcome,
    worth: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Print how the sweep went: a table of the best trials and the way on from there.

    Args:
        worth: what trials are worth on a fresh seed, as `caviar.reports.data.worth_of` gives it.
    """
    console = Console(soft_wrap=not os.isatty(1))
    ranked = rank(trials, settings.directions)
    quoted = typed(folder)
    say = lambda text: console.print(text, markup=False, highlight=False)  # noqa: E731
    if outcome.stopped:
        say(f"stopped: {outcome.stopped}")
    if ranked:
        shown = ranked[:ROWS]
        shown += [trial for trial in ranked[ROWS:] if is_baseline(trial)]
        console.print(_table(shown, space, settings, worth))
        if any(map(is_baseline, shown)):
            say("* the default: the config as it stands")
        for line in in_words(worth):
            say(line)
    counts = count(trials)
    say(", ".join(f"{n} {word}" for word, n in counts.items() if n) + f"; in {quoted}")
    if outcome.interrupted or outcome.stopped:
        say(f"go on with it:   caviar resume {quoted}")
    if not ranked:
        return
    best = folder / "trials" / f"{ranked[0].number:04}"
    with suppress(UsageError):  # its folder was taken away, or damaged
        checkpoint = Result.read(best).checkpoint
        if checkpoint:
            say(f"best checkpoint: {typed(best / checkpoint)}")
    trial = typed(folder / str(ranked[0].number))
    say(f"inspect it:      caviar runs show {trial}")
    say(f"what it means:   caviar report {quoted}")


def count(trials: list[FrozenTrial]) -> dict[str, int]:
    """How many trials are complete, pruned, failed, or were stopped and can be gone on with."""
    failed = [t for t in trials if t.state == TrialState.FAIL]
    stopped = sum(INTERRUPTED in trial.user_attrs for trial in failed)
    return {
        "complete": sum(trial.state == TrialState.COMPLETE for trial in trials),
        "pruned": sum(trial.state == TrialState.PRUNED for trial in trials),
        "failed": len(failed) - stopped,
        "stopped": stopped,
    }


def exit_status(trials: list[FrozenTrial], outcome: Outcome) -> int:
    """0 all complete or pruned, 3 some failed, 4 all failed (or none could start), 130/143 interrupted;
    75 (EX_TEMPFAIL: try again later) stopped by a full disk or a database that is away.
    """
    if outcome.interrupted:
        return outcome.interrupted
    if outcome.blocked:
        return 75
    counts = count(trials)
    if not counts["complete"] + counts["pruned"]:
        return 4
    return 3 if counts["failed"] or outcome.stopped else 0


def rank(trials: list[FrozenTrial], directions: list[str]) -> list[FrozenTrial]:
    """Complete trials, best first; with several objectives, those that no other beats in all."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]

    def losses(trial: FrozenTrial) -> list[float]:
        return signed(trial.values, directions)

    if len(directions) > 1:
        complete = [complete[place] for place in front([losses(trial) for trial in complete])]
    return sorted(complete, key=lambda trial: (losses(trial), trial.number))


def _table(
    trials: list[FrozenTrial], space: Space, settings: Settings, worth: Sequence[Mapping[str, Any]]
) -> Table:
    expected = {one["trial"]: one["expected"]["mean"] for one in worth if one["expected"]}
    scores = {trial.number: trial.values[0] for trial in trials}
    if all(short(mean) == short(scores.get(number)) for number, mean in expected.items()):
        expected = {}  # a score without noise
    several = len(settings.directions) > 1
    title = "the Pareto front: no trial is better in all objectives" if several else "best trials"
    table = Table(title=title, title_justify="left")
    table.add_column("trial", justify="right")
    for name in settings.labels:
        table.add_column(Text(name), justify="right")
    if expected:
        table.add_column("expected", justify="right")
    for name in last_parts([h.name.lstrip("+") for h in space.hyperparameters]):
        table.add_column(Text(name), justify="right")
    for trial in trials:
        own = trial.user_attrs.get(BASELINE)
        number = f"{trial.number}*" if is_baseline(trial) else str(trial.number)
        cells: list[Any] = [number, *(short(value) for value in trial.values)]
        if expected:
            cells.append(short(expected[trial.number]) if trial.number in expected else "")
        for hyperparameter in space.hyperparameters:
            held = hyperparameter.study_name
            if own is not None:  # the config's own values, which may lie outside the space
                cells.append(short(own.get(hyperparameter.name, "")))
            elif held in trial.params:
                cells.append(short(hyperparameter.from_study(trial.params[held])))
            else:
                cells.append("")
        table.add_row(*(Text(cell) for cell in cells))
    return table
