"""Arguments of the small commands, written as Hydra's: ``key=value``."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from caviar.base.errors import UsageError, usage_error
from caviar.base.plain import echo
from caviar.base.streams import make_patient

NEEDED = object()
"""The default of an argument that has to be given."""


def command(function: Callable[..., Any], usage: str, defaults: Mapping[str, Any]) -> None:
    """Call ``function`` with what the command line says; bad input is one line and exit status 2.

    Args:
        usage: what ``--help`` prints.
        defaults: every key with its default; `NEEDED` where the key has to be given.
    """
    make_patient()
    if {"-h", "--help"} & set(sys.argv[1:]):
        echo(usage)
        return
    try:
        function(**parse(sys.argv[1:], usage, defaults))
    except UsageError as error:
        echo(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def parse(words: list[str], usage: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """``["run=a"]`` -> ``{"run": "a"}``, with ``defaults`` for what is not said.

    The words are Hydra's: ``out='a b.csv'`` is the file ``a b.csv``. A number stays the text that was
    typed, so that a folder may be called ``1e3``.

    Raises:
        UsageError: a word is no ``key=value``, a key is unknown, or a needed one is not given.
    """
    said: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in defaults:
            raise usage_error("argument", key, "no such argument", defaults)
        if not equals or not value:
            raise UsageError(f"{word}: write it as {key}=VALUE")
        said[key] = _value(word, value)
    whole = {**defaults, **said}
    for key, value in whole.items():
        if value is NEEDED:
            raise UsageError(f"{key}: has to be given; usage: {usage.splitlines()[0]}")
    return whole


def _value(word: str, typed: str) -> Any:
    try:
        override = OverridesParser.create().parse_override(word)
        value = typed if override.is_sweep_override() else override.value()
    except HydraException as error:
        if typed[0] in "'\"[{":
            raise UsageError(f"{word}: {str(error).splitlines()[0]}") from None
        return typed  # a path may have what the grammar takes in quotes only: é, =, #
    return value if isinstance(value, str | list) else typed
