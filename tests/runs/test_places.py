"""Paths in printed commands: whoever pastes them, in whatever folder, names the same file."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caviar.runs.places import typed

pytestmark = pytest.mark.fast

PARTS = st.lists(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
    .filter(lambda part: part not in (".", ".."))
    .filter(lambda part: len(part.encode()) < 100),
    min_size=1,
    max_size=3,
)


@given(parts=PARTS, at_home=st.booleans(), absolute=st.booleans())
def test_a_path_in_a_command_is_the_same_one_wherever_it_is_pasted(parts, at_home, absolute):
    home = os.path.expanduser("~")
    start = Path(home if at_home else "/somewhere/else")
    path = start.joinpath(*parts)
    word = typed(path if absolute else os.path.relpath(path))
    told = subprocess.run(
        ["sh", "-c", f"printf %s {word}"], cwd="/", capture_output=True, check=True
    ).stdout
    assert told.decode() == str(path)


@pytest.mark.parametrize(
    ("home", "path", "shown"),
    [
        ("/home/me", "/home/me/sweeps/a b", "~/'sweeps/a b'"),
        ("/home/me", "/home/me/sweeps/a", "~/sweeps/a"),
        ("/home/me", "/home/merry/a", "/home/merry/a"),
        ("/home/me", "/home/me", "/home/me"),
        ("/", "/a", "/a"),
    ],
)
def test_what_lies_at_home_is_told_from_there(home, path, shown, monkeypatch):
    monkeypatch.setenv("HOME", home)
    assert typed(path) == shown
