"""Damage within a file that can be parsed still: other values, other keys, harm hidden in it."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import yaml

DEEP = 100_000
SECRET = "canary-of-a-secret"
ODD: list[Any] = [
    *(
        [],
        {},
        [1, 2],
        [[]],
        {"a": 1},
        [None],
        None,
        True,
        False,
        "",
        "x",
        "x" * 1_000_000,
        0,
        -1,
        1e308,
    ),
    *(
        10**400,
        -(10**400),
        2**63,
        0.5,
        float("nan"),
        float("inf"),
        "nan",
        "1e999",
        "2020-13-45",
        "1",
    ),
    *(
        "\x1b[31mred\x07\x00",
        "two\nlines",
        "\ud800",
        "../../outside/files/x",
        "/etc/hostname",
        "\u202e",
    ),
    *(
        "/dev/zero",
        "-1",
        "${oc.env:HOME}",
        "${x",
        "%(x)s",
        "[red]x[/",
        "choice(",
        "<script>",
        "9" * 5000,
    ),
    *("COMPLETE", "RUNNING", "FAIL", "2020-01-01", "Interrupted", "module.x", [1, "x", None, {}]),
]


class Harm:
    """Unpickled, it makes a file."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.where}",)


class _Raw(str):
    """Stands in JSON as it is."""


def _write(file: Path, data: Any) -> None:
    if file.suffix == ".yaml":
        file.write_text(yaml.dump(data, sort_keys=False), errors="replace")
    else:
        raw: list[str] = []

        def hold(node: Any) -> Any:
            if isinstance(node, _Raw):
                raw.append(str(node))
                return f"@{len(raw) - 1}@"
            if isinstance(node, dict):
                return {key: hold(value) for key, value in node.items()}
            return [hold(value) for value in node] if isinstance(node, list) else node

        text = json.dumps(hold(data))
        for index, part in enumerate(raw):
            text = text.replace(f'"@{index}@"', part)
        file.write_text(text + "\n", errors="replace")


def _read(file: Path) -> Any:
    return (
        yaml.safe_load(file.read_text()) if file.suffix == ".yaml" else json.loads(file.read_text())
    )


