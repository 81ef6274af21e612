"""Arguments of the small commands, written as Hydra's: ``key=value``."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from caviar import UsageError, usage_error
from caviar.streams import make_patient


def command(function: Callable[..., Any], usage: str, defaults: Mapping[str, str | None]) -> None:
    """Call ``function`` with what the command line says; bad input is one line and exit status 2.

    Args:
        usage: what ``--help`` prints.
        defaults: every key with its default; None where the key has to be given.
    """
    make_patient()
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(usage)
        return
    try:
        function(**parse(sys.argv[1:], usage, defaults))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def parse(words: list[str], usage: str, defaults: Mapping[str, str | None]) -> dict[str, str]:
    """``["run=a"]`` -> ``{"run": "a"}``, with ``defaults`` for what is not said.

    Raises:
        UsageError: a word is no ``key=value``, a key is unknown, or a needed one is not given.
    """
    said: dict[str, str | None] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in defaults:
            raise usage_error("argument", key, "no such argument", defaults)
        if not equals or not value:
            raise UsageError(f"{word}: write it as {key}=VALUE")
        said[key] = value
    whole = {**defaults, **said}
    for key, value in whole.items():
        if value is None:
            raise UsageError(f"{key}: has to be given; usage: {usage.splitlines()[0]}")
    return {key: str(value) for key, value in whole.items()}
