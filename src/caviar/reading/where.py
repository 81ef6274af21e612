"""Conditions on runs: ``optimizer.lr < 1e-3 and state == 'COMPLETE'``, parsed, never run as Python.

Names are columns, comparisons may be chained, and there are ``and``, ``or``, ``not``, ``in``. A name that
is no Python name (``model.0.width``) is written ``col('model.0.width')``; ``val/acc`` may stand as it is.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

from caviar.base.errors import UsageError, usage_error

Get = Callable[[str], Any]
"""A run's value of a column; None where it has none."""

Condition = Callable[[Get], bool]
Term = Callable[[Get], Any]

_ORDERED: dict[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class UnknownColumnError(UsageError):
    """No column is called ``name``."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name


class Parsed:
    """A condition that was read; call it with a run's ``get``."""

    def __init__(self, text: str, holds: Condition, compared: dict[str, Any]) -> None:
        self._text = text
        self._holds = holds
        self._compared = compared

    def __call__(self, get: Get) -> bool:
        return self._holds(get)

    def check(self) -> None:
        """Raise UsageError where a comparison met values, but in no run any that can be compared."""
        for part, clash in self._compared.items():
            if clash is not None:
                a, b = clash
                raise usage_error(
                    "where", self._text, f"{part} compares {a!r} with {b!r}; in no run can that be"
                )


def parse(text: str, columns: Iterable[str]) -> Parsed:
    """Read a condition.

    A run without a column fails every comparison of it but ``== None``; so does one that holds a word
    where a number is compared, as in a column that has both.

    Args:
        text: the condition.
        columns: what there is; see `resolve` for how a column may be shortened.

    Raises:
        UsageError: it cannot be read, does what a condition may not, or names no column.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error) or "too deep"
        raise usage_error("where", text, f"not readable ({reason}{_slip(text)})") from None
    try:
        reader = _Reader(text, list(columns))
        return Parsed(text, reader.condition(tree), reader.compared)
    except RecursionError:
        raise usage_error("where", text, "too deep") from None


def _slip(text: str) -> str:
    """What somebody who is used to SQL may have meant."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", text)
    if re.search(r"[^=<>!]=[^=]", bare):
        return "; equality is written =="
    return "; and, or, not are written small" if re.search(r"\b(AND|OR|NOT)\b", bare) else ""


def resolve(key: str, name: str, columns: Iterable[str]) -> str:
    """The column that ``name`` means: itself, or the one column that ends in ``.name``.

    Raises:
        UsageError: there is none, or more than one; ``key`` is the setting that named it.
    """
    columns = list(columns)
    if name in columns:
        return name
    found = [c for c in columns if c.endswith((f".{name}", f"/{name}"))]
    if len(found) == 1:
        return found[0]
    if found:
        raise usage_error(key, name, "more than one column ends so", found)
    from caviar.base.errors import nearest

    near = nearest(name, [*columns, *(c.rpartition(".")[2] for c in columns)])
    hint = f"; did you mean {near}?" if near else ""
    if not hint and key == "where":
        hint = f"; a word stands in quotes: '{name}'"
    text = f"{key}={name}: no such column{hint} (--all-columns shows what there is)"
    raise UnknownColumnError(text, name)


class _Reader:
    """Turns the nodes that a condition may have into functions; refuses all others."""

    def __init__(self, text: str, columns: list[str]) -> None:
        self._text = text
        self._columns = columns
        # For each comparison by order that was made: None where it could be, else the values.
        self.compared: dict[str, Any] = {}

    def condition(self, node: ast.expr) -> Condition:
        if isinstance(node, ast.BoolOp):
            parts = [self.condition(part) for part in node.values]
            together = all if isinstance(node.op, ast.And) else any
            return lambda get: together(part(get) for part in parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.condition(node.operand)
            return lambda get: not inner(get)
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        if self._name(node) is not None:
            term = self._term(node)
            return lambda get: bool(term(get))
        raise self._refuse(node)

    def _comparison(self, node: ast.Compare) -> Condition:
        terms = [self._term(part) for part in (node.left, *node.comparators)]
        tests = [self._test(op, node) for op in node.ops]

        def compare(get: Get) -> bool:
            values = [term(get) for term in terms]
            return all(test(a, b) for test, a, b in zip(tests, values, values[1:], strict=False))

        return compare

    def _test(self, op: ast.cmpop, node: ast.expr) -> Callable[[Any, Any], bool]:
        if type(op) in _ORDERED:
            return self._ordered(_ORDERED[type(op)], node)
        if isinstance(op, ast.Eq | ast.Is):
            return _equal
        if isinstance(op, ast.NotEq | ast.IsNot):
            return lambda a, b: not _equal(a, b)
        if isinstance(op, ast.In):
            return _contains
        if isinstance(op, ast.NotIn):
            return lambda a, b: not _contains(a, b)
        raise self._refuse(node)

    def _ordered(
        self, ordered: Callable[[Any, Any], bool], node: ast.expr
    ) -> Callable[[Any, Any], bool]:
        part = ast.get_source_segment(self._text.strip(), node) or self._text

        def test(a: Any, b: Any) -> bool:
            if _comparable(a, b):
                self.compared[part] = None
                return ordered(a, b)
            if a is not None and b is not None:
                self.compared.setdefault(part, (a, b))
            return False

        return test

    def _term(self, node: ast.expr) -> Term:
        name = self._name(node)
        if name is not None:
            column = resolve("where", name, self._columns)
            return lambda get: get(column)
        value = self._constant(node)
        return lambda get: value

    def _name(self, node: ast.expr) -> str | None:
        """The column that a node names, or None where it is no name."""
        if isinstance(node, ast.Name):
            return node.id
        if isinstance(node, ast.Attribute):
            parent = self._name(node.value)
            return None if parent is None else f"{parent}.{node.attr}"
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            left, right = self._name(node.left), self._name(node.right)
            return None if left is None or right is None else f"{left}/{right}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "col":
            plain = len(node.args) == 1 and not node.keywords
            if (
                plain
                and isinstance(node.args[0], ast.Constant)
                and isinstance(node.args[0].value, str)
            ):
                return node.args[0].value
        return None

    def _constant(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and isinstance(
            node.value, str | int | float | bool | None
        ):
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            value = self._constant(node.operand)
            if isinstance(value, int | float):
                return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return [self._constant(item) for item in node.elts]
        raise self._refuse(node)

    def _refuse(self, node: ast.AST) -> UsageError:
        part = ast.get_source_segment(self._text.strip(), node) or type(node).__name__
        return usage_error(
            "where",
            self._text,
            f"{part!r} cannot stand there; a condition compares columns with values, as in "
            "optimizer.lr < 1e-3 and state == 'COMPLETE'",
        )


def _comparable(a: Any, b: Any) -> bool:
    return (isinstance(a, int | float) and isinstance(b, int | float)) or (
        isinstance(a, str) and isinstance(b, str)
    )


def _equal(a: Any, b: Any) -> bool:
    # True is 1 in Python, but `dropout == True` is not asked of a number.
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def _contains(a: Any, b: Any) -> bool:
    if isinstance(b, list):
        return any(_equal(a, item) for item in b)
    return isinstance(a, str) and isinstance(b, str) and a in b
