"""`scripts/rename NAME`, on copies."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tests.setup.trees import PACKAGE, copy_tree, python_in

NEW = "zebra_lab"


def rename(tree: Path, *arguments: str):
    return python_in(tree, tree / "scripts" / "rename", *arguments)


def contents(tree: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(tree): path.read_bytes()
        for path in tree.rglob("*")
        if path.is_file() and not {".venv", "__pycache__"} & {*path.parts}
    }


def imports(tree: Path) -> set[str]:
    """The first word of every absolute import in the copy's Python files."""
    found = set()
    for path in [*tree.glob("src/**/*.py"), *tree.glob("tests/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("original") / "tree")


@pytest.fixture(scope="module")
def renamed_tree(tmp_path_factory) -> Path:
    tree = copy_tree(tmp_path_factory.mktemp("renamed") / "tree")
    (tree / ".venv").symlink_to(sys.prefix)
    (tree / "NOTES.md").write_text(
        f"This project is ours: a good project.\n"
        f"Run `python -m {PACKAGE}.train`, see src/{PACKAGE}/train.py and `{PACKAGE}`.\n"
    )
    done = rename(tree, NEW)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return tree


def test_what_was_made_under_the_old_name_is_told(tmp_path):
    tree = copy_tree(tmp_path / "tree")
    (tree / "outputs/runs/first").mkdir(parents=True)
    (tree / "outputs/sweeps/second").mkdir(parents=True)
    done = rename(tree, NEW)
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()[1]
    assert told.startswith(f"2 runs and sweeps in outputs keep the name {PACKAGE}: ")


def test_no_import_and_no_dotted_name_of_the_old_package_remains(original, renamed_tree):
    assert PACKAGE in imports(original)
    assert PACKAGE not in imports(renamed_tree)
    assert imports(renamed_tree) == imports(original) - {PACKAGE} | {NEW}
    assert not (renamed_tree / "src" / PACKAGE).exists()
    for folder in ("configs", "scripts", "src"):
        for path, content in contents(renamed_tree / folder).items():
            assert f"{PACKAGE}.train".encode() not in content, path
            assert f"_target_: {PACKAGE}.".encode() not in content, path


def test_sentences_and_tables_keep_the_word(renamed_tree):
    assert (renamed_tree / "NOTES.md").read_text() == (
        f"This project is ours: a good project.\n"
        f"Run `python -m {NEW}.train`, see src/{NEW}/train.py and `{NEW}`.\n"
    )
    pyproject = (renamed_tree / "pyproject.toml").read_text()
    assert "\n[project]\n" in pyproject
    assert "\n[project.optional-dependencies]\n" in pyproject
    assert f'"src/{NEW}"' in pyproject
    assert f'["{NEW}"]' not in (renamed_tree / "scripts" / "setup").read_text()


def test_the_renamed_tree_keeps_the_order_of_imports_and_the_format(renamed_tree):
    for command in (["check", "--select", "I"], ["format", "--check"]):
        done = python_in(renamed_tree, "-m", "ruff", *command, "--no-cache", ".")
        assert done.returncode == 0, done.stdout


def test_the_renamed_tree_sweeps(renamed_tree):
    short = ["hydra.sweeper.n_trials=2", "trainer.max_epochs=1", "name=first"]
    done = python_in(renamed_tree, "-m", f"{NEW}.train", "-m", *short)
    assert done.returncode == 0, done.stderr
    trials = renamed_tree / "outputs" / "sweeps" / "first" / "trials"
    assert len(list(trials.glob("*/result.json"))) == 2


def test_the_renamed_trees_own_tests_pass(renamed_tree):
    """All of them are imported; run are those on what a rename could break, for speed."""
    chosen = "imports or compose or mlp or classifier"
    ignored = ["--ignore=tests/setup", "-p", "no:cacheprovider"]
    done = python_in(renamed_tree, "-m", "pytest", "-q", *ignored, "-k", chosen)
    assert done.returncode == 0, done.stdout[-3000:]


def test_a_renamed_tree_can_be_renamed_again(renamed_tree, tmp_path, original):
    before = imports(original)
    assert rename(renamed_tree, PACKAGE + "_two").returncode == 0
    assert imports(renamed_tree) == before - {PACKAGE} | {PACKAGE + "_two"}
    assert rename(renamed_tree, NEW).returncode == 0
    assert imports(renamed_tree) == before - {PACKAGE} | {NEW}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("my-lab", "cannot name a package"),
        ("2fast", "cannot name a package"),
        ("MyLab", "cannot name a package"),
        ("class", "cannot name a package"),
        ("a/b", "cannot name a package"),
        ("", "cannot name a package"),
        ("null", "cannot name a package"),
        ("json", "standard library"),
        ("torch", "an installed package"),
        ("optuna_dashboard", "an installed package"),
        ("caviar", "this repository"),
        ("hydra_plugins", "this repository"),
        ("tests", "this repository"),
        (PACKAGE, "this repository"),
        ("setup", "this repository"),
    ],
)
def test_a_bad_name_is_refused_and_nothing_changes(original, name, words):
    before = contents(original)
    done = rename(original, name)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert contents(original) == before


@pytest.mark.parametrize("arguments", [(), ("a", "b"), ("--help",)])
def test_without_one_name_it_says_how_it_is_used(original, arguments):
    done = rename(original, *arguments)
    assert (done.returncode, done.stderr) == (2, "error: usage: scripts/rename NAME\n")
