"""The storage of a sweep's study: a journal in its folder, or a database, which may be away for a while."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage

from caviar.base.errors import usage_error
from caviar.base.private import backend_of, write_intermediate_value
from caviar.sweep.journal import Journal
from caviar.sweep.record import without_password


class StorageGoneError(StorageInternalError):
    """A database did not answer for as long as it was waited for."""


def open_storage(storage: Journal | str, patience: float = 60.0) -> BaseStorage:
    """Optuna's storage over an open journal, or at an URL.

    Args:
        patience: seconds that a database server may not answer, once it did.

    Raises:
        UsageError: nothing that Optuna knows answers there.
    """
    if isinstance(storage, Journal):
        return JournalStorage(storage)
    try:
        if storage.startswith("sqlite"):
            return optuna.storages.get_storage(storage)
        from caviar.sweep.database import Database

        return optuna.storages.get_storage(Database(storage, patience))
    except Exception as error:  # whatever the database's driver raises
        problem = str(error).splitlines()[0]
        raise usage_error("hydra.sweeper.storage", without_password(storage), problem) from error


class Store:
    """A storage that one controller writes to.

    Args:
        place: an open journal, or an URL.
        patience: see `open_storage`.

    Attributes:
        optuna: Optuna's storage.
        in_folder: whether it is a journal: who has the sweep's folder has the study.
    """

    def __init__(self, place: Journal | str, patience: float) -> None:
        self.optuna = open_storage(place, patience)
        self._journal = place if isinstance(place, Journal) else None
        self.in_folder = self._journal is not None

    def while_waiting(self, hurried: Callable[[], bool], say: Callable[[str], None]) -> None:
        """Set what ends the waiting for a database that does not answer, and where that is shown."""
        backend = backend_of(self.optuna)
        if hasattr(backend, "hurried"):
            backend.hurried, backend.say = hurried, say

    @contextmanager
    def one_write(self) -> Generator[None]:
        """Gather what is written inside, so that it costs one lock and one write; may be nested."""
        inside = self._journal is None or self._journal.batching
        with nullcontext() if inside else self._journal.batch():  # type: ignore[union-attr]
            yield

    def sync(self) -> None:
        """Wait until all that was written outlasts a power cut."""
        if self._journal is not None:
            self._journal.sync()

    def write_values(self, trial_id: int, values: Sequence[tuple[int, float]]) -> None:
        """Write what a trial reported, step and value; whoever tells its end reads them all back."""
        for step, value in values:
            if isinstance(self.optuna, JournalStorage):
                write_intermediate_value(self.optuna, trial_id, step, value)
            else:
                self.optuna.set_trial_intermediate_value(trial_id, step, value)
