"""Who else may write somewhere."""

import os
from pathlib import Path

import pytest

from caviar.base.machine import compiler
from caviar.engines.native import binding as native
from caviar.engines.native.build import build
from caviar.runs.private import private_folder, why_not_private


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir(mode=0o700)
    return tmp_path / "cache"


def test_what_only_its_owner_may_write_is_private(folder: Path):
    assert why_not_private(folder) is None
    assert private_folder(folder / "a" / "b").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_what_anybody_may_write_is_not(folder: Path, mode: int):
    folder.chmod(mode)
    assert why_not_private(folder) == "anybody may write to it"
    with pytest.raises(PermissionError):
        private_folder(folder)


def test_what_lies_where_anybody_may_put_another_is_not(folder: Path):
    (folder / "inner").mkdir(mode=0o700)
    folder.chmod(0o777)
    assert "in which it is" in str(why_not_private(folder / "inner"))
    folder.chmod(0o1777)  # as /tmp: nobody may take away what is another's
    assert why_not_private(folder / "inner") is None


def test_a_link_is_not(folder: Path):
    (folder / "link").symlink_to(folder)
    assert why_not_private(folder / "link") == "it is a link"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_is_anothers_or_a_groups_is_not(folder: Path):
    os.chown(folder, 0, 65534)
    folder.chmod(0o770)
    assert "may write to it" in str(why_not_private(folder))
    os.chown(folder, 0, 0)  # root's own group
    assert why_not_private(folder) is None
    os.chown(folder, 65534, 0)
    assert "not to you" in str(why_not_private(folder))


@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("harm", ["mode", "link", "file"])
def test_the_compiled_loop_is_taken_from_nobody_else(folder: Path, tmp_path, monkeypatch, harm):
    monkeypatch.setenv("CAVIAR_CACHE", str(folder))
    built = build(private_folder(folder / "native"))
    built.write_bytes(b"evil")
    if harm == "mode":
        built.parent.chmod(0o777)
    elif harm == "link":
        built.parent.rename(tmp_path / "evil")
        built.parent.symlink_to(tmp_path / "evil")
    else:
        built.rename(tmp_path / "evil.so")
        built.symlink_to(tmp_path / "evil.so")
    native.library.cache_clear()
    try:
        assert native.library().train_float
    finally:
        native.library.cache_clear()
