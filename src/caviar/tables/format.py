"""How the cells of a table are to be understood: the settings of its reading, checked as they come in."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caviar.base.errors import usage_error

WORDS = ("as_written", "trimmed", "folded")
"""Which words are one: those written alike; but for blanks around them; but for upper case too."""
SETTINGS = ("sep", "encoding", "decimal", "thousands", "na_values", "words")
_SPELLINGS = {
    None: ("null", "Null", "NULL"),
    True: ("true", "True", "TRUE"),
    False: ("false", "False", "FALSE"),
}


@dataclass(frozen=True)
class Format:
    """What a file of text leaves open.

    Attributes:
        sep: what stands between the cells of a row; None: a tab in ``.tsv``, else a comma, or where
            the header has none: the ``;``, tab or ``|`` that it has.
        encoding: of the file; None: as its byte order mark says, else UTF-8.
        decimal: what stands before the decimals of a number.
        thousands: what may stand between its groups of three digits.
        na_values: words that count as missing, in every column. An empty cell does without, and in a
            column of numbers the usual ones (NA, null, …) too.
        words: one of `WORDS`.
    """

    sep: str | None = None
    encoding: str | None = None
    decimal: str = "."
    thousands: str | None = None
    na_values: tuple[str, ...] = ()
    words: str = "as_written"

    @classmethod
    def of(cls, settings: Mapping[str, Any], prefix: str = "data.") -> Format:
        """The format in ``settings``, which may have others beside and need not have all of these.

        Raises:
            UsageError: one of them cannot be.
        """
        given = {k: settings[k] for k in SETTINGS if settings.get(k) is not None}
        if given.get("sep") in ("\\t", "tab"):  # as it may be typed
            given["sep"] = "\t"
        if "na_values" in given:
            given["na_values"] = _texts(given["na_values"])
        for key, value in given.items():
            if problem := _problem(key, value, given):
                choices = WORDS if key == "words" else None
                raise usage_error(f"{prefix}{key}", value, problem, choices)
        return cls(**given)

    def in_words(self) -> str:
        """Those settings that are not the default ones."""
        default = Format()
        found = {key: getattr(self, key) for key in SETTINGS}
        plain = {key: list(v) if isinstance(v, tuple) else v for key, v in found.items()}
        return ", ".join(f"{k}={v!r}" for k, v in plain.items() if found[k] != getattr(default, k))


def _problem(key: str, value: Any, given: Mapping[str, Any]) -> str | None:
    if key == "na_values":
        return None
    if not isinstance(value, str):
        return "must be text"
    if key == "encoding":
        try:
            "".encode(value)
        except (LookupError, UnicodeError):
            return "no such encoding (utf-8, utf-16, latin-1, cp1252, …)"
        return None if codecs.lookup(value).name != "idna" else "no encoding of a table"
    if key == "words":
        return None if value in WORDS else "no such choice"
    if len(value) != 1 or value in '"\r\n':
        return "must be one character"
    if key == "sep":
        return None if value.isascii() else "must be an ASCII character"
    if value.isalnum() or value in "+-":
        return "cannot stand within a number"
    if key == "thousands" and value == given.get("decimal", "."):
        return "is data.decimal too"
    return None


def _texts(values: Any) -> tuple[str, ...]:
    """What was given as words, as text: Hydra and YAML take ``-999`` for a number and ``null`` for None."""
    several = isinstance(values, Sequence) and not isinstance(values, str)
    found: list[str] = []
    for value in values if several else [values]:
        known = value is None or isinstance(value, bool)
        found += _SPELLINGS[value] if known else (str(value),)
    return tuple(dict.fromkeys(found))
