"""A sweep in a few sentences: what was trained, on what, what came of it, and what to do next."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from caviar.base.configs import value_at
from caviar.base.intervals import Estimate
from caviar.base.objectives import front, signed
from caviar.base.scoring import BEST, epochs_in_words
from caviar.base.words import duration, last_parts, short
from caviar.reading.run import Run
from caviar.reading.sweep import Sweep
from caviar.runs.folder import number_of, was_stopped
from caviar.runs.places import typed

_DATED = re.compile(r"\d{4}-\d{2}-\d{2}.*")
"""The name of a sweep or run that nobody named."""
_NAMED = 6
"""Hyperparameters that are named in a sentence."""
_WORDS = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


def summary(
    sweep: Sweep, single: bool, verdicts: Sequence[Mapping[str, Any]], worth: Sequence[Any]
) -> dict[str, Any]:
    """``title``, ``sentence``, ``next`` (what to do), ``command`` (that does it) and ``best``.

    ``best`` holds, of the best trial, its ``number`` and the ``values`` of its hyperparameters: name, value
    and, where the sweep has one, the default's.

    Args:
        single: it is one run, made a sweep.
        verdicts, worth: as `caviar.reports.data` gives them.
    """
    runs = [sweep.run(number) for number in sweep.numbers]
    best = _best(sweep, runs)
    what = _trained(best[0] if best else runs[0]) if runs else ""
    dated = _DATED.fullmatch(sweep.folder.name)
    advice = next((v for v in verdicts if v["next"]), None)
    told = [_asked(sweep, runs, what, single), _came_of_it(sweep, runs, best, worth)]
    command = advice["next"] if advice else None
    todo = advice["sentence"] if advice else ""
    if advice is None and best and sweep.directions and not single:
        command = f"caviar runs best {typed(sweep.folder)}"
        if len(sweep.directions) == 1:
            todo, command = "No check asks for more: use its best checkpoint.", f"{command} --ckpt"
        else:
            todo = "Choose one of the front."
    return {
        "title": what if dated and what else sweep.folder.name,
        "sentence": " ".join(filter(None, told)),
        "next": todo,
        "command": command,
        "best": _values(best[0], runs) if best and len(sweep.directions) == 1 else None,
    }


def scored(sweep: Sweep) -> list[tuple[list[float], Run]]:
    """The complete trials that have a score of each objective, with these as losses."""
    found = []
    for run in map(sweep.run, sweep.numbers):
        values = run.result.value if isinstance(run.result.value, list) else [run.result.value]
        numbers = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
        whole = len(numbers) == len(values) == len(sweep.directions)
        if whole and run.result.state == "COMPLETE":
            found.append((signed(numbers, sweep.directions), run))
    return found


def _best(sweep: Sweep, runs: Sequence[Run]) -> list[Run]:
    """The best run first; of several objectives, the Pareto front."""
    if len(sweep.directions) > 1:
        known = scored(sweep)
        kept = [known[place] for place in front([losses for losses, _ in known])]
        return [run for _, run in sorted(kept, key=lambda pair: pair[0])]
    if not sweep.directions:
        return [run for run in runs if run.result.state == "COMPLETE"][:1]
    return sweep.ranked[:1]


def _trained(run: Run) -> str:
    """``MLP on churn.csv``, as far as the config says."""
    found = value_at(run.config, "model._target_") or value_at(run.config, "task._target_")
    model, file = _class(found), value_at(run.config, "data.path")
    named = isinstance(file, str)
    data = Path(file).name if named else _class(value_at(run.config, "data._target_"))
    return f"{model} on {data}" if model and data else model or data


def _class(target: Any) -> str:
    parts = target.split(".") if isinstance(target, str) else [""]
    # A factory's class says more than its method: `Digits.load`.
    return next((part for part in reversed(parts) if part[:1].isupper()), parts[-1])


def _asked(sweep: Sweep, runs: Sequence[Run], what: str, single: bool) -> str:
    of_what = f" of {what}" if what else ""
    if single:
        epochs = value_at(runs[0].config, "trainer.max_epochs") if runs else None
        took = runs[0].result.seconds if runs else None
        length = f", {epochs} epochs" if epochs else ""
        return f"One run{of_what}{length}" + (f" in {duration(took)}." if took else ".")
    counts = Counter(
        "stopped" if was_stopped(run.result.error) else _WORDS.get(run.result.state, "other")
        for run in runs
    )
    total = sweep.settings.get("n_trials")
    of = f" of {total}" if isinstance(total, int) and total > len(runs) else ""
    how = ", ".join(f"{count} {word}" for word, count in counts.items())
    names = last_parts([h.name.lstrip("+") for h in sweep.space.hyperparameters])
    rest = len(names) - _NAMED
    shown = [*names[:_NAMED], f"{rest} more"] if rest > 0 else names
    over = f", over {_listed(shown)}" if shown else ""
    sampler = value_at(sweep.settings, "sampler._target_")
    by = f" by {_sampler(sampler)}" if isinstance(sampler, str) else ""
    told = f" ({how})" if len(counts) > 1 else ""
    trials = "trial" if len(runs) == 1 and not of else "trials"
    return f"{len(runs)}{of} {trials}{of_what}{by}{over}{told}."


def _sampler(target: str) -> str:
    name = target.rpartition(".")[2].removesuffix("Sampler")
    return f"{name.lower()} search" if name in ("Random", "Grid") else name


def _came_of_it(sweep: Sweep, runs: Sequence[Run], best: Sequence[Run], worth: Any) -> str:
    if not best:
        return "None is complete, so there is no best one." if runs else ""
    if len(sweep.directions) > 1:
        spans = []
        for place, label in enumerate(sweep.labels):
            values = sorted(run.result.value[place] for run in best)  # type: ignore[index]
            span = f"from {short(values[0])} to {short(values[-1])}"
            spans.append(f"{label} {span if len(best) > 1 else short(values[0])}")
        trials = "trial is" if len(best) == 1 else "trials are"
        return f"{len(best)} {trials} on the Pareto front: {_listed(spans)}."
    run, label = best[0], sweep.labels[0] if sweep.labels else "value"
    number = number_of(run.folder, run.result)
    edited = ", edited while it trained" if len(run.edits) else ""
    epoch = run.result.best_epoch
    at = "" if epoch is None else f" at epoch {epoch}"
    at = at if number is None else f" (trial {number}{edited})"
    scored = run.config.get("score", BEST)
    of = "" if scored == BEST else f" ({epochs_in_words(scored)})"
    told = f"The best {label}{of} is {short(run.score)}{at}"
    if not sweep.directions:
        return f"{label} is {short(run.score)}{at}; what is better is not on record."
    known = next((one for one in worth if one["trial"] == number), None) or {}
    if known.get("confirmed"):
        fresh = Estimate(**known["confirmed"])
        told += f", {fresh} over {fresh.n} fresh seeds"
    elif known.get("expected"):
        mean, low, high = (short(known["expected"][key]) for key in ("mean", "low", "high"))
        told += f", worth {mean} [{low}, {high}] on a fresh seed"
    base = next((r for r in runs if r.result.facts.get("baseline") and r.score == r.score), None)
    if base is not None and base.folder == run.folder:
        told += ": it is the default"
    elif base is not None:
        told += f"; the default has {short(base.score)}"
    return f"{told}."


def _values(best: Run, runs: Sequence[Run]) -> dict[str, Any]:
    base = next((run for run in runs if run.result.facts.get("baseline")), None)
    held = {} if base is None or base.folder == best.folder else base.result.params
    return {
        "number": number_of(best.folder, best.result),
        "values": [[name, value, held.get(name)] for name, value in best.result.params.items()],
        "default": bool(held),
    }


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
