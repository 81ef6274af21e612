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

from caviar.base.errors import UsageError, nearest, usage_error

Get = Callable[[str], Any]
"""A run's value of a column; None where it has none."""

Test = Callable[[Get], Any]
Relation = Callable[[Any, Any], bool]

_ORDERED: dict[type, Relation] = {
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


def parse(text: str, columns: Iterable[str]) -> Condition:
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
        return Condition(text, tree, list(columns))
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
    near = nearest(name, [*columns, *(c.rpartition(".")[2] for c in columns)])
    hint = f"; did you mean {near}?" if near else ""
    if not hint and key == "where":
        hint = f"; a word stands in quotes: '{name}'"
    text = f"{key}={name}: no such column{hint} (--all-columns shows what there is)"
    raise UnknownColumnError(text, name)


class Condition:
    """A condition that was read, for a run's ``get``; a node that it may not have is refused."""

    def __init__(self, text: str, tree: ast.expr, columns: list[str]) -> None:
        self._text = text
        self._columns = columns
        # For each comparison by order that was made: None where it could be, else the values.
        self._compared: dict[str, Any] = {}
        self._holds = self._test(tree)

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

    def _test(self, node: ast.expr) -> Test:
        match node:
            case ast.BoolOp():
                parts = [self._test(part) for part in node.values]
                together = all if isinstance(node.op, ast.And) else any
                return lambda get: together(part(get) for part in parts)
            case ast.UnaryOp(op=ast.Not()):
                inner = self._test(node.operand)
                return lambda get: not inner(get)
            case ast.Compare():
                return self._comparison(node)
        if self._name(node) is None:
            raise self._refuse(node)
        term = self._term(node)
        return lambda get: bool(term(get))

    def _comparison(self, node: ast.Compare) -> Test:
        terms = [self._term(part) for part in (node.left, *node.comparators)]
        tests = [self._relation(op, node) for op in node.ops]

        def compare(get: Get) -> bool:
            values = [term(get) for term in terms]
            return all(test(a, b) for test, a, b in zip(tests, values, values[1:], strict=False))

        return compare

    def _relation(self, op: ast.cmpop, node: ast.expr) -> Relation:
        if type(op) in _UNORDERED:
            return _UNORDERED[type(op)]
        ordered = _ORDERED[type(op)]
        part = ast.get_source_segment(self._text.strip(), node) or self._text

        def test(a: Any, b: Any) -> bool:
            if _comparable(a, b):
                self._compared[part] = None
                return ordered(a, b)
            if a is not None and b is not None:
                self._compared.setdefault(part, (a, b))
            return False

        return test

    def _term(self, node: ast.expr) -> Test:
        name = self._name(node)
        if name is not None:
            column = resolve("where", name, self._columns)
            return lambda get: get(column)
        value = self._constant(node)
        return lambda get: value

    def _name(self, node: ast.expr) -> str | None:
        """The column that a node names, or None where it is no name."""
        match node:
            case ast.Name(id=name):
                return name
            case ast.Attribute():
                parent = self._name(node.value)
                return None if parent is None else f"{parent}.{node.attr}"
            case ast.BinOp(op=ast.Div()):
                left, right = self._name(node.left), self._name(node.right)
                return None if left is None or right is None else f"{left}/{right}"
            case ast.Call(
                func=ast.Name(id="col"), args=[ast.Constant(value=str(name))], keywords=[]
            ):
                return name
        return None

    def _constant(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=str() | int() | float() | None):
                return node.value
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                value = self._constant(node.operand)
                if isinstance(value, int | float):
                    return -value if isinstance(node.op, ast.USub) else value
            case ast.List() | ast.Tuple() | ast.Set():
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


_UNORDERED: dict[type, Relation] = {
    **dict.fromkeys((ast.Eq, ast.Is), _equal),
    **dict.fromkeys((ast.NotEq, ast.IsNot), lambda a, b: not _equal(a, b)),
    ast.In: _contains,
    ast.NotIn: lambda a, b: not _contains(a, b),
}
