"""A link in a run's folder leads nowhere: what it names is neither written, made, removed nor copied."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from caviar.runs import inside, locks
from caviar.runs.files import write_atomic
from caviar.runs.inside import LinkError

SECRET = "precious\n"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the user's, with a file in it that nobody is to touch."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "log.txt").write_text(SECRET)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def untouched(outside: Path) -> bool:
    return [file.name for file in outside.iterdir()] == ["log.txt"] and (
        outside / "log.txt"
    ).read_text() == SECRET


WRITE: dict[str, Callable[[Path], object]] = {
    **{mode: lambda path, mode=mode: inside.open_inside(path, mode).close() for mode in "wax"},
    "r+": lambda path: inside.open_inside(path, "r+").close(),
    "lock": locks.hold,
}
ALL = {
    **WRITE,
    "r": lambda path: inside.open_inside(path).close(),
    "folder": lambda path: inside.make_folders(path),
    "deep folder": lambda path: inside.make_folders(path / "more" / "deep"),
    "copy": lambda path: inside.copy_inside(path, path.with_name("copy")),
    "copies": lambda path: inside.copy_folder(path, path.with_name("copies")),
}


@pytest.mark.parametrize("do", ALL.values(), ids=ALL)
@pytest.mark.parametrize("where", ["log.txt", "gone", "."])
def test_a_link_is_not_followed(run: Path, outside: Path, where: str, do) -> None:
    (run / "log.txt").symlink_to(outside / where)
    with pytest.raises(OSError, match=r"log\.txt"):
        do(run / "log.txt")
    assert untouched(outside)


@pytest.mark.parametrize("do", WRITE.values(), ids=WRITE)
def test_a_link_in_place_of_the_folder_is_not_followed(run: Path, outside: Path, do) -> None:
    (run / "checkpoints").symlink_to(outside)
    for name in ("log.txt", "new"):
        with pytest.raises(LinkError, match="checkpoints: a link"):
            do(run / "checkpoints" / name)
    for write in (
        lambda: write_atomic(run / "checkpoints" / "log.txt", "harm"),
        lambda: inside.remove_inside(run / "checkpoints" / "log.txt"),
        lambda: inside.make_folders(run / "checkpoints" / "new"),
        lambda: inside.partial_of(run / "checkpoints" / "log.txt"),
    ):
        with pytest.raises(LinkError, match="checkpoints: a link"):
            write()
    assert untouched(outside)


def test_a_file_that_is_written_whole_takes_the_place_of_a_link(run: Path, outside: Path) -> None:
    (run / "result.json").symlink_to(outside / "log.txt")
    write_atomic(run / "result.json", "new")
    assert (run / "result.json").read_text() == "new"
    assert not (run / "result.json").is_symlink()
    assert untouched(outside)
    assert os.listdir(run) == ["result.json"]


def test_what_cannot_be_written_leaves_nothing_behind(run: Path) -> None:
    (run / "result.json").write_text("old")

    def full(file) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        inside.put(run / "result.json", full)
    assert os.listdir(run) == ["result.json"]
    assert (run / "result.json").read_text() == "old"


def test_nobody_can_foresee_where_a_file_is_written_first(run: Path) -> None:
    seen: list[str] = []
    for _ in range(2):
        inside.put(run / "x", lambda file: seen.extend(os.listdir(run)) and None)
        os.unlink(run / "x")
    assert len(set(seen)) == 2
    assert inside.partial_of(run / "x") != inside.partial_of(run / "x")


@pytest.mark.parametrize("do", WRITE.values(), ids=WRITE)
def test_a_hard_link_is_not_written(run: Path, outside: Path, do) -> None:
    os.link(outside / "log.txt", run / "log.txt")
    with pytest.raises((LinkError, FileExistsError)):
        do(run / "log.txt")
    assert untouched(outside)


@pytest.mark.parametrize("do", ALL.values(), ids=ALL)
def test_a_pipe_is_no_file_and_nobody_waits_for_it(run: Path, do) -> None:
    os.mkfifo(run / "log.txt")
    with pytest.raises(OSError, match=r"log\.txt"):
        do(run / "log.txt")


def test_only_a_folder_without_links_is_gone_on_with(run: Path, outside: Path) -> None:
    deep = run / "trials" / "0003" / "checkpoints"
    deep.mkdir(parents=True)
    (deep / "best.ckpt").touch()
    inside.check_tree(run)
    for make in (lambda: (deep / "x").symlink_to(outside), lambda: os.mkfifo(deep / "x")):
        make()
        with pytest.raises(LinkError, match="0003/checkpoints/x"):
            inside.check_tree(run)
        (deep / "x").unlink()


def test_ordinary_files_are_opened_made_copied_and_removed(run: Path) -> None:
    inside.make_folders(run / "a" / "b")
    inside.make_folders(run / "a" / "b")
    with inside.open_inside(run / "a" / "b" / "file", "w") as file:
        file.write("longer than the next")
    for mode, text in (("w", "first\n"), ("a", "second\n")):
        with inside.open_inside(run / "a" / "b" / "file", mode) as file:
            file.write(text)
    inside.copy_folder(run / "a", run / "c")
    with inside.open_inside(run / "c" / "b" / "file") as file:
        assert file.read() == "first\nsecond\n"
    inside.remove_inside(run / "c" / "b" / "file")
    inside.remove_inside(run / "c" / "b" / "file")
    assert os.listdir(run / "c" / "b") == []
