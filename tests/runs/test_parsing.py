"""Bounds of what is read: deep, endless and strange texts are refused in a line, each in no time."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from caviar.base.errors import UsageError
from caviar.runs.fields import NUMBER, TEXT, check_fields, each, mapping_to, optional
from caviar.runs.files import read_bytes, read_json, read_lines, read_text
from caviar.runs.parsing import parse_json, parse_yaml

DEEP = 100_000
NAMES = "abcdefghijklm"
BOMB = "\n".join(
    ["a: &a [x, x, x, x, x, x, x, x, x]"]
    + [f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in itertools.pairwise(NAMES)]
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text("aé:"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner),
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["[" * DEEP, "[" * DEEP + "]" * DEEP, "{a: " * DEEP, "- " * DEEP, "? " * DEEP, "- - - " * DEEP, BOMB,
     "a: &a [*a]", "a: 2020-01-01", "a: !!python/object/apply:os.system [x]", "a: !!bool x", "a: !!int ''",
     "a: !!binary aGk=", "[1, 2]: 3", "{{}: 1}", "9" * 5000, "9" * 400, "a: [", "*a"],
)  # fmt: skip
def test_yaml_that_is_no_data_of_a_run_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - whatever it says
        parse_yaml(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["[" * DEEP, "[" * DEEP + "]" * DEEP, '{"a":' * DEEP, "9" * 5000, "9" * 400, "", "["]
)
def test_json_that_is_no_data_of_a_run_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - whatever it says
        parse_json(text)
    assert "\n" not in str(error.value)


@given(value=PLAIN)
def test_plain_values_are_as_the_libraries_read_them(value: object) -> None:
    assert parse_json(json.dumps(value)) == value
    text = yaml.safe_dump(value)
    assert parse_yaml(text) == yaml.safe_load(text)


def test_half_a_character_is_no_text_that_cannot_be_written() -> None:
    assert parse_json(r'{"\ud800": "a\udfffb"}') == {"?": "a?b"}


def test_a_pipe_a_socket_a_folder_and_a_link_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "lost").symlink_to("nowhere")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "folder", "link", "lost", "zero", "file/x"):
        with pytest.raises(UsageError, match=f"{tmp_path}/{name}: "):
            read_bytes(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "nothing")


def test_a_file_that_no_memory_holds_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "f.json").open("wb") as file:
        file.truncate(8 << 30)
    for read in (read_text, read_json, read_lines):
        with pytest.raises(UsageError, match="it has more than"):
            read(tmp_path / "f.json")


def test_a_field_that_is_not_what_it_must_be_is_named() -> None:
    must = {"a": NUMBER, "b": optional(each(TEXT)), "c": mapping_to(NUMBER)}
    check_fields("f", {"a": 1.5, "b": None, "c": {"x": 1}, "d": object()}, must, ["a"])
    for held, told in (({"a": True}, "f: a=True: must be a number"), ({}, "f: it has no a"),
                       ({"a": 1, "b": [1]}, "b=.1.: must be a list, each text"),
                       ({"a": 1, "c": {"x": "y" * 10_000}}, "c=.{1,60}: must be a mapping")):  # fmt: skip
        with pytest.raises(UsageError, match=told):
            check_fields("f", held, must, ["a"])
