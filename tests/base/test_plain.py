"""What a run wrote neither steers a terminal nor becomes a formula."""

import ast
import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caviar.base.errors import UsageError, usage_error
from caviar.base.plain import cell, printable
from caviar.reading.export import _csv

SRC = Path(__file__).resolve().parents[2] / "src"
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@given(st.text(st.characters() | st.sampled_from(f"\x1b[]\x07\x9b\x7f\n\t\r{BIDI}")))
def test_a_terminal_gets_no_control_character(text: str):
    shown = printable(text)
    assert not any(
        c in BIDI or (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 for c in shown
    )
    assert printable(shown) == shown


@given(st.text(st.characters(exclude_categories=["C", "Z"])))
def test_what_steers_nothing_stays(text: str):
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\rb\tc\nd é 漢\u00a0e", "ab\tc\nd é 漢\u00a0e"),
    ],
)
def test_a_sequence_goes_as_a_whole(text: str, shown: str):
    assert printable(text) == shown


def test_no_error_steers_a_terminal():
    for error in (
        UsageError("a\x1b[2Jb\u202e"),
        usage_error("k\x9b", "v\x1b]0;x\x07", "p", ["\x1b"]),
    ):
        assert printable(str(error)) == str(error)


@pytest.mark.parametrize(
    "text", ["=1+1", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "-", " =1", "=-1"]
)
def test_a_formula_is_text(text: str):
    assert cell(text) == f"'{text}"
    if "\r" not in text:
        (_, row) = csv.reader(io.StringIO(_csv({"x": [text]}), newline=""))
        assert row == [f"'{text}"]
    assert _csv({text: []}).startswith(("'", "\"'"))


@pytest.mark.parametrize(
    "value", [-1, -1.5e-05, "-1", "-1.5e-05", "+3", "-inf", "-.5", "", "a=b", None]
)
def test_a_number_stays_a_number(value):
    assert cell(value) == value


def test_commands_print_what_cannot_steer_a_terminal():
    """A bare print of a command could print what a run wrote."""
    for place in ("commands", "panda", "sweep", "confirm", "zoom", "app", "cli.py"):
        for file in [SRC / "caviar" / place, *(SRC / "caviar" / place).rglob("*.py")]:
            if file.suffix == ".py":
                names = [n.func.id for n in ast.walk(ast.parse(file.read_text()))
                         if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]  # fmt: skip
                assert "print" not in names, file
