"""A folder outside, to which links lead: nothing in it may change, and no word of it be shown."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.damage.structure import SECRET


def lay_out(outside: Path, working: Path) -> None:
    """Fill ``outside`` with whole files by the names of those in ``working``, and a secret."""
    files = outside / "files"
    (outside / "folder").mkdir(parents=True)
    files.mkdir()
    (outside / "folder" / "diary.txt").write_text(f"{SECRET}\n")
    harm = f"open({str(outside.parent / 'harm-script')!r}, 'w')\n"
    (files / "evil.py").write_text(harm)
    for file in sorted(working.rglob("*")):
        if file.is_file() and not (files / file.name).exists():
            shutil.copyfile(file, files / file.name)
    for name, old in (("result.json", '"metric": "'), ("config.yaml", "name: "), ("log.txt", "")):
        text = (files / name).read_text()
        (files / name).write_text(text.replace(old, f"{old}{SECRET}", 1))


def seen(place: Path, but: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and folder under ``place``, but those under ``but``, with what a change would change."""
    found = {}
    for folder, names, files in os.walk(place):
        if Path(folder) == place:
            names[:] = [name for name in names if place / name != but]
        for name in [*names, *files]:
            path = os.path.join(folder, name)
            if path != str(but):
                told = os.lstat(path)
                found[path] = (told.st_size, told.st_mtime_ns, told.st_mode)
    return found
