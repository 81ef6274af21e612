"""Confirm: the best trials and the default config, trained anew over fresh seeds, and how.

They run as one sweep of the program itself: an added key ``candidate`` says which one a trial is,
and each hyperparameter exists under the candidates that have it.
"""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caviar.base.errors import UsageError, usage_error
from caviar.base.intervals import Estimate, t_interval
from caviar.reading.sweep import Sweep
from caviar.runs.files import read_text
from caviar.runs.folder import CONFIG, Result
from caviar.runs.program import config_options, split
from caviar.space.grammar import as_override
from caviar.space.quoting import as_text
from caviar.sweep.record import CANDIDATE, command_to_run

DEFAULT = "default"


@dataclass(frozen=True)
class Plan:
    """What is trained: each candidate's values by name (the default's are none), and the seeds."""

    candidates: Mapping[str, Mapping[str, Any]]
    seeds: list[int]


@dataclass(frozen=True)
class Verdict:
    """The comparison.

    Attributes:
        estimates: each candidate's mean score with its 95 % interval, the best mean first.
        over: candidate -> by how much the winner is better, paired over seeds, as an interval.
    """

    estimates: dict[str, Estimate]
    over: dict[str, Estimate]

    @property
    def winner(self) -> str:
        """The best candidate."""
        return next(iter(self.estimates))

    @property
    def second(self) -> str | None:
        """The best of the others, the default left out."""
        return next((n for n in self.estimates if n not in {self.winner, DEFAULT}), None)


def make_plan(sweep: Sweep, top: int, seeds: int, used: Sequence[int] = ()) -> Plan:
    """The ``top`` best trials and the default config, each with ``seeds`` seeds that nobody has used.

    Args:
        used: seeds of earlier confirms.

    Raises:
        UsageError: fewer than one trial or two seeds are asked for, the sweep has too few trials, or
            it is a confirming sweep.
    """
    if top < 1:
        raise usage_error("--top", top, "must be at least 1")
    if seeds < 2:
        raise usage_error("--seeds", seeds, "an interval needs at least 2")
    if any(h.name == CANDIDATE for h in sweep.space.hyperparameters):
        raise UsageError(f"{sweep.folder}: it confirms another sweep; confirm that one again")
    # The baseline is the default config.
    ranked = [run for run in sweep.ranked if not run.result.facts.get("baseline")]
    if len(ranked) < top:
        raise usage_error("--top", top, f"{len(ranked)} trials are complete")
    best = ranked[:top]
    candidates: dict[str, dict[str, Any]] = {DEFAULT: {}}
    for run in best:
        values = {name: v for name, v in sweep.values(run.result).items() if name != "seed"}
        candidates[str(run.result.number)] = values
    seen = [*used, *(result.seed for result in sweep.results if result.seed is not None)]
    first = max(seen, default=0) + 1
    return Plan(candidates, list(range(first, first + seeds)))


def overrides_of(sweep: Sweep, plan: Plan) -> list[str]:
    """The sweep that trains a plan: a choice a hyperparameter, and the list of its points."""
    names: dict[str, list[Any]] = {}
    when: dict[str, dict[str, Any]] = {}
    for candidate, values in plan.candidates.items():
        for name, value in values.items():
            options = names.setdefault(name, [])
            if not any(type(o) is type(value) and o == value for o in options):
                options.append(value)
            when.setdefault(name, {}).setdefault(CANDIDATE, []).append(candidate)
    for name, parents in sweep.space.conditions.items():
        for parent, allowed in parents.items():
            left = [value for value in allowed if value in names.get(parent, [])]
            if name in names and left:
                when[name][parent] = left
    points = [
        {CANDIDATE: candidate, **values, "seed": seed}
        for seed in plan.seeds
        for candidate, values in plan.candidates.items()
    ]
    choices = {CANDIDATE: list(plan.candidates), **names, "seed": plan.seeds}
    return [
        *(f"{name}=choice({','.join(map(_text, options))})" for name, options in choices.items()),
        "hydra.sweeper.params=null",
        "hydra.sweeper.when=null",
        f"hydra.sweeper.when={_text(when)}",
        f"hydra.sweeper.enqueue={_text(points)}",
        f"hydra.sweeper.n_trials={len(points)}",
        "hydra.sweeper.baseline=false",  # the default config is a candidate
        "hydra.sweeper.report=false",  # confirm prints what it means
        "hydra/sweeper/sampler=random",
        "hydra/sweeper/pruner=none",
    ]


def program_of(sweep: Sweep, trust: bool) -> list[str]:
    """The command that starts the sweep's program with its config, without its arguments.

    Raises:
        UsageError: it is not the project's at hand, see `command_to_run`.
    """
    command = command_to_run(sweep.folder, sweep.settings, "confirm", trust)
    return [*command.program, *config_options(command.words)]