def _a_place(node: Any, chance: Random) -> tuple[Any, Any] | None:
    """A container in ``node``, and a key or an index of it."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            places.append((node, key))
            if isinstance(value, dict | list):
                walk(value)

    if isinstance(node, dict | list):
        walk(node)
    # What is on top has as good a chance as the hundred keys below it.
    top = [place for place in places if place[0] is node]
    return chance.choice(chance.choice((places, top))) if places else None


def _change(data: Any, chance: Random, by: Callable[[Any, Any], None]) -> Any:
    place = _a_place(data, chance)
    if place is not None:
        by(*place)
    return data


def _value(file: Path, chance: Random, outside: Path) -> None:
    data = _read(file)
    for _ in range(chance.choice((1, 1, 3))):
        _change(data, chance, lambda at, key: at.__setitem__(key, chance.choice(ODD)))
    _write(file, data)


def _top(file: Path, chance: Random, outside: Path) -> None:
    _write(file, chance.choice(ODD))


def _key_gone(file: Path, chance: Random, outside: Path) -> None:
    _write(file, _change(_read(file), chance, lambda at, key: at.__delitem__(key)))


def _key_changed(file: Path, chance: Random, outside: Path) -> None:
    def by(at: Any, key: Any) -> None:
        if isinstance(at, dict):
            names = [c for c in ODD if isinstance(c, str | int | None)]
            at[chance.choice(names)] = at.pop(key)

    _write(file, _change(_read(file), chance, by))


def _key_more(file: Path, chance: Random, outside: Path) -> None:
    def by(at: Any, key: Any) -> None:
        if isinstance(at, dict):
            at[chance.choice(("x", "__class__", "epoch", "hydra", "defaults", "schema"))] = (
                chance.choice(ODD)
            )

    _write(file, _change(_read(file), chance, by))


def _key_twice(file: Path, chance: Random, outside: Path) -> None:
    lines = file.read_text().splitlines(keepends=True) or ["a: 1\n"]
    line = chance.choice(lines)
    if file.suffix == ".yaml":
        file.write_text("".join(lines) + line)
    else:
        file.write_text(file.read_text().replace("{", '{"state": 1, "state": [], "params": 3, ', 1))


def _target(file: Path, chance: Random, outside: Path) -> None:
    """Something that would make a file, if it were brought to life."""
    harm = {"_target_": chance.choice(("os.system", "evil.make", "project.data.table.os.system"))}
    harm["command"] = f"touch {outside.parent / 'harm-target'}"
    _write(file, _change(_read(file), chance, lambda at, key: at.__setitem__(key, harm)))


def _program(file: Path, chance: Random, outside: Path) -> None:
    """A program that would make a file, where the one that was run is recorded."""
    data = _read(file)
    code = f"open({str(outside.parent / 'harm-program')!r}, 'w')"
    script = outside / "files" / "evil.py"
    if isinstance(data, dict):
        for key, value in (
            ("command", ["python", *chance.choice((["-c", code], [str(script)], ["-m", "evil"]))]),
            ("module", chance.choice(("evil", "project.evil", "timeit"))),
            ("script", str(script)),
        ):
            for node in (data, data.get("facts", {}).get("program", {})):
                if key in node and chance.random() < 0.7:
                    node[key] = value
    _write(file, data)


def _deep_value(file: Path, chance: Random, outside: Path) -> None:
    deep = _Raw("[" * DEEP + "]" * DEEP)
    if file.suffix == ".yaml":
        lines = file.read_text().splitlines()
        at = chance.randrange(len(lines) or 1)
        head = lines[at].partition(":")[0] if lines else "x"
        file.write_text("\n".join([*lines[:at], f"{head}: {deep}", *lines[at + 1 :]]))
    else:
        _write(file, _change(_read(file), chance, lambda at, key: at.__setitem__(key, deep)))


def _bomb(file: Path, chance: Random, outside: Path) -> None:
    """Each line nine times the one before."""
    names = "abcdefghijklm"
    lines = ['a: &a ["x","x","x","x","x","x","x","x","x"]']
    lines += [f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in itertools.pairwise(names)]
    file.write_text("\n".join([*lines, file.read_text()]))


def _recursive(file: Path, chance: Random, outside: Path) -> None:
    lines = file.read_text().splitlines()
    at = chance.randrange(len(lines) or 1)
    head = lines[at].partition(":")[0] if lines else "x"
    file.write_text(
        "\n".join([*lines[:at], f"{head}: &loop [*loop, {{a: *loop}}]", *lines[at + 1 :]])
    )


def _tags(file: Path, chance: Random, outside: Path) -> None:
    tag = chance.choice((
        f"!!python/object/apply:os.system ['touch {outside.parent / 'harm-tag'}']",
        "!!python/name:os.system", "!!binary aGk=", "!!set {a, b}", "!!timestamp 2001-12-14",
        "2001-12-14 21:59:43", "!unknown 1", "!!omap [a: 1]", "{[1, 2]: 3}", "{? {a: 1} : 2}", "!!float x",
        "<<: {a: 1}", "&a !!null", "0o7777", "1:30:00", "=", "0x", "!!int ''", "!!bool x", "*unknown",
    ))  # fmt: skip
    lines = file.read_text().splitlines()
    at = chance.randrange(len(lines) or 1)
    head = lines[at].partition(":")[0] if lines else "x"
    file.write_text("\n".join([*lines[:at], f"{head}: {tag}", *lines[at + 1 :]]))


def _line(file: Path, chance: Random, outside: Path) -> None:
    """A line of JSON, changed, moved, repeated or made something else."""
    lines = file.read_text().splitlines()
    at = chance.randrange(len(lines) or 1)
    held = lines[at] if lines else "{}"
    changed = chance.choice(
        ("value", "value", "value", "gone", "twice", "moved", "odd", "deep", "key")
    )
    if changed in ("value", "key"):
        data = json.loads(held)
        by = "__delitem__" if changed == "key" else "__setitem__"
        rest = () if changed == "key" else (chance.choice(ODD),)
        held = json.dumps(_change(data, chance, lambda at, key: getattr(at, by)(key, *rest)))
    new = {"gone": [], "twice": [held, held], "odd": [json.dumps(chance.choice(ODD))]}
    new["deep"] = ["[" * DEEP + "]" * DEEP]
    lines[at : at + 1] = new.get(changed, [held])
    if changed == "moved":
        chance.shuffle(lines)
    file.write_text("".join(f"{line}\n" for line in lines), errors="replace")


def _pickle_in_study(file: Path, chance: Random, outside: Path) -> None:
    """In an attribute, where CMA-ES keeps its optimizer."""
    text = pickle.dumps(Harm(outside.parent / "harm-study")).hex()
    lines = file.read_text().splitlines()
    keys = ("cma:optimizer:0", "cma:optimizer:0", "sepcma:optimizer:0", "cma:optimizer:x", "x")
    op, name = chance.choice(
        ((9, "system_attr"), (8, "user_attr"), (2, "user_attr"), (3, "system_attr"))
    )
    log: dict[str, Any] = {"op_code": op, "worker_id": "x", "trial_id": 0, "study_id": 0}
    log[name] = {chance.choice(keys): text}
    at = next((i for i, line in enumerate(lines) if '"op_code":6' in line), len(lines))
    file.write_text("\n".join([*lines[:at], json.dumps(log), *lines[at:]]) + "\n")


def _cells(file: Path, chance: Random, outside: Path) -> None:
    rows = list(csv.reader(io.StringIO(file.read_text()))) or [["a"]]
    for _ in range(chance.choice((1, 1, 5))):
        row = chance.choice(rows)
        odd = (
            "nan",
            "",
            "x",
            "1e999",
            "-inf",
            "0x10",
            "9" * 400,
            "x" * 200_000,
            "\0",
            "a,b",
            '"',
            "1_0",
            "²",
        )
        how = chance.choice(("cell", "cell", "more", "less", "twice"))
        if how == "cell" and row:
            row[chance.randrange(len(row))] = chance.choice(odd)
        elif how == "more":
            row.append(chance.choice(odd))
        elif how == "less" and row:
            row.pop()
        elif row:
            row[chance.randrange(len(row))] = row[0]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", escapechar="\\").writerows(rows)
    file.write_text(text.getvalue())


def _checkpoint_pickle(file: Path, chance: Random, outside: Path) -> None:
    import torch

    harm = Harm(outside.parent / "harm-checkpoint")
    if chance.random() < 0.3:
        file.write_bytes(pickle.dumps(harm))
        return
    held = torch.load(file, weights_only=True)
    held[chance.choice(("callbacks", "hyper_parameters", "state_dict", "x"))] = harm
    torch.save(held, file)


def _checkpoint_value(file: Path, chance: Random, outside: Path) -> None:
    import torch

    held = torch.load(file, weights_only=True)
    odd = [
        *(o for o in ODD if o != "\ud800"),
        torch.zeros(3),
        torch.zeros(0, 2),
        torch.tensor(float("nan")),
    ]
    _change(held, chance, lambda at, key: at.__setitem__(key, chance.choice(odd)))
    torch.save(held, file)


def _checkpoint_target(file: Path, chance: Random, outside: Path) -> None:
    import torch

    held = torch.load(file, weights_only=True)
    harm = {"_target_": "os.system", "command": f"touch {outside.parent / 'harm-target'}"}
    _change(held, chance, lambda at, key: at.__setitem__(key, harm))
    torch.save(held, file)


_TREE = {
    "a value": _value, "another value": _value, "the whole a value": _top, "a key gone": _key_gone,
    "a key changed": _key_changed, "a key more": _key_more, "a key twice": _key_twice,
    "a target": _target, "a program": _program, "a deep value": _deep_value,
}  # fmt: skip
KINDS = {
    (".json", ".yaml"): _TREE,
    (".yaml",): {"a bomb": _bomb, "recursive": _recursive, "a tag": _tags},
    (".jsonl", ".journal"): {"a line": _line, "another line": _line},
    (".journal",): {"a pickle": _pickle_in_study},
    (".csv",): {"cells": _cells},
    (".ckpt",): {
        "a pickle": _checkpoint_pickle, "a value": _checkpoint_value, "a target": _checkpoint_target
    },
}  # fmt: skip
"""Kinds of damage, by the suffixes of the files that can take them."""
