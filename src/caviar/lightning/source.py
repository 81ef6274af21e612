"""What kind of class a ``_target_`` is, read off its source: a sweep's controller imports no torch."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

_DEEPEST = 8


def is_network(target: object) -> bool:
    """Whether ``target`` is sure to be a network, no LightningModule: it derives from `torch.nn` alone."""
    return isinstance(target, str) and _derives(target, _DEEPEST)


def _derives(target: str, deepest: int) -> bool:
    if target.startswith("torch.nn."):
        return True
    bases = _bases(target) if deepest else None
    return bool(bases) and all(_derives(base, deepest - 1) for base in bases)


def _bases(target: str) -> list[str] | None:
    """The full names of a class's bases; None where its source is not at hand."""
    module, _, name = target.rpartition(".")
    file = _file(module)
    if file is None:
        return None
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None
    known: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            known |= {one.asname: one.name for one in node.names if one.asname}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            known |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
        elif isinstance(node, ast.ClassDef):
            known[node.name] = f"{module}.{node.name}"
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return [_full(ast.unparse(base), known) for base in node.bases]
    imported = known.get(name)
    return _bases(imported) if imported and imported != target else None


def _full(name: str, known: dict[str, str]) -> str:
    first, dot, rest = name.partition("[")[0].partition(".")
    return known.get(first, first) + dot + rest


def _file(module: str) -> Path | None:
    """The file of a module; nothing is imported to find it."""
    top, *parts = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    for place in (spec and spec.submodule_search_locations) or []:
        path = Path(place).joinpath(*parts)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None
