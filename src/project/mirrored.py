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

_HERE = Path(__file__).resolve().parent

AS_WRITTEN = {
    "classifier.py": "ff56b31e5269",
    "train.py": "f29512c0a39d",
    "optimizers.py": "01833b8c0305",
    "folds.py": "af0a29a4c2f1",
    "loggers.py": "a59e31dc854d",
    "callbacks/checkpoint.py": "4f43f92a8f20",
    "callbacks/early_stopping.py": "cebf5f011b58",
    "callbacks/epoch_seed.py": "6f57e6b078af",
    "callbacks/nan_guard.py": "923575c8f831",
    "callbacks/score.py": "0a36c55a4c1e",
    "data/batches.py": "8ee6702da4dc",
    "data/datamodule.py": "080b630799f9",
}
"""File -> its fingerprint. To accept a change, because lanes do the same (or it is nothing to them: a
print, a log line), put the fingerprint here that the sweep names."""


@cache
def changed() -> str | None:
    """The first file that does something else now, in words; None where all are as they were."""
    for name, written in AS_WRITTEN.items():
        if (now := fingerprint(_HERE / name)) != written:
            why = f"{_HERE.name}/{name} was changed, and lanes know it as it was"
            return f"{why} ({_HERE.name}/mirrored.py may accept it: {now})"
    return None


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
