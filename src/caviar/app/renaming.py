"""A package's name in a text, given another. It imports nothing of caviar: `scripts/rename` reads it."""

import keyword
import re

YAML_WORDS = {"false", "no", "none", "null", "off", "on", "true", "yes"}
SUFFIXES = {"", ".cfg", ".ini", ".ipynb", ".md", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml"}
"""Endings of files that name a package."""


def can_name_a_package(name: str) -> bool:
    """Whether ``name`` is one of a package, in Python and in YAML."""
    odd = keyword.iskeyword(name) or name in YAML_WORDS
    return bool(re.fullmatch(r"[a-z][a-z0-9_]*", name)) and not odd


def renamed(text: str, old: str, new: str, suffix: str) -> str:
    """`text` with every mention of the package `old` made one of `new`."""
    word = re.escape(old)
    patterns = [
        rf"(?<![\w.\[/-]){word}(?=\.[\w*])",  # old.models, but not [old.scripts]
        rf"(?<=[\"'`]){word}(?=\.[\"'`])",  # "old."
        rf"(?<=\[){word}(?=\.[],])|(?<=, ){word}(?=\.[],])",  # allow: [old.]
        rf"(?<=pkg://){word}\b",
        rf"(?<=\bfrom ){word}(?= import\b)",
        rf"(?<=\bimport ){word}(?= as\b|[\"'`;),]|\s*(?:#.*)?$)",
        rf"(?<=\bsrc[/.]){word}\b",
        rf"(?<=\btests[/.]){word}\b",
        rf"(?<![\w./-]){word}(?=/)",  # old/train.py, in a drawn tree or a wheel
        rf"(?<=--cov=){word}\b",
        rf"(?<=`){word}(?=`)",
        # "old", but not a key looked up in a table: config["old"].
        rf"(?<![\w\])]\[[\"'])(?<=([\"'])){word}(?=\1)",
    ]
    if suffix in {".yaml", ".yml"}:
        patterns.append(rf"(?<=: ){word}(?=\s*(?:#.*)?$)")
    for pattern in patterns:
        text = re.sub(pattern, new, text, flags=re.MULTILINE)
    return text