def kept_arguments(sweep: Sweep, but: Sequence[str] = ()) -> list[str]:
    """The sweep's own arguments that hold in a training too: its fixed overrides, and its executor."""
    searched = {h.name.lstrip("+~") for h in sweep.space.hyperparameters} | {"space", "search"}
    dropped = {*searched, "name", "seed", "test", "pruner", *but}
    found = []
    for override in sweep.settings["overrides"]:
        key = re.split(r"[=@]", str(override).lstrip("+~"), maxsplit=1)[0]
        if key not in dropped and not key.startswith("hydra"):
            found.append(str(override))
    _, words = split(sweep.settings["command"])
    taken = ("hydra.searchpath=", "hydra/sweeper=", "hydra/sweeper/executor=", "hydra.sweeper.executor.",
             "hydra.sweeper.engine=", "hydra.sweeper.fused.")  # fmt: skip
    return [*found, *(word for word in words if word.startswith(taken))]


def train(sweep: Sweep, plan: Plan, program: Sequence[str], folder: Path) -> int:
    """Run the sweep of a plan in ``folder``; its exit status."""
    line = [
        *program,
        "-m",
        "hydra.sweeper.engine=auto",  # lanes where they can; what the sweep was given comes after it
        *kept_arguments(sweep),
        *overrides_of(sweep, plan),
        *(["test=false"] if testable(sweep) else []),
        as_override("hydra.sweep.dir", str(folder)),
    ]
    return subprocess.run(line, cwd=sweep.settings["folder"], check=False).returncode


def compare(scores: Mapping[str, Mapping[int, float]], sign: float) -> Verdict:
    """Compare candidates by their scores, each by seed.

    The winner's lead on the second is a paired 95 % t interval. Its lead on the default is one at
    the level 1 - 0.05 / candidates: the winner was picked from so many, the default was not.

    Args:
        scores: candidate -> seed -> score; a seed that failed is missing.
        sign: -1 where more is better, else 1.

    Raises:
        UsageError: a candidate, the default apart, has fewer than two scores.
    """
    for name, by_seed in scores.items():
        if len(by_seed) < 2 and name != DEFAULT:
            raise UsageError(f"confirm: trial {name} has {len(by_seed)} scores, two are needed")
    known = {name: t_interval(list(s.values())) for name, s in scores.items() if len(s) > 1}
    # The default is what is how with: it cannot win while there is a trial.
    ranked = sorted(known, key=lambda name: (name == DEFAULT, sign * known[name].mean))
    winner, trials = ranked[0], len([name for name in ranked if name != DEFAULT])
    over = {}
    for name in ranked[1:]:
        shared = [seed for seed in scores[winner] if seed in scores[name]]
        if len(shared) > 1:
            leads = [sign * (scores[name][seed] - scores[winner][seed]) for seed in shared]
            level = 1 - 0.05 / trials if name == DEFAULT else 0.95
            over[name] = t_interval(leads, level)
    return Verdict({name: known[name] for name in ranked}, over)


def scores_of(results: Sequence[Result]) -> dict[str, dict[int, float]]:
    """Candidate -> seed -> score, from the trials of a confirming sweep."""
    found: dict[str, dict[int, float]] = {}
    for result in results:
        by_seed = found.setdefault(str(result.params["candidate"]), {})
        value = result.value
        if result.state == "COMPLETE" and isinstance(value, int | float) and math.isfinite(value):
            by_seed[int(result.params["seed"])] = float(value)
    return found


def in_words(verdict: Verdict) -> list[str]:
    """Who is better than whom, a line a statement."""
    lines = []
    for other in (verdict.second, DEFAULT):
        lead = verdict.over.get(other or "")
        if other is None or lead is None:
            continue
        how = {1: "better than", 0: "not distinguishable from", -1: "worse than"}[lead.side]
        lines.append(
            f"{_named(verdict.winner)} is {how} {_named(other)}: lead {lead}, paired over {lead.n} seeds"
        )
    return lines


def estimates_in_words(verdict: Verdict) -> list[str]:
    """Each candidate's mean and interval, the best first."""
    return [f"{_named(name)}: {estimate}" for name, estimate in verdict.estimates.items()]


def test_once(
    sweep: Sweep, plan: Plan, winner: str, program: Sequence[str], folder: Path
) -> Result:
    """Train the winner with the first of the fresh seeds, and evaluate the test part.

    The seed is settled before any score is known, so that no lucky one is picked.

    Raises:
        UsageError: the run did not end well.
    """
    line = [
        *program,
        *kept_arguments(sweep, but=list(plan.candidates[winner])),
        *(as_override(name, value) for name, value in plan.candidates[winner].items()),
        f"seed={plan.seeds[0]}",
        "test=true",
        as_override("hydra.run.dir", str(folder)),
        # Files of Hydra's own in it would make the run look for another folder.
        "hydra.output_subdir=null",
        "hydra/job_logging=stdout",
    ]
    done = subprocess.run(line, cwd=sweep.settings["folder"], check=False)
    if done.returncode:
        raise UsageError(f"confirm: the run on the test part failed; see {folder}")
    return Result.read(folder)


def testable(sweep: Sweep) -> bool:
    """Whether the program has a setting ``test``, as the project's own has."""
    path = sweep.ranked[0].folder / CONFIG
    try:
        return any(line.startswith("test:") for line in read_text(path).splitlines())
    except FileNotFoundError:
        return False


def _text(value: Any) -> str:
    """A value in Hydra's grammar; a mapping's keys stand bare, as ``+candidate`` has to."""
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_text(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return as_text(value)


def _named(candidate: str) -> str:
    return "the default config" if candidate == DEFAULT else f"trial {candidate}"
