"""Kinds of damage to a file: what stands in its place, and what stands in it."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.damage.structure import KINDS as STRUCTURE

Damage = Callable[[Path, Random, Path], None]
"""Does damage to a file, by chance, where links to a folder outside may lead."""

DEEP = 100_000
HUGE = 8 << 30
"""Bytes of a file that no memory holds, all of them a hole."""


def _truncated(file: Path, chance: Random, outside: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: chance.randrange(len(data) + 1)])


def _emptied(file: Path, chance: Random, outside: Path) -> None:
    file.write_bytes(b"")


def _random(file: Path, chance: Random, outside: Path) -> None:
    file.write_bytes(chance.randbytes(chance.choice((1, 10, 1000, 100_000))))


def _flipped(file: Path, chance: Random, outside: Path) -> None:
    data = bytearray(file.read_bytes() or b" ")
    for _ in range(chance.choice((1, 3, 30))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


def _overwritten(file: Path, chance: Random, outside: Path) -> None:
    data = bytearray(file.read_bytes() or b" ")
    start = chance.randrange(len(data))
    data[start : start + chance.randrange(1, 200)] = chance.randbytes(chance.randrange(100))
    file.write_bytes(data)


def _doubled(file: Path, chance: Random, outside: Path) -> None:
    file.write_bytes(file.read_bytes() * 2)


def _deep(file: Path, chance: Random, outside: Path) -> None:
    opening = chance.choice(("[", '{"a":', "- ", "[{"))
    file.write_text(opening * DEEP)


def _deep_whole(file: Path, chance: Random, outside: Path) -> None:
    file.write_text("[" * DEEP + "]" * DEEP + "\n")


def _too_large(file: Path, chance: Random, outside: Path) -> None:
    with file.open("ab") as grown:
        grown.truncate(HUGE)


def _removed(file: Path, chance: Random, outside: Path) -> None:
    file.unlink()


def _folder(file: Path, chance: Random, outside: Path) -> None:
    file.unlink()
    file.mkdir()
    (file / "x").write_text("x")


def _link(file: Path, to: Path | str) -> None:
    file.unlink()
    file.symlink_to(to)


def _link_to_file(file: Path, chance: Random, outside: Path) -> None:
    """To a whole file of the same name that is not the run's."""
    _link(file, outside / "files" / file.name)


def _link_to_folder(file: Path, chance: Random, outside: Path) -> None:
    _link(file, outside / "folder")


def _dangling(file: Path, chance: Random, outside: Path) -> None:
    _link(file, chance.choice((outside / "new", Path("nowhere"), outside / "no" / "where")))


def _loop(file: Path, chance: Random, outside: Path) -> None:
    _link(file, file.name)


def _device(file: Path, chance: Random, outside: Path) -> None:
    _link(file, chance.choice(("/dev/zero", "/dev/full", "/dev/null", "/dev/stdin", "/dev/tty")))


def _fifo(file: Path, chance: Random, outside: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _socket(file: Path, chance: Random, outside: Path) -> None:
    file.unlink()
    here = os.getcwd()
    os.chdir(file.parent)  # a socket's path is to be short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(file.name[:90])
    finally:
        os.chdir(here)


def _unreadable(file: Path, chance: Random, outside: Path) -> None:
    """Root, to whom a container's tests belong, reads it all the same."""
    file.chmod(0)


def _parent_is_file(file: Path, chance: Random, outside: Path) -> None:
    shutil.rmtree(file.parent)
    file.parent.write_text("x")


def _parent_is_link(file: Path, chance: Random, outside: Path) -> None:
    """To a folder that has the same files. In place of a run or a sweep, a person may have put one."""
    if file.parent.parent.name in ("runs", "sweeps"):
        raise LookupError(file)
    shutil.rmtree(file.parent)
    file.parent.symlink_to(outside / "files")


def _odd_neighbour(file: Path, chance: Random, outside: Path) -> None:
    """Beside it, or beside its run, what has an odd name."""
    parent = chance.choice((file.parent, file.parent.parent))
    name = chance.choice(ODD_NAMES)
    if chance.random() < 0.5 and file.parent != parent:
        shutil.copytree(file.parent, os.path.join(os.fsencode(parent).decode(), "copy"))
        os.rename(os.fsencode(parent / "copy"), os.path.join(os.fsencode(parent), name))
    elif chance.random() < 0.5:
        os.makedirs(os.path.join(os.fsencode(parent), name), exist_ok=True)
    else:
        with open(os.path.join(os.fsencode(parent), name), "wb") as odd:
            odd.write(file.read_bytes())


ODD_NAMES = [
    *(
        b"\x1b[31mred",
        b"two\nlines",
        b"-1",
        b"--force",
        b"%s{0}${oc.env:HOME}",
        b"\xff\xfe",
        b"0 1",
    ),
    *("²".encode(), "٣".encode(), b"9" * 200, b"0000", b"00", b"*", b"'", b"~", b"x" * 255),
]


PLACE: dict[str, Damage] = {
    "removed": _removed,
    "folder": _folder,
    "link to a file": _link_to_file,
    "link to a folder": _link_to_folder,
    "dangling link": _dangling,
    "link loop": _loop,
    "link to a device": _device,
    "fifo": _fifo,
    "socket": _socket,
    "unreadable": _unreadable,
    "parent a file": _parent_is_file,
    "parent a link": _parent_is_link,
    "odd neighbour": _odd_neighbour,
}
BYTES: dict[str, Damage] = {
    "truncated": _truncated,
    "emptied": _emptied,
    "random bytes": _random,
    "bits flipped": _flipped,
    "overwritten": _overwritten,
    "doubled": _doubled,
    "deep": _deep,
    "deep whole": _deep_whole,
    "too large": _too_large,
}


def kinds_for(file: Path) -> dict[str, Damage]:
    """Every kind of damage that a file can take."""
    found = {**PLACE, **BYTES}
    for suffixes, kinds in STRUCTURE.items():
        if file.suffix in suffixes:
            found |= kinds
    return found
