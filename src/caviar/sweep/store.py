"""The storage of a sweep's study: a journal in its folder, or a database, which may be away for a while."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from optuna.exceptions import StorageInternalError
from optuna.storages import JournalStorage

from caviar.base.errors import usage_error
from caviar.base.private import write_intermediate_value
from caviar.sweep.journal import Journal
from caviar.sweep.record import without_password

if TYPE_CHECKING:
    from caviar.sweep.database import Database


class StorageGoneError(StorageInternalError):
    """A database did not answer for as long as it was waited for."""


def open_database(url: str, patience: float = 60.0) -> Database:
    """A study's database.

    Args:
        url: as SQLAlchemy takes it.
        patience: seconds that a server may not answer, once it did.

    Raises:
        UsageError: nothing that Optuna knows answers there.
    """
    try:
        from caviar.sweep.database import Database

        return Database(url, patience)
    except Exception as error:  # whatever the database's driver raises
        problem = str(error).splitlines()[0]
        raise usage_error("hydra.sweeper.storage", without_password(url), problem) from error


class Store:
    """A storage that one controller writes to.

    Args:
        place: an open journal, or an URL.
        patience: see `open_database`.

    Attributes:
        optuna: Optuna's storage.
        database: where it is no journal; who has the sweep's folder has a journal's study.
    """

    def __init__(self, place: Journal | str, patience: float) -> None:
        self.database: Database | None = None
        if isinstance(place, Journal):
            self._kept, self.optuna = place, JournalStorage(place)
        else:
            self._kept = self.optuna = self.database = open_database(place, patience)

    def while_waiting(self, hurried: Callable[[], bool], say: Callable[[str], None]) -> None:
        """Set what ends the waiting for a database that does not answer, and where that is shown."""
        if self.database:
            self.database.hurried, self.database.say = hurried, say

    def one_write(self) -> AbstractContextManager[None]:
        """Gather what is written inside, so that it costs one lock and one write; may be nested."""
        return self._kept.batch()

    def sync(self) -> None:
        """Wait until all that was written outlasts a power cut."""
        self._kept.sync()

    def close(self) -> None:
        """Let a database's connections go."""
        if self.database:
            self.database.close()

    def write_values(self, trial_id: int, values: Sequence[tuple[int, float]]) -> None:
        """Write what a trial reported, step and value; whoever tells its end reads them all back."""
        for step, value in values:
            if isinstance(self.optuna, JournalStorage):
                write_intermediate_value(self.optuna, trial_id, step, value)
            else:
                self.optuna.set_trial_intermediate_value(trial_id, step, value)
