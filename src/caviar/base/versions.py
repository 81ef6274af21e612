"""The versions of libraries that caviar was tested with; pyproject.toml and the README say the same."""

from __future__ import annotations

import re
import sys

from caviar.base.errors import UsageError, usage_error

TESTED = {
    "hydra-core": ("1.3.8", "1.4"),
    "omegaconf": ("2.3.1", "2.4"),
    "optuna": ("5", "5"),
    "lightning": ("2.6.6", "2.6"),
    "torchmetrics": ("1.8", "1"),
}
"""The lowest version, and the last one, by as many of its numbers as matter: 1.4 is any 1.4.x.

Of these libraries names are used that they do not promise to keep: see `caviar.base.private`.
"""

_told = False


def untested() -> list[str]:
    """A line for each library whose version here is outside `TESTED`."""
    # Imported here: it takes a tenth of a second, and workers can start meanwhile.
    from importlib.metadata import PackageNotFoundError, version

    lines: list[str] = []
    for library, (low, high) in TESTED.items():
        try:
            here = version(library)
        except PackageNotFoundError:
            continue
        numbers = _numbers(here)
        last = _numbers(high)
        if numbers < _numbers(low) or numbers[: len(last)] > last:
            lines.append(f"{_range(library)}; this is {here}")
    return lines


def warn_untested() -> None:
    """Say on stderr, once a process, which libraries are not of a version that was tested."""
    global _told
    if not _told:
        _told = True
        for line in untested():
            print(f"warning: {line}", file=sys.stderr)


def check_python() -> None:
    """Raise UsageError for ``python -O``: Hydra moves on in what it parses within ``assert`` statements."""
    if level := sys.flags.optimize:
        why = "leaves out what Hydra reads choice(1,2) by; unset it, or use 0"
        raise usage_error("PYTHONOPTIMIZE", level, f"python -{'O' * level} {why}")


def lost(library: str, name: str) -> UsageError:
    """The one line for a name that ``library`` has no more, or not yet."""
    from importlib.metadata import version

    return UsageError(
        f"{library} {version(library)} has no {name}, which caviar needs: {_range(library)}"
    )


def _range(library: str) -> str:
    low, high = TESTED[library]
    return f"caviar was tested with {library} {low}" + (f" to {high}" if high != low else "")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:3]))
