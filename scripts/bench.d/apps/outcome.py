"""What following a sweep's advice came to: leads and gains by fresh seeds, and their tables."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from caviar.base.intervals import Estimate, t_interval

TUNED = "tuned"
"""The default that has the best values that are known: no better one is."""
ROUNDING = 1e-3
"""Standard deviations that are none."""
NO_SEARCH = ("caviar logs", "caviar runs")
"""Commands that only show something."""


def commands_of(verdicts: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Each command that leads to a setting, and the verdicts that say it."""
    found: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict["next"] and not verdict["next"].startswith(NO_SEARCH):
            found.setdefault(verdict["next"], []).append(verdict["name"])
    return found


def stops(verdicts: list[dict[str, Any]]) -> bool:
    """Whether a sweep says that more search will not be seen."""
    return any(v["name"] == "what next" and v["sentence"].startswith("stop") for v in verdicts)


def first_of(verdicts: list[dict[str, Any]]) -> str | None:
    """The command that is recommended first."""
    return next(iter(commands_of(verdicts)), None)


class Outcome:
    """What one task and seed came to: leads of accuracies, in standard deviations of retraining."""

    def __init__(self, done: dict[str, Any], task: str, seed: int) -> None:
        data, _, self.default = task.partition("/")
        self._done, self._key = done, f"{task}/{seed}"
        self.verdicts = done.get(f"{self._key}/sweep", {}).get("verdicts", [])
        known = done.get(f"{data}/{seed}/known", {})
        mine, best = self.scores("default"), self.scores("best")
        self.there = bool(self.verdicts and mine and best and "longer" in known)
        if not self.there:
            return
        self.unit = max(float(np.sqrt((np.var(mine, ddof=1) + np.var(best, ddof=1)) / 2)), 1e-9)
        self.known = self.over(known["scores"], mine)
        self.longer = self.over(known["longer"], mine)
        self.better_known = self.known.low > 0
        self.best = self.over(best, mine)
        self.stops, self.first = stops(self.verdicts), first_of(self.verdicts)
        after = self.scores(self.first)
        self.after = self.over(after, mine) if after else None

    def scores(self, step: str | None) -> list[float]:
        """The scores of what a step led to; none where it was not done."""
        return self._done.get(f"{self._key}/{step}", {}).get("scores", [])

    def over(self, one: list[float], other: list[float]) -> Estimate:
        """The lead of one config on another, paired over seeds, as a 95 % interval."""
        return t_interval((np.array(one) - np.array(other)) / self.unit)

    def row(self, task: str, seed: int) -> dict[str, str]:
        """A row of the table."""
        known = "it is the default" if self.default == TUNED else lead(self.known)
        says = "stop" if self.stops else "go on"
        return {
            "data/default": task,
            "seed": str(seed),
            "best known": known,
            "trained twice as long": lead(self.longer),
            "a better one is known": "yes" if self.better_known else "no",
            "best of the sweep": lead(self.best),
            "says": f"{says}: {' '.join((self.first or '').split()[:2])}",
            "followed": lead(self.after) if self.after else "",
        }


def lead(found: Estimate) -> str:
    """A lead with its interval."""
    return f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def by_verdict(done: dict[str, Any], wanted: list[tuple[str, int]]) -> list[dict[str, str]]:
    """Each verdict's mean gain on the default, on the sweep and on random search of the same cost, over
    the tasks and seeds where its command was followed.
    """
    gains: dict[str, list[list[float]]] = defaultdict(list)
    for task, seed in wanted:
        found = Outcome(done, task, seed)
        random = found.scores("random")
        if not found.there or not random:
            continue
        for command, names in commands_of(found.verdicts).items():
            after = found.scores(command)
            if after:
                others = [found.scores("default"), found.scores("best"), random]
                means = [found.over(after, other).mean for other in others]
                for name in names:
                    gains[name].append(means)
    return [
        {"verdict": name, "followed": str(len(rows))}
        | {
            f"gain on {other}": in_words([row[place] for row in rows])
            for place, other in enumerate(("the default", "the sweep", "random search"))
        }
        for name, rows in gains.items()
    ]


def in_words(gains: list[float]) -> str:
    """A mean with its 95 % interval."""
    return lead(t_interval(gains)) if len(gains) > 1 else f"{gains[0]:+.2f}"


def summary(outcomes: list[Outcome]) -> list[str]:
    """The study's two numbers."""
    there = [one for one in outcomes if one.there]
    some = [one for one in there if one.better_known and one.after]
    none = [one for one in there if not one.better_known]
    above = sum(one.after is not None and one.after.mean > ROUNDING for one in some)
    already = sum(one.best.mean > ROUNDING for one in some)
    return [
        f"a better setting is known: the first command leads above the default in {above} of {len(some)}"
        f" (the sweep's best score alone: {already})",
        f"none is known: it says stop in {sum(one.stops for one in none)} of {len(none)}",
    ]


def markdown(rows: list[dict[str, str]]) -> str:
    """Rows as a table."""
    if not rows:
        return "(nothing yet)"
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
