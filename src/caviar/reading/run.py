"""One run, read from its folder: its config, its metrics, its edits, its checkpoint."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caviar.base.errors import UsageError
from caviar.reading.metrics import read_metrics
from caviar.runs import folder as names
from caviar.runs.edits import edits_table
from caviar.runs.files import MOST_PARSED, read_text, read_yaml, unreadable
from caviar.runs.folder import Result
from caviar.runs.parsing import parse_yaml
from caviar.runs.places import inside

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """One run, read from its folder."""

    folder: Path
    result: Result

    @property
    def score(self) -> float:
        """The value, if it is one number (else NaN)."""
        value = self.result.value
        only = value[0] if isinstance(value, list) and len(value) == 1 else value
        return float(only) if isinstance(only, int | float) else math.nan

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved config; empty where there is none or it is not readable, which is said."""
        path = self.folder / names.CONFIG
        try:
            data = read_yaml(path)
        except FileNotFoundError:
            return {}
        except UsageError as error:
            say_skipped([str(error)])
            return {}
        return data if isinstance(data, dict) else {}

    @cached_property
    def overrides(self) -> list[str]:
        """What this run changed, as Hydra overrides."""
        try:
            return read_overrides(self.folder)
        except UsageError as error:
            say_skipped([str(error)])
            return []

    @cached_property
    def metrics(self) -> DataFrame:
        """Columns epoch, step, then one a metric; no rows where nothing was logged."""
        table, problems = read_metrics([(None, self.folder)])
        say_skipped(problems)
        return table.drop(columns="trial")

    @cached_property
    def edits(self) -> DataFrame:
        """What was changed while it trained, and no rollback has undone: a row a change, with columns
        edit, kind, epoch, batch, step, key, old, new, who, when, why; no rows where its config alone
        made it.
        """
        table, problems = edits_table([(None, self.folder)])
        say_skipped(problems)
        return table.drop(columns="trial")

    @property
    def checkpoint(self) -> Path | None:
        """The best checkpoint, or None where there is no such file inside the run folder."""
        path = inside(self.folder, self.result.checkpoint)
        return path if path is not None and path.is_file() else None

    @property
    def log(self) -> Path:
        """The run's output, and its traceback where it failed."""
        return self.folder / names.LOG


def say_skipped(problems: list[str]) -> None:
    """Warn of files that could not be used; of many, of the first five."""
    for problem in problems[:5]:
        log.warning("skipped: %s", problem)
    if len(problems) > 5:
        log.warning("skipped: %d files more", len(problems) - 5)


_PLAIN = re.compile(r"""(?:- [A-Za-z_+~][!"$-9;-~]*=[!"$-9;-~]*\n)+""")
"""Lines ``- key=value`` that YAML takes for text: printable ASCII, no ``#``, ``:`` or blank."""


def read_overrides(run: Path) -> list[str]:
    """The overrides of ``run``, in their order; none without a record.

    Raises:
        UsageError: the record cannot be read.
    """
    path = f"{run}/{names.OVERRIDES}"
    try:
        text = read_text(path, most=MOST_PARSED)
        if _PLAIN.fullmatch(text):
            # By hand: ten times as fast as any YAML reader.
            return [line[2:] for line in text.splitlines()]
        found = parse_yaml(text)
    except FileNotFoundError:
        return []
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(unreadable(path, error)) from None
    return [str(item) for item in found] if isinstance(found, list) else []
