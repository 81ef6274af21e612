"""A curve in characters, with a mark where a run was edited."""

from __future__ import annotations

import math

_BLOCKS = " ▁▂▃▄▅▆▇█"


def curve(points: list[tuple[int, float]], marks: dict[int, int], width: int, height: int) -> str:
    """Lines of text: the curve, the range at its left, and under it ``^1`` where edit 1 was made.

    Args:
        points: (epoch, value), in order; a value that is not finite leaves a gap.
        marks: epoch -> number of an edit.
        width, height: of the curve, in characters; where there are more epochs than columns, a
            column is the last of its epochs.
    """
    finite = [value for _, value in points if math.isfinite(value)]
    if not finite:
        return "no finite value yet"
    low, high = min(finite), max(finite)
    first, last = points[0][0], max(points[-1][0], points[0][0] + 1)

    def column(epoch: int) -> int:
        return min(width - 1, round((epoch - first) / (last - first) * (width - 1)))

    columns: list[float | None] = [None] * width
    for epoch, value in points:
        if math.isfinite(value):
            columns[column(epoch)] = value
    filled: list[float | None] = []
    for value in columns:  # few epochs: a value stands until the next
        filled.append(value if value is not None or not filled else filled[-1])
    levels = [
        0.0 if value is None else (value - low) / (high - low or 1) * (height * 8 - 1) + 1
        for value in filled[: column(points[-1][0]) + 1]
    ]
    labels = [f"{high:.4g}", *[""] * (height - 2), f"{low:.4g}"]
    margin = max(len(label) for label in labels)
    lines = []
    for row, label in enumerate(labels):
        eighths = (round(level - 8 * (height - 1 - row)) for level in levels)
        cells = "".join(_BLOCKS[min(8, max(0, count))] for count in eighths)
        lines.append(f"{label:>{margin}} {cells}".rstrip())
    under = [" "] * (width + 4)
    for epoch, number in sorted(marks.items()):
        if first <= epoch <= last:
            for place, letter in enumerate(f"^{number}", column(epoch)):
                under[place] = letter
    if marks:
        lines.append((" " * (margin + 1) + "".join(under)).rstrip())
    return "\n".join(lines)
