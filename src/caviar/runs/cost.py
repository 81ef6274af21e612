"""What training cost, in two measures: every table, figure and comparison takes them from here.

*Wall time* is what somebody waited. *Worker-seconds* are what was spent: a second of one worker (its
processor's share, its GPU) is one, however many trials were on its lanes. Trials that shared a worker share
its seconds, so the sum over trials is no more than workers times wall time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

WORKER_SECONDS = "worker_seconds"
"""Under this name a trial on a lane records its share of its worker's time."""


def worker_seconds(seconds: object, facts: Mapping[str, Any]) -> float | None:
    """Those of a run, by its wall time and what it recorded; None where they are not known.

    Of a lane, an older caviar recorded none.
    """
    share = facts.get(WORKER_SECONDS)
    if share is None and facts.get("engine") != "fused":
        share = seconds  # it had its worker for itself
    return float(share) if isinstance(share, int | float) and math.isfinite(share) else None


def summed(each: Iterable[float | None]) -> float | None:
    """The sum of worker-seconds; None where one is not known."""
    known = list(each)
    return None if None in known else math.fsum(one for one in known if one is not None)


def wall_seconds(runs: Iterable[tuple[object, object]]) -> float:
    """For how long at least one run was under way; a pause between two sessions is not counted.

    Args:
        runs: of each, when it started (ISO 8601) and its seconds; those that do not say are left out.
    """
    spans: list[tuple[float, float]] = []
    for started, seconds in runs:
        try:
            began = datetime.fromisoformat(str(started))
        except ValueError:
            continue
        if isinstance(seconds, int | float) and math.isfinite(seconds):
            at = (began if began.tzinfo else began.replace(tzinfo=UTC)).timestamp()
            spans.append((at, at + seconds))
    total, until = 0.0, -math.inf
    for begin, end in sorted(spans):
        total += max(end - max(begin, until), 0.0)
        until = max(until, end)
    return total
