"""What is read by hand, for speed, is what the libraries read."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from caviar.base.errors import UsageError
from caviar.reading.metrics import _table
from caviar.reading.run import read_overrides
from caviar.runs.files import read_text
from caviar.runs.places import all_from_here

pytestmark = pytest.mark.fast


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "overrides.yaml"


@given(data=st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\xc3\xa9", b"\xff"])).map(b"".join))
@pytest.mark.parametrize("errors", ["strict", "replace"])
def test_a_text_is_as_pathlib_reads_it(file: Path, errors: str, data: bytes) -> None:
    file.write_bytes(data)
    try:
        wanted = file.read_text(encoding="utf-8", errors=errors)
    except UnicodeDecodeError:
        with pytest.raises(UsageError, match="can't decode"):
            read_text(str(file), errors)
    else:
        assert read_text(str(file), errors) == wanted


def test_a_long_file_is_read_whole(file: Path) -> None:
    file.write_text("0123456789" * 30_000)
    assert read_text(str(file)) == "0123456789" * 30_000


def test_a_folder_is_no_text_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{tmp_path}: not readable .*directory"):
        read_text(str(tmp_path))


WORDS = ["a", "=", "1", ".", "~", "+", "-", "[", ",", "]", "'", '"', "\\", ":", "#", " ", "é", "\t"]
LINES = st.lists(st.lists(st.sampled_from([*WORDS, "null", "yes", "\x7f", "a=", "\n"])), max_size=4)


@given(lines=LINES)
def test_overrides_are_as_yaml_reads_them(file: Path, lines: list[list[str]]) -> None:
    text = "".join(f"- {''.join(words)}\n" for words in lines)
    file.write_text(text)
    try:
        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        with pytest.raises(UsageError):
            read_overrides(file.parent)
    else:
        wanted = [str(item) for item in found] if isinstance(found, list) else []
        assert read_overrides(file.parent) == wanted


CELLS = st.sampled_from(
    ["1", "-0", "2.5e-3", "nan", "inf", "", " 3", "x", '"4"', '"', "\n", ",", ",\n"]
)


def rows_of(text: str) -> tuple[list[str], Any]:
    """The header and the rows, None where they do not fit it, by the library alone."""
    header, *rows = list(csv.reader(io.StringIO(text))) or [[]]
    table = [[float(cell) if cell else math.nan for cell in row] for row in rows if row]
    return header, table if all(len(row) == len(header) for row in table) else None


@given(cells=st.lists(CELLS, max_size=30))
def test_metrics_are_as_the_csv_library_reads_them(cells: list[str]) -> None:
    text = "a,b\n" + "".join(cells)
    try:
        header, wanted = rows_of(text)
    except ValueError:
        with pytest.raises(ValueError, match="convert"):
            _table(text)
        return
    found, count, numbers = _table(text)
    assert found == header
    assert count == (None if wanted is None else len(wanted))
    if wanted is not None:
        assert str(numbers) == str([number for row in wanted for number in row])


def test_many_paths_are_as_a_command_here_takes_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    (here / "trials" / "0").mkdir(parents=True)
    (here / "other").symlink_to(tmp_path)
    (here / "trials" / "1").symlink_to(here)
    monkeypatch.chdir(here)
    paths = ["trials/0", "trials/1", "trials/2", "other/x", "other/here/trials/0", "..", ".", "/"]
    paths += ["trials/..", str(here), str(tmp_path), f"{here}x", "trials", "trials/1/other"]

    def plainly(path: Path) -> str:
        whole = path.resolve()
        return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)

    assert os.path.samefile(here, Path.cwd())
    assert all_from_here(map(Path, paths)) == [plainly(Path(path)) for path in paths]
