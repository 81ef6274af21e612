"""Whether an agent shares the controller's disk: it then reads a file that the controller wrote."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Nonce:
    """A file in the sweep's folder, at the controller's ``path``, and what stands in it."""

    path: str
    text: str

    @classmethod
    def write(cls, folder: Path) -> Nonce:
        """Write one for a sweep."""
        path = folder / f".agents.{os.urandom(6).hex()}.partial"
        path.write_text(text := secrets.token_hex(16))
        return cls(str(path), text)

    def remove(self) -> None:
        """Remove the file."""
        with suppress(OSError):
            os.unlink(self.path)

    def is_here(self) -> bool:
        """Whether the sweep's folder is on a disk of this machine too, and can be written to."""
        path = Path(self.path)
        try:
            if path.read_text() != self.text:
                return False
            with tempfile.TemporaryFile(dir=path.parent, prefix=".", suffix=".partial"):
                return True
        except OSError:
            return False
