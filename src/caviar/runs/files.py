"""Whole files or none: what a reader of a run folder may rely on."""

import os
from pathlib import Path


def unreadable(path: Path, error: Exception) -> str:
    """One line for a file that cannot be read, naming it once."""
    text = " ".join(str(error).split())
    return text if str(path) in text else f"{path}: not readable ({text})"


def write_atomic(path: Path, content: str | bytes, durable: bool = True) -> None:
    """Write ``content`` beside ``path``, fsync it, and move it in, so no reader sees half a file.

    Args:
        durable: whether it is to outlast a power cut; what is soon written anew need not.

    Raises:
        OSError: the disk is full or the folder is gone; ``path`` is then as it was.
    """
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
