"""``caviar confirm`` from its first step to its last: plan, train, compare, then the test part."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict
from itertools import chain, count
from pathlib import Path
from typing import Any

from caviar.base.errors import UsageError, usage_error
from caviar.base.plain import echo
from caviar.confirm import test_look as test_set
from caviar.confirm.plan import (
    DEFAULT,
    Plan,
    compare,
    estimates_in_words,
    in_words,
    make_plan,
    program_of,
    scores_of,
    test_once,
    testable,
    train,
)
from caviar.reading.sweep import Sweep
from caviar.runs.fields import MAPPING, WHOLE, check_fields, each, mapping_to, optional
from caviar.runs.files import read_json, write_atomic
from caviar.runs.folder import CONFIRMED, check_name
from caviar.runs.places import SWEEP_FILE
from caviar.sweep.owner import is_running
from caviar.sweep.resume import to_resume

_ENTRY = {
    "sweep": (lambda name: isinstance(name, str) and Path(name).name == name, "a folder's name"),
    "top": WHOLE,
    "candidates": mapping_to(MAPPING),
    "seeds": each(WHOLE),
    "result": optional(MAPPING),
}


def confirm(
    folder: Path,
    top: int,
    seeds: int,
    test: bool = True,
    again: bool = False,
    trust: bool = False,
) -> None:
    """Confirm the sweep in ``folder``, and print what came of it.

    A confirm that was killed is gone on with, if it was asked for the same.

    Args:
        top: how many of the best trials, and ``seeds``, how many seeds each.
        test: look at the test part in the end, if nobody has.
        again: look though another sweep over the same data has.
        trust: run the program that the folder names, whatever that is.

    Raises:
        UsageError: the sweep runs still, is too small, or the confirming sweep did not end.
    """
    folder = folder.resolve()
    sweep = Sweep.whole(folder)
    if is_running(folder):
        raise UsageError(f"{folder}: the sweep is still running; confirm it when it has ended")
    program = program_of(sweep, trust)
    log = _read(folder)
    entry = log[-1] if log else {}
    same = (entry.get("top"), len(entry.get("seeds", []))) == (top, seeds)
    if not same or entry.get("result") is not None:
        used = [seed for old in log for seed in old["seeds"]]
        plan = make_plan(sweep, top, seeds, used)
        name = _free(folder.with_name(f"{folder.name}-confirm")).name
        entry = {"sweep": name, "top": top, **asdict(plan), "result": None}
        log.append(entry)
    plan = Plan(entry["candidates"], entry["seeds"])
    _check(sweep, plan, entry["sweep"])
    _write(folder, log)
    trained = (folder.resolve().parent / entry["sweep"]).resolve()
    status = _resume(trained, trust) if trained.exists() else train(sweep, plan, program, trained)
    if status not in (0, 3):
        raise UsageError(f"confirm: the sweep {trained} ended with status {status}")
    verdict = compare(scores_of(Sweep.whole(trained).results), sweep.sign)
    entry["result"] = {
        "winner": verdict.winner,
        "estimates": {name: asdict(found) for name, found in verdict.estimates.items()},
        "winner_over": {name: asdict(found) for name, found in verdict.over.items()},
    }
    _write(folder, log)
    echo(*in_words(verdict))  # the answer, and then what it rests on
    echo(f"{sweep.metric or 'value'} over {len(plan.seeds)} fresh seeds, mean and 95 % interval:")
    echo(*estimates_in_words(verdict))
    echo(_engine_of(trained))
    if _may_look(sweep, test, again):
        _look(sweep, plan, verdict.winner, program, trained, again)


def _check(sweep: Sweep, plan: Plan, name: str) -> None:
    """Raise UsageError where a plan holds what the sweep's own space does not.

    The values are of files that anything may have been written into; all of them become words of a
    command.
    """
    for candidate, values in plan.candidates.items():
        if candidate != DEFAULT and not candidate.isdecimal():
            raise usage_error("confirm", candidate, "not the number of a trial")
        sweep.space.check(values, f"trial {candidate}")
    for seed in plan.seeds:
        if type(seed) is not int or seed < 0:
            raise usage_error("confirm.seeds", seed, "must be whole numbers, 0 or more")
    check_name(name)


def _may_look(sweep: Sweep, test: bool, again: bool) -> bool:
    """Whether the test part is to be looked at; where not, why is printed."""
    seen = test_set.looked_at(sweep, again)
    if seen:
        echo(f"{seen}; it is not looked at again")
    elif not test:
        echo("the test part was not looked at")
    elif not testable(sweep):
        echo("the program has no setting `test`: the test part was not looked at")
    else:
        return True
    return False


def _look(
    sweep: Sweep, plan: Plan, winner: str, program: list[str], trained: Path, again: bool
) -> None:
    """Evaluate the winner on the test part, with a record of it from before the look."""
    # One that is there failed before it saw anything.
    run = _free(trained.with_name(f"{trained.name}-test"))
    test_set.claim(sweep, winner, run, again)
    try:
        found = test_once(sweep, plan, winner, program, run).facts.get("test") or {}
    except UsageError as error:
        if test_set.withdraw(sweep, run):
            raise UsageError(
                f"{error}; it saw nothing of the test part, so that is no look"
            ) from None
        raise
    test_set.conclude(sweep, winner, run, found)
    echo(f"test part, looked at once, for trial {winner}: {json.dumps(found)}")


def _engine_of(trained: Path) -> str:
    """By which engine the trials of a sweep were trained, as their results have it."""
    sweep = Sweep.whole(trained)
    engines = [result.facts.get("engine") for result in sweep.results]
    lanes, alone = engines.count("fused"), engines.count("solo")
    return (
        f"engine={sweep.settings['engine']}: {lanes} trainings on lanes, {alone} by a Trainer each"
    )


def _resume(folder: Path, trust: bool) -> int:
    if not (folder / SWEEP_FILE).exists():
        raise UsageError(f"{folder}: is in the way; it is no sweep that confirm began")
    command, environment = to_resume(folder, trust=trust)
    line = [*command.program, *command.words]
    env = {**os.environ, **environment}
    return subprocess.run(line, cwd=command.folder, env=env, check=False).returncode


def _free(wanted: Path) -> Path:
    """``wanted``, or, where that is there, the first of ``wanted-2``, ``wanted-3``, … that is not."""
    others = (wanted.with_name(f"{wanted.name}-{number}") for number in count(2))
    return next(place for place in chain([wanted], others) if not place.exists())


def _read(folder: Path) -> list[dict[str, Any]]:
    path = folder / CONFIRMED
    try:
        found = read_json(path)
    except FileNotFoundError:
        return []
    if not isinstance(found, list):
        raise UsageError(f"{path}: not what a confirmed sweep has there")
    for entry in found:
        check_fields(path, entry, _ENTRY, set(_ENTRY) - {"result"})
    return found


def _write(folder: Path, log: list[dict[str, Any]]) -> None:
    write_atomic(folder / CONFIRMED, json.dumps(log, indent=1) + "\n")
