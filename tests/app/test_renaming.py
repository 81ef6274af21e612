"""A package's name in texts of all kinds, given another."""

import ast
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caviar.app.renaming import can_name_a_package, renamed

OLD, NEW = "project", "pearls"
MENTIONS = [
    "import {0}", "import {0} as p", "import {0}.models.mlp", "from {0} import models",
    "from {0}.data import digits  # ours", "import os; import {0}; import sys",
    "_target_: {0}.models.mlp.MLP", "allow: [{0}.]", "allow=[mine., {0}.]", "python -m {0}.train", "pkg://{0}/configs",
    "src/{0}/train.py", "tests.{0}.test_mlp", "--cov={0}", "`{0}`", "see {0}/train.py",
    'packages = ["{0}", "caviar"]', "source = ['{0}']",
]  # fmt: skip
"""Where a text names the package."""
WORDS = [
    "This project is ours: a good project.", "[project]", "[project.scripts]", 'made["project"]',
    "projects", "my_project", "the project, and", "a-project.toml", "subproject.train",
    "my.project.train", "import projector", "name: my project", "docs/project/train.md",
    "wandb(project=...)",
]  # fmt: skip
"""Where it is a word, or a part of one, or another's."""
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(can_name_a_package)
LINES = st.lists(st.sampled_from([*[m.format(OLD) for m in MENTIONS], *WORDS]), max_size=8)
SUFFIX = st.sampled_from(["", ".md", ".py", ".toml", ".yaml", ".yml"])


@pytest.mark.parametrize("mention", MENTIONS)
def test_every_mention_of_the_package_gets_the_new_name(mention: str) -> None:
    assert renamed(mention.format(OLD), OLD, NEW, ".txt") == mention.format(NEW)


@pytest.mark.parametrize("word", WORDS)
def test_the_word_in_another_place_stays(word: str) -> None:
    for suffix in (".md", ".py", ".toml", ".yaml"):
        assert renamed(word, OLD, NEW, suffix) == word


def test_a_value_of_yaml_that_is_the_name_alone_is_one_and_elsewhere_is_none() -> None:
    text = "package: project  # ours\nname: project\nof: project work\n"
    told = "package: pearls  # ours\nname: pearls\nof: project work\n"
    assert renamed(text, OLD, NEW, ".yaml") == renamed(text, OLD, NEW, ".yml") == told
    assert renamed(text, OLD, NEW, ".md") == text


@given(lines=LINES, suffix=SUFFIX)
def test_lines_are_renamed_each_by_itself_and_once_is_enough(lines: list[str], suffix: str) -> None:
    text = "\n".join(lines)
    once = renamed(text, OLD, NEW, suffix)
    assert once.split("\n") == [renamed(line, OLD, NEW, suffix) for line in text.split("\n")]
    assert renamed(once, OLD, NEW, suffix) == once


@given(lines=LINES, suffix=SUFFIX, new=NAMES)
def test_renamed_and_renamed_back_it_is_what_it_was(
    lines: list[str], suffix: str, new: str
) -> None:
    text = "\n".join(lines)
    if not re.search(rf"\b{new}\b", text):
        assert renamed(renamed(text, OLD, new, suffix), new, OLD, suffix) == text


@given(
    new=NAMES,
    tail=st.lists(NAMES, max_size=3),
    alias=st.one_of(st.none(), NAMES),
    form=st.sampled_from(["import {0}{1}{2}", "from {0}{1} import thing{2}"]),
)
def test_whatever_form_an_import_has_it_imports_from_the_new_package(
    new: str, tail: list[str], alias: str | None, form: str
) -> None:
    dotted = "".join(f".{name}" for name in tail)
    line = form.format(OLD, dotted, f" as {alias}" if alias else "")
    (before,), (after,) = (ast.parse(text).body for text in (line, renamed(line, OLD, new, ".py")))

    def module(node: ast.stmt) -> str:
        return node.names[0].name if isinstance(node, ast.Import) else node.module or ""  # type: ignore

    assert module(before) == OLD + dotted
    assert module(after) == new + dotted
