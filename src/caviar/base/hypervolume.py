"""How much of a box of losses a Pareto front leaves behind: its quality in one number."""

from __future__ import annotations

from collections.abc import Sequence


def hypervolume(losses: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """The volume of what some point is at least as good as, and no worse than ``reference``.

    Exact, by slicing along one objective after the other (Knowles 2002, "Local-search and hybrid
    evolutionary algorithms for Pareto optimization", appendix): quick for two and three objectives.

    Args:
        losses: a point a row: less is better for each.
        reference: the worst corner; what lies beyond it in any objective counts for nothing.
    """
    inside = [tuple(p) for p in losses if all(x < r for x, r in zip(p, reference, strict=True))]
    if not inside:
        return 0.0
    if len(reference) == 1:
        return reference[0] - min(point[0] for point in inside)
    inside.sort()
    ends = [point[0] for point in inside[1:]] + [reference[0]]
    total = 0.0
    for count, (point, end) in enumerate(zip(inside, ends, strict=True), 1):
        if end > point[0]:
            slab = _front([other[1:] for other in inside[:count]])
            total += (end - point[0]) * hypervolume(slab, reference[1:])
    return total


def growth(losses: Sequence[Sequence[float]]) -> list[float]:
    """After each point, the share of the box between the best and the worst of all that is covered.

    The box spans, in each objective, from the least to the greatest loss; 0 where it has no volume.
    """
    if not losses:
        return []
    best, worst = ([end(column) for column in zip(*losses, strict=True)] for end in (min, max))
    volume = 1.0
    for low, high in zip(best, worst, strict=True):
        volume *= high - low
    found: list[float] = []
    front: list[tuple[float, ...]] = []
    covered = 0.0
    for point in map(tuple, losses):
        if not any(all(a <= b for a, b in zip(other, point, strict=True)) for other in front):
            front = _front([*front, point])
            covered = hypervolume(front, worst)
        found.append(covered / volume if volume > 0 else 0.0)
    return found


def _front(points: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """The points that no other is as good as in all; of equals one."""
    kept: list[tuple[float, ...]] = []
    for point in sorted(set(points)):  # a point can only be beaten by one before it
        if not any(all(a <= b for a, b in zip(other, point, strict=True)) for other in kept):
            kept.append(point)
    return kept
