"""Whether a project's files are the template's as it ships: lanes then know what they do without a look.

Nothing here asks anything of anybody: a changed file is trained as it is, by the lanes that call it.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

TRAINING = {
    "classifier.py": "4d24a8ef5b47",
    "supervised.py": "950018a4ba45",
}
"""What computes: file of the project -> its fingerprint, as it ships."""

AROUND = {"train.py": "d8dd092a0742"}
"""What a Trainer is given beside the module and its data, in the same way."""


@cache
def changed(package: Path, around: bool = False) -> str | None:
    """The first file of a project that does something else than the one that ships; None where none does.

    Args:
        package: the project's folder.
        around: of `AROUND`, not of `TRAINING`.
    """
    for name, shipped in (AROUND if around else TRAINING).items():
        path = package / name
        if not path.is_file() or fingerprint(path, package.name) != shipped:
            return f"{package.name}/{name}"
    return None


def fingerprint(path: Path, package: str) -> str:
    """Of what a file's training does.

    Comments, docstrings, imports, layout, the package's name and how the app begins are left out.
    """
    text = "\n".join(_facts(ast.parse(path.read_text(encoding="utf-8"))))
    return sha256(re.sub(rf"\b{package}\.", ".", text).encode()).hexdigest()[:12]


def _facts(node: ast.AST) -> Iterator[str]:
    """What a syntax tree says, a line a fact, the same in every version of Python."""
    if isinstance(node, ast.Import | ast.ImportFrom) or _is_docstring(node) or _is_entry(node):
        return
    yield type(node).__name__
    for field, value in ast.iter_fields(node):
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.AST):
                facts = list(_facts(one))
                yield from [field, *facts] if facts else []
            elif one is not None:
                yield f"{field} {one!r}"
    yield "end"


def _is_entry(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "caviar.main"


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
