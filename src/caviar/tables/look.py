"""A look at a table before it is trained on: what is odd in it, each with the setting that settles it."""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from caviar.space.quoting import as_text
from caviar.tables.cells import ISO, NO_NUMBER, decoded, folded, is_text, numbers, unit_of, words
from caviar.tables.features import FARTHEST, LARGEST
from caviar.tables.format import Format
from caviar.tables.names import column, listed, shown
from caviar.tables.preprocessing import Column
from caviar.tables.source import Source
from caviar.tables.split import Split, stratified_split
from caviar.tables.target import MULTILABEL, check_number, check_target, in_order

SHOWN = 12
"""Lines that are shown; of the others, how many they are."""
FEWEST_ROWS = 20
"""Of fewer rows nothing is odd: their values differ by chance."""
MOST_ROWS = 100_000
"""Of more rows, those that parts share are not looked for: it would take longer than reading them."""
_NEARLY = 0.9
_RARE = 0.1
_WRITTEN: tuple[dict[str, Any], ...] = (
    {"decimal": ","},
    *({"thousands": sign} for sign in ",. '"),
    {"decimal": ",", "thousands": "."},
)
"""Other ways to write numbers, in the order they are tried."""
_DATES = ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%Y/%m/%d")


@dataclass(frozen=True)
class Odd:
    """What is odd with a column, and what may be typed to settle it; empty: that it is left out."""

    name: str
    what: str
    settle: str = ""


def look(
    settings: Mapping[str, Any], val_fraction: float, test_fraction: float, split_seed: int = 0
) -> list[str]:
    """Lines about what is odd in a table; none where nothing is.

    Args:
        settings: of a `Source`; the others are those of the split.

    Raises:
        UsageError: it cannot be learnt from.
    """
    source = Source(**settings)
    table = source.table()
    kinds = source.kinds(table)
    found = [*_of_names(source)]
    task = source.task_of(table, val_fraction, test_fraction)
    target = None if source.labels else source.classes(table)
    said = (source.target, source.path, val_fraction, test_fraction)
    if task == MULTILABEL:
        labels = np.zeros(len(source.answers(table)), np.int64)
        codes = np.arange(len(labels))
    elif task == "regression":
        # No two rows are of a class, and the split takes no heed of the target.
        codes = np.arange(len(check_number(target, *said)))
        labels = np.zeros_like(codes)
    else:
        check_target(target, *said)
        codes = labels = in_order(target)[1]
        found += _of_target(source.target, target)
    for kind in kinds:
        found += _of_column(kind, column(table, kind.name), source, codes)
    split = stratified_split(labels, val_fraction, test_fraction, split_seed)
    found += _of_rows(table, source, split)
    return _lines(found, source)


def task_of_table(
    settings: Mapping[str, Any], val_fraction: float, test_fraction: float
) -> tuple[str, list[Any]]:
    """What the target of a table is for, one of `target.TASKS`, and its classes or labels.

    Raises:
        UsageError: they cannot be learnt.
    """
    source = Source(**settings)
    table = source.table()
    task = source.task_of(table, val_fraction, test_fraction)
    if task == "classification":
        words = source.classes(table)
        check_target(words, source.target, source.path, val_fraction, test_fraction)
        return task, in_order(words)[0]
    return task, source.targets if task == MULTILABEL else []


def _lines(found: Sequence[Odd], source: Source) -> list[str]:
    """A line each; columns with the same in one."""
    together: dict[tuple[str, str], list[str]] = defaultdict(list)
    for odd in found:
        together[odd.what, odd.settle].append(odd.name)
    lines = []
    for (what, settle), names in together.items():
        where = f"{listed(names)}: " if names[0] else ""
        lines.append(f"{where}{what}: {settle or _ignore(names)}")
    if len(lines) > SHOWN:
        lines = [*lines[:SHOWN], f"and {len(lines) - SHOWN} more oddities in {source.path}"]
    return lines


