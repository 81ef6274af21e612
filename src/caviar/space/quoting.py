"""Writing a value so that Hydra's grammar reads back exactly this value, of this type."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString, Transformer


def as_text(value: Any) -> str:
    """A plain value as the grammar writes it: ``relu``, ``'1'``, ``null``, ``[64,32]``."""
    return _quoted(value) if isinstance(value, str) else Transformer.str(_protect(value))


def _protect(value: Any) -> Any:
    if isinstance(value, str):
        return QuotedString(value, Quote.single) if _quoted(value) != value else value
    if isinstance(value, list):
        return [_protect(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        held = cast("dict[Any, Any]", value)
        return {_protect(key): _protect(item) for key, item in held.items()}
    return value


@lru_cache(maxsize=4096)
def _quoted(text: str) -> str:
    # Bare where that is plainly a word; `null`, `1e3` and the like would come back as another type.
    word = re.fullmatch(r"[A-Za-z_][\w./-]*", text, re.ASCII)
    if word and OverridesParser.create().parse_override(f"x={text}").value() == text:
        return text
    return QuotedString(text, Quote.single).with_quotes()
