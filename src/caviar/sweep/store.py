"""Where a study is kept: in the sweep's journal, or in a database."""

from __future__ import annotations

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


class JournalStore(JournalStorage):
    """A study in an open journal; who has the sweep's folder has the study."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self.batch, self.sync = journal.batch, journal.sync

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        write_intermediate_value(self, trial_id, step, intermediate_value)


def open_database(url: str, patience: float) -> Database:
    """A `Database`, whose arguments these are.

    Raises:
        UsageError: nothing that Optuna knows answers there.
    """
    try:
        from caviar.sweep.database import Database

        return Database(url, patience)
    except Exception as error:  # whatever the database's driver raises
        problem = str(error).splitlines()[0]
        raise usage_error("hydra.sweeper.storage", without_password(url), problem) from error