def _of_names(source: Source) -> Iterator[Odd]:
    form = Format()
    found, wrong = numbers(pa.array(source.names), form)
    counted = source.names == [str(i) for i in range(len(source.names))]
    if np.isfinite(found).all() and not wrong.any() and not counted:
        what = f"the first row ({listed(source.names)}) is taken for names, and holds numbers"
        yield Odd("", what, f"put names above it in {source.path}")


def _of_target(name: str, target: Any) -> Iterator[Odd]:
    counts = Counter(target.to_pylist()).most_common()
    fair = len(target) / len(counts)
    rare = [f"{shown(word)} ({rows})" for word, rows in counts if rows < _RARE * fair]
    if rare:
        few = f"few of the {len(target)} rows are of class {listed(rare)}"
        yield Odd(name, few, "model.loss.class_weights=balanced")
    yield from _of_spellings(name, [word for word, _ in counts])


def _of_column(kind: Column, cells: Any, source: Source, codes: NDArray[np.int64]) -> Iterator[Odd]:
    array = decoded(cells)
    rows = len(array)
    chosen = kind.name in source.categories or pa.types.is_dictionary(cells.type)
    if kind.values is not None and is_text(array.type) and not chosen:
        odd = _not_all_numbers(kind.name, array, source.format) or _dates(kind.name, array)
        if odd:
            yield odd
            return
    if kind.values is not None:
        met = words(cells, source.format)
        distinct = met.drop_null().unique()
        yield from _of_spellings(kind.name, distinct.to_pylist())
        values = met.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
        count = len(distinct)
        if rows >= FEWEST_ROWS and count >= _NEARLY * rows:
            yield Odd(kind.name, "nearly every value is another, as in a row's id, or a text")
            return
    else:
        known = numbers(cells, source.format, kind.unit, kind.time)[0]
        different, values = np.unique(known, return_inverse=True)
        count = int(np.isfinite(different).sum())
        if rows >= FEWEST_ROWS and _counts_up(known):
            yield Odd(kind.name, "counts the rows, as a saved index or an id does")
            return
        far = _too_far(known)
        if far is not None:
            what = f"{known[far]:.4g} in row {far + 1} is too large, and may count as missing"
            yield Odd(kind.name, what, _typed(f"data.na_values={as_text([str(array[far])])}"))
    if count + bool(array.null_count) <= 1 and rows:
        yield Odd(kind.name, "has one value only")
    elif rows >= FEWEST_ROWS and _gives_away(values, codes):
        yield Odd(kind.name, f"tells {shown(source.target)}: each of its values has one class only")


def _of_spellings(name: str, distinct: Sequence[str]) -> Iterator[Odd]:
    alike: dict[str, list[str]] = defaultdict(list)
    for word in distinct:
        alike[folded(word)].append(word)
    for written in alike.values():
        if len(written) > 1:
            trimmed = len({word.strip() for word in written}) == 1
            both = " and ".join(map(repr, sorted(written)[:2]))
            settle = f"data.words={'trimmed' if trimmed else 'folded'}"
            yield Odd(name, f"{both} are two words", settle)
            return


def _not_all_numbers(name: str, array: Any, form: Format) -> Odd | None:
    """Text that is mostly numbers, or all of it where they are written in another way."""
    there = array.drop_null()
    found, wrong = numbers(there, form)
    right = np.isfinite(found).sum()
    for other in _WRITTEN:
        if other.get("decimal", form.decimal) == other.get("thousands", form.thousands):
            continue
        parsed, left = numbers(there, replace(form, **other))
        if not left.any() and np.isfinite(parsed).any() and right < len(there):
            example = str(there[int(wrong.argmax())])
            settle = " ".join(_typed(f"data.{k}={as_text(v)}") for k, v in other.items())
            return Odd(name, f"numbers such as {example!r} are words, each a category", settle)
    if len(there) == 0 or right < len(there) / 2:
        return _mixed_units(name, there, form)
    odd_ones = list(dict.fromkeys(there.filter(pa.array(wrong)).to_pylist()))
    examples = ", ".join(repr(word) for word in odd_ones[:3])
    more = f" and {len(odd_ones) - 3} more" if len(odd_ones) > 3 else ""
    verb = "is" if len(odd_ones) == 1 else "are"
    what = f"{right} of {len(there)} values are numbers; {examples}{more} {verb} not: each is a category"
    settle = _typed(f"data.na_values={as_text(odd_ones[:3])}")
    return Odd(name, what, f"{settle} (or {_typed(f'data.categories=[{as_text(name)}]')})")


