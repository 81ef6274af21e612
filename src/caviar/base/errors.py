"""Bad input, told in one line: the key, the value, what is wrong, and the nearest valid choice."""

import difflib
from collections.abc import Iterable, Iterator
from traceback import format_exception

from caviar.base.plain import printable


class UsageError(ValueError):
    """Input that cannot work. Its text is one line; the process that meets it exits with status 2.

    It may hold text of a file that anybody wrote: what could steer a terminal is left out.
    """

    def __init__(self, text: object = "") -> None:
        super().__init__(printable(str(text)))


def usage_error(
    key: str,
    value: object,
    problem: str,
    choices: Iterable[object] | None = None,
    like: str | None = None,
) -> UsageError:
    """Build the one line ``key=value: problem``, with the nearest of ``choices`` and all of them.

    Args:
        key: the setting's full name, as the user would write it (``optimizer.lr``).
        value: what was given.
        problem: what is wrong with it (``no such metric``).
        choices: what would have been right, if that can be listed.
        like: what to find the nearest choice to, where it is only a part of ``value``.
    """
    text = f"{key}={value}: {problem}"
    if choices is not None:
        names = [str(choice) for choice in choices]
        near = nearest(like or str(value), names)
        text += f"; did you mean {near}?" if near else ""
        text += f" (one of: {', '.join(names)})" if names else ""
    return UsageError(" ".join(text.split()))


def check_words(words: Iterable[str]) -> None:
    """Raise UsageError for a word of the command line that is not text: no file could hold it."""
    for word in words:
        if not word.isascii() and word.encode(errors="replace").decode() != word:
            shown = word.encode(errors="backslashreplace").decode()
            raise UsageError(f"{shown}: not text in this terminal's encoding")


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice most like ``name``, or None where none is at all like it."""
    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.4)
    return found[0] if found else None


def name_and_text(error: BaseException) -> str:
    """``Name: text`` of any error, its line breaks left out, and what UTF-8 cannot hold as its escape."""
    try:
        text = str(error)
    except BaseException as unreadable:
        text = f"(no text: its __str__ raises {type(unreadable).__name__})"
    name = type(error).__name__
    return _encodable(" ".join(f"{name}: {text}".split())) if text.strip() else name


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from, each once: an error that is raised again may be its own context."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def traceback_of(error: BaseException) -> str:
    """Its traceback; empty of a UsageError, whose one line tells all."""
    whole = "" if isinstance(error, UsageError) else "".join(format_exception(error))
    return _encodable(whole)


def _encodable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
