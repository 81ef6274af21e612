"""Doing what people ask of a run, at the step where it stands."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from lightning.pytorch import Trainer

from caviar.base.errors import UsageError, usage_error
from caviar.panda.editor import Editor
from caviar.panda.inbox import Inbox, Request
from caviar.runs.active import asked_to_stop


class Service:
    """Serves the requests of one run; one that is ``replaying`` another's edits takes none of its own."""

    def __init__(
        self,
        inbox: Inbox,
        trainer: Trainer,
        editor: Editor,
        replaying: bool,
        write_status: Callable[[], None],
    ) -> None:
        self.inbox = inbox
        self.paused = False
        self._trainer = trainer
        self._editor = editor
        self._replaying = replaying
        self._write_status = write_status
        self._later: dict[str, Request] = {}
        self._going_back: tuple[Request, str] | None = None

    def has_come(self) -> bool:
        """Whether a request is due as an epoch begins."""
        epoch = self._trainer.current_epoch
        come = [id for id, request in self._later.items() if request["at"] <= epoch]
        for id in come:
            del self._later[id]
        return bool(come) or self.inbox.changed()

    def serve(self, batch: int) -> Path | None:
        """Do all requests; while paused, wait for more. Returns the checkpoint to go back to, if any."""
        trainer = self._trainer
        while True:
            for request in self.inbox.collect():
                if request["id"] in self._later:
                    continue
                try:
                    if path := self._do(request, batch):
                        return path
                except UsageError as error:
                    self.inbox.answer(request, str(error), done=False)
            if not self.paused or trainer.should_stop or self._asked_to_end():
                return None
            while not self.inbox.changed() and not self._asked_to_end():
                time.sleep(0.05)

    def gone_back(self) -> None:
        """Answer the request for a rollback: what it asked for is restored, and the status says so."""
        if self._going_back is not None:
            self.inbox.answer(*self._going_back)
            self._going_back = None

    def close(self) -> None:
        """Refuse the requests that are left: the training is over."""
        for request in self.inbox.collect():
            self.inbox.answer(request, "the training ended before this was reached", done=False)

    def _asked_to_end(self) -> bool:
        return asked_to_stop() or self._trainer.received_sigterm

    def _do(self, request: Request, batch: int) -> Path | None:
        kind, editor, epoch = request["kind"], self._editor, self._trainer.current_epoch
        if any(edit.request == request["id"] for edit in editor.edits):
            self.inbox.answer(request, "done already")  # killed between doing it and saying so
        elif kind in ("pause", "resume"):
            self.paused = kind == "pause"
            self._write_status()
            state = "paused" if self.paused else "training"
            place = f"epoch {epoch}, step {self._trainer.global_step}"
            self.inbox.answer(request, f"{state} at {place}")
        elif self._replaying:
            raise UsageError("this run replays another's edits, and takes none of its own")
        elif kind == "set" and (at := request.get("at") or 0) > epoch:
            # The file stays until its epoch comes: a run that is killed and resumed finds it again.
            self._later[request["id"]] = request
            self.inbox.note(request, f"at the start of epoch {at}")
        elif kind == "set" and at and request.get("waits"):  # nobody was promised that epoch yet
            problem = f"must be an epoch to come: epoch {epoch} is under way"
            raise usage_error("--at", at, problem)
        elif kind == "set":
            edit = editor.set(batch, request["changes"], request)
            self.inbox.answer(request, edit.in_words())
        elif kind == "rollback":
            edit = editor.roll_back(batch, request.get("to"), request)
            self._going_back = request, edit.in_words()
            assert edit.to is not None
            return editor.states.path(edit.to)
        elif kind == "stop":
            edit = editor.stop(batch, request)
            self.paused = False
            self.inbox.answer(request, edit.in_words())
        return None
