"""Small figures as SVG text: lines, intervals and areas."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from caviar.base.intervals import Estimate

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe & Ito 2008: told apart by colour-blind readers too."""
WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 70, WIDTH - 20, 40, HEIGHT - 50
"""Edges of the part that data are drawn in."""


def lines(
    title: str, x: Sequence[float], series: Mapping[str, Sequence[float]], across: str, up: str
) -> str:
    """A line a series over the same ``x``; ``across`` and ``up`` name the axes with their units."""
    ys = np.array([list(map(float, values)) for values in series.values()])
    known = ys[np.isfinite(ys)]
    low, high = float(known.min()), float(known.max())
    parts = [_frame(title, across, up), *_ticks(min(x), max(x), low, high)]
    columns = _place(np.asarray(x, float), min(x), max(x), LEFT, RIGHT)
    for index, (name, values) in enumerate(zip(series, ys, strict=True)):
        finite = np.isfinite(values)
        rows = _place(values[finite], low, high, BOTTOM, TOP)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(columns[finite], rows, strict=True))
        colour = COLOURS[index % len(COLOURS)]
        parts.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/>'
        )
        parts.append(_text(WIDTH - 24, TOP + 14 * (index + 1), name, colour, "end"))
    return _whole(parts)


def intervals(title: str, rows: Mapping[str, Estimate], unit: str) -> str:
    """A dot with its interval a row, and a line at 0."""
    low = min(0.0, *(row.low for row in rows.values()))
    high = max(0.0, *(row.high for row in rows.values()))
    left = 240
    parts = [_frame(title, unit, "", left), *_ticks(low, high, None, None, left)]
    zero = _place(0, low, high, left, RIGHT)
    parts.append(
        f'<line x1="{zero}" x2="{zero}" y1="{TOP}" y2="{BOTTOM}" stroke="#888" stroke-dasharray="4"/>'
    )
    for index, (name, row) in enumerate(rows.items()):
        y = TOP + (index + 0.5) * (BOTTOM - TOP) / len(rows)
        a, b, c = (_place(v, low, high, left, RIGHT) for v in (row.low, row.mean, row.high))
        parts.append(
            f'<line x1="{a:.1f}" x2="{c:.1f}" y1="{y}" y2="{y}" stroke="{COLOURS[0]}" stroke-width="3"/>'
        )
        parts.append(f'<circle cx="{b:.1f}" cy="{y}" r="5" fill="{COLOURS[0]}"/>')
        parts.append(_text(left - 10, y + 4, name, "#222", "end"))
    return _whole(parts)


def areas(title: str, classes: np.ndarray, points: np.ndarray, labels: np.ndarray) -> str:
    """Which class is given where: ``classes`` of shape (n, n), and ``points`` in the unit square."""
    side = BOTTOM - TOP
    size = side / len(classes)
    parts = [_text(LEFT, 22, title, "#222", "start")]
    for (row, column), label in np.ndenumerate(classes):
        x, y = LEFT + column * size, BOTTOM - (row + 1) * size
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{size:.2f}" height="{size:.2f}" '
            f'fill="{COLOURS[label]}" opacity="0.3"/>'
        )
    for (x, y), label in zip(points, labels, strict=True):
        parts.append(
            f'<circle cx="{LEFT + x * side:.1f}" cy="{BOTTOM - y * side:.1f}" r="2" '
            f'fill="{COLOURS[label]}"/>'
        )
    return _whole(parts)


def _whole(parts: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        + "".join(parts)
        + "</svg>\n"
    )


def _frame(title: str, across: str, up: str, left: int = LEFT) -> str:
    return (
        _text(12, 22, title, "#222", "start")
        + f'<path d="M{left} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="#444"/>'
        + _text((left + WIDTH) / 2, HEIGHT - 12, across, "#444", "middle")
        + f'<text x="16" y="{HEIGHT / 2}" fill="#444" text-anchor="middle" '
        f'transform="rotate(-90 16 {HEIGHT / 2})">{escape(up)}</text>'
    )


def _ticks(x0: float, x1: float, y0: float | None, y1: float | None, left: int = LEFT) -> list[str]:
    found = []
    for value in np.linspace(x0, x1, 5):
        x = _place(value, x0, x1, left, RIGHT)
        found.append(_text(x, HEIGHT - 32, f"{value:.3g}", "#444", "middle"))
    if y0 is not None and y1 is not None:
        for value in np.linspace(y0, y1, 4):
            y = _place(value, y0, y1, BOTTOM, TOP)
            found.append(_text(left - 6, y + 4, f"{value:.3g}", "#444", "end"))
    return found


def _text(x: float, y: float, words: str, colour: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{escape(words)}</text>'


def _place(value: Any, low: float, high: float, start: float, stop: float) -> Any:
    return start + (value - low) / ((high - low) or 1.0) * (stop - start)