def _mixed_units(name: str, there: Any, form: Format) -> Odd | None:
    unit = unit_of(there.slice(0, 1).to_pylist())
    if unit is None:
        return None
    wrong = numbers(there, form, unit)[1]
    if wrong.mean() > 0.5 or not wrong.any():
        return None
    example = str(there[int(wrong.argmax())])
    what = f"{(~wrong).sum()} of {len(there)} values are numbers with {unit}; {example!r} is not"
    return Odd(name, what, _typed(f"data.na_values={as_text([example])}"))


def _dates(name: str, array: Any) -> Odd | None:
    """Text that holds dates alone."""
    distinct = [word for word in array.unique().to_pylist() if word and word not in NO_NUMBER]
    few = [word for word in distinct[:1000] if re.search(r"\d\D+\d", word)]
    if not few or len(few) < min(len(distinct), 1000):
        return None
    for written in (ISO, *_DATES):
        if not numbers(pa.array(few), Format(), time=written)[1].any():
            how = f"[{as_text(name)}]" if written == ISO else f"{{{as_text(name)}: {written}}}"
            return Odd(name, "dates, each of which is a category", _typed(f"data.dates={how}"))
    return None


def _counts_up(known: NDArray[np.float64]) -> bool:
    steps = np.diff(known)
    return bool(len(steps)) and bool((steps == steps[0]).all()) and abs(steps[0]) == 1


def _too_far(known: NDArray[np.float64]) -> int | None:
    """The row of a number beyond float32, or so far from the middle that it is no measurement."""
    there = known[~np.isnan(known)]
    if not len(there):
        return None
    middle = np.median(there)
    spread = np.median(np.abs(there - middle)) or np.finfo(np.float32).max
    with np.errstate(over="ignore", invalid="ignore"):
        far = (np.abs(known) > LARGEST) | (np.abs(known - middle) / spread > FARTHEST)
    return int(far.argmax()) if far.any() else None


def _gives_away(values: NDArray[Any], codes: NDArray[np.int64]) -> bool:
    """Whether each value has one class only, and enough rows that this is no chance."""
    distinct, places = np.unique(values, return_inverse=True)
    if len(distinct) < 2 or len(distinct) > len(values) / 5:
        return False
    pairs = np.unique(np.stack([places, codes]), axis=1).shape[1]
    return pairs == len(distinct)


def _of_rows(table: pa.Table, source: Source, split: Split) -> Iterator[Odd]:
    """Rows outside of the training part that are in it too, where most rows are there once."""
    if table.num_rows > MOST_ROWS:
        return
    same = source.fingerprints(table)
    others = np.concatenate([split.val, split.test])
    known = int(np.isin(same[others], same[split.train]).sum())
    if known and len(others) >= FEWEST_ROWS and len(np.unique(same)) > len(same) / 2:
        what = f"{known} of the {len(others)} rows for validation and test are in the training part"
        yield Odd("", what, "data.drop_duplicates=true")


def _ignore(names: Sequence[str]) -> str:
    some = ",".join(map(as_text, names[:5]))
    return _typed(f"data.ignore=[{some}{',…' if len(names) > 5 else ''}]")


def _typed(override: str) -> str:
    """An override as a shell takes it, in the quotes that are easier to read."""
    plain = "'" in override and not set(override) & set('"$`!\\')
    return f'"{override}"' if plain else shlex.quote(override)
