"""What trials are worth, in lines: for the end of a sweep, whose process has no pandas or scipy loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from caviar.base.intervals import Estimate
from caviar.base.words import digits, short


def in_words(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of what `caviar.reports.data.worth_of` gives: a line on the best trial, and one a confirmed one."""
    lines = []
    best = next((one for one in found if one["expected"]), None)
    if best:
        one = best["expected"]
        mean, low, high = (short(one[key]) for key in ("mean", "low", "high"))
        luck = "good luck" if one["luck"] > 0 else "bad luck"
        lines.append(
            f"trial {best['trial']} is worth {mean} [{low}, {high}] on a fresh seed (90 % interval of a "
            f"mean of ten; noise by {one['source']}): {digits(abs(one['luck']), 2)} of its score is {luck}"
        )
    for one in found:
        if one["confirmed"]:
            fresh = Estimate(**one["confirmed"])
            name = "the default config" if one["trial"] == "default" else f"trial {one['trial']}"
            lines.append(f"confirmed: {name} {fresh} over {fresh.n} fresh seeds (95 % interval)")
    return lines
