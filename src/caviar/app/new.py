"""A project of one's own that depends on caviar: the template's package, configs and tests, renamed."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from caviar.app.renaming import SUFFIXES, can_name_a_package, renamed
from caviar.base.errors import UsageError, usage_error

_OWN = Path(__file__).resolve().parent / "template"
_LEFT_OUT = ("lessons", "__pycache__", "local")
"""Folders of the template that are its own affair: the lessons, and a machine's settings."""

_TAKEN = {"caviar", "configs", "hydra_plugins", "outputs", "src", "tests"}


def make_project(name: str, place: Path) -> Path:
    """Make the folder ``place / name``, a project whose package is ``name``, and return it.

    Raises:
        UsageError: no package can have this name, or something is there already.
    """
    if not can_name_a_package(name):
        why = "cannot name a package: use small letters, digits and _, and no keyword"
        raise usage_error("name", name, why)
    if name in _TAKEN or name in sys.stdlib_module_names:
        raise usage_error("name", name, "is taken: another package has it")
    target = place / name
    if target.exists():
        raise usage_error("name", name, f"{target} exists already")
    if not place.is_dir():
        raise usage_error("--in", place, "no such folder")
    with tempfile.TemporaryDirectory(dir=place, prefix=f".{name}-") as folder:
        made = Path(folder, name)  # whole before it has its name
        old = _template_name()
        for source, to in _files(old):
            copy = made / renamed(to, old, name, "")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
            if source.suffix in SUFFIXES:
                text = renamed(source.read_text(encoding="utf-8"), old, name, source.suffix)
                copy.write_text(text, encoding="utf-8")
        config = made / "configs" / "train.yaml"
        text = config.read_text(encoding="utf-8")
        config.write_text(re.sub(r"(?m)^allow: \[\]", f"allow: [{name}.]", text), encoding="utf-8")
        (made / ".gitignore").write_text(".venv/\n__pycache__/\n.env\noutputs/\nconfigs/local/\n")
        made.rename(target)
    return target


def _template_name() -> str:
    """What the template's package is called: a clone may have renamed it."""
    machinery = {"caviar", "hydra_plugins"}
    found = [file.parent.name for file in _root().glob("src/*/__init__.py")]
    mine = [name for name in found if name not in machinery]
    if len(mine) != 1:
        raise UsageError(f"{_root()}: holds no template to make a project from")
    return mine[0]


def _root() -> Path:
    """The folder that has the template's configs and package: in a wheel, else the clone's."""
    return _OWN if (_OWN / "configs").is_dir() else _OWN.parents[3]


def _files(old: str) -> Iterator[tuple[Path, str]]:
    """Each file of the template, and its place in a project."""
    for name in ("pyproject.toml", "README.md"):
        yield _OWN / name, name
    starter = f"tests/{old}/starter"
    for folder, to in (("configs", "configs"), (f"src/{old}", f"src/{old}"), (starter, starter)):
        for file in sorted((_root() / folder).rglob("*")):
            inner = file.relative_to(_root() / folder)
            if file.is_file() and not set(inner.parts) & set(_LEFT_OUT):
                yield file, f"{to}/{inner.as_posix()}"
