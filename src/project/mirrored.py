"""Whether the code that lanes stand for is still the code they were written to stand for.

A lane computes what a Trainer would with the files below, and calls none of them. Whoever changes what
one of them does has his sweeps trained by a Trainer, as his single runs are, until it is accepted here.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

import caviar

_HERE = Path(__file__).resolve().parent
_MACHINERY = Path(caviar.__file__).resolve().parent

AS_WRITTEN = {
    "classifier.py": "dc90392de620",
    "supervised.py": "081c99240839",
    "train.py": "9d3c87b477d6",
    "data/datamodule.py": "bb56f69f9527",
    "caviar/lightning/batches.py": "8ee6702da4dc",
    "caviar/lightning/folds.py": "2b45d04d51db",
    "caviar/lightning/loggers.py": "a59e31dc854d",
    "caviar/lightning/making.py": "ccb02a9f231c",
    "caviar/lightning/optimizers.py": "102db3151f3a",
    "caviar/lightning/training.py": "6de91f0417e0",
    "caviar/lightning/callbacks/checkpoint.py": "4f43f92a8f20",
    "caviar/lightning/callbacks/early_stopping.py": "cebf5f011b58",
    "caviar/lightning/callbacks/epoch_seed.py": "30b7e92883c7",
    "caviar/lightning/callbacks/nan_guard.py": "1e67682b2f92",
    "caviar/lightning/callbacks/score.py": "97698b03ef63",
}
"""File -> its fingerprint. To accept a change, because lanes do the same (or it is nothing to them: a
print, a log line), put the fingerprint here that the sweep names."""


@cache
def changed() -> str | None:
    """The first file that does something else now, in words; None where all are as they were."""
    for name, written in AS_WRITTEN.items():
        if (now := fingerprint(place(name))) != written:
            shown = name if place(name).is_relative_to(_MACHINERY) else f"{_HERE.name}/{name}"
            why = f"{shown} was changed, and lanes know it as it was"
            return f"{why} ({_HERE.name}/mirrored.py may accept it: {now})"
    return None


def place(name: str) -> Path:
    """The file that a name of `AS_WRITTEN` means: of the machinery, or of this package."""
    return _MACHINERY.parent / name if name.startswith("caviar/") else _HERE / name


def fingerprint(path: Path) -> str:
    """Of what a file does: comments, docstrings, imports, layout and the package's name are left out."""
    text = "\n".join(_facts(ast.parse(path.read_text(encoding="utf-8"))))
    return sha256(re.sub(rf"\b{_HERE.name}\.", ".", text).encode()).hexdigest()[:12]


def _facts(node: ast.AST) -> Iterator[str]:
    """What a syntax tree says, a line a fact, the same in every version of Python."""
    if isinstance(node, ast.Import | ast.ImportFrom) or _is_docstring(node):
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


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
