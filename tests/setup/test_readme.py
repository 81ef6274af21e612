"""Every command of the READMEs, run as it stands there, in copies of the repository.

The commands are read off them, so none can be forgotten. One that would take long is run
smaller (`SMALLER`); one that cannot be run here is named with its reason (`NOT_RUN`). A section's
commands are run in order, each section in a copy of its own with the same sweeps and runs in it.
`scripts/…` start interpreters; of ``python -m …`` and `caviar`, the first is one, and the others are
copies of a process that has imported the tree's code (see `tests.copies`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby, repeat
from pathlib import Path

import pytest

from caviar.runs.ours import mark
from tests.copies import begun
from tests.setup.trees import PACKAGE, ROOT, SITE_PACKAGES, copy_tree, environment
from tests.waiting import until

READMES = [
    "README.md",
    f"src/{PACKAGE}/README.md",
    f"src/{PACKAGE}/lessons/README.md",
    "src/caviar/README.md",
    "src/caviar/engines/README.md",
    "src/caviar/executors/README.md",
    "src/caviar/sweep/README.md",
    "src/caviar/panda/README.md",
    "scripts/bench.d/README.md",
]
"""Those that tell a user what to type."""

BENCHES = ROOT / "scripts/bench.d"

SECONDS = 240
"""After which a command is stuck, on a machine however busy."""

MEASURES = re.compile(r"scripts/bench (\w+)")
"""Minutes of measuring, on a machine that does nothing else: these are not run either."""

NOT_RUN = {
    "scripts/test --oldest": "installs other versions into a venv of its own: network, minutes",
    "scripts/test --newest": "installs other versions into a venv of its own: network, minutes",
    f"python -m {PACKAGE}.train -m executor=listen": "waits for an agent: tests/executors",
    "caviar join FOLDER_OR_TOKEN_FILE HOST:PORT": "waits for a sweep: tests/executors",
    f"python -m {PACKAGE}.train -m executor=slurm hydra.sweeper.executor.jobs=4 "
    "hydra.sweeper.executor.cpus=8": "needs Slurm: tests/executors",
    f"python -m {PACKAGE}.train -m executor=ray": "needs Ray: tests/executors",
    "caviar resume SWEEP executor=listen": "waits for an agent: tests/executors",
}

TRAIN = f"python (?:-P )?-m {PACKAGE}.train "
SWEEP = f"(?:scripts/sweep|{TRAIN}-m)"
FEW = " hydra.sweeper.n_trials=4 executor=inline engine=solo data=synthetic trainer.max_epochs=1"

SMALLER = {
    # The sweep and the run that the other commands find, under the name that they give them.
    "^scripts/sweep$": r"\g<0> name=NAME hydra.sweeper.n_trials=32 executor=inline trainer.max_epochs=2",
    f"^{TRAIN}data=table .*": r"\g<0> name=NAME trainer.max_epochs=1",
    f"^{TRAIN}-m experiment=sine .*": r"\g<0> hydra.sweeper.n_trials=2 trainer.max_epochs=1",
    f"^{SWEEP} .*": rf"\g<0>{FEW}",
    f"^{TRAIN}(?!-m )(?!debug=)(?!panda=)(?!data=).*": r"\g<0> trainer.max_epochs=1",
    # Until it is stopped.
    f"^{TRAIN}panda=true .*": r"\g<0> data=synthetic trainer.max_epochs=100000",
    # What is printed is a whole path, and the copy's is another.
    r"~/caviar/outputs/sweeps/fresh/\d+": "outputs/sweeps/fresh/7",
    "confirm ~/caviar/(.*)": r"confirm \1 --top 1 --seeds 2 --no-test",
    "zoom ~/caviar/(.*)": r"zoom \1",
    "n_trials=200": "n_trials=33",
    "--top 5 --seeds 10": "--top 1 --seeds 2",
    "^scripts/test$": r"\g<0> -q tests/space/test_scales.py",
    "^scripts/lessons$": r"\g<0> forward_only repeats=2",
    "^scripts/rename NAME$": "scripts/rename pearls",
}
"""What a command becomes here: a pattern, and what stands for it then; the first that fits is taken."""

FIRST = [" name=NAME "]
"""Commands that make what the copies have in them."""

BESIDE = [f"^{TRAIN}panda=true ", "^caviar watch ", "^caviar dashboard"]
"""Commands that go on in a terminal of their own while the next ones are run."""


@dataclass(frozen=True)
class Command:
    """A command of a README: the section that it is in, and its text there."""

    section: str
    text: str

    @property
    def here(self) -> str:
        """As it is run: in a smaller size, or, where only its name is given, with ``--help``."""
        if re.fullmatch(r"caviar \w+", self.text) and self.named:
            return f"{self.text} --help"
        pattern = next((p for p in SMALLER if re.search(p, self.text)), None)
        return self.text if pattern is None else re.sub(pattern, SMALLER[pattern], self.text)

    named: bool = False
    """Whether it stands in a sentence, not in a block of commands."""


def commands(readme: str, section: str = "") -> Iterator[Command]:
    """Every line of a block of commands, and in it what a ``$(…)`` of a comment runs; every span in
    backticks that begins as a command does; every command that a shown output advises."""
    start = r"(?:caviar |python3? |scripts/\w+)"
    fence = None
    for line in readme.splitlines():
        if line.startswith("```"):
            fence = (line[3:] or "output") if fence is None else None
        elif fence == "bash":
            command, _, comment = line.partition("  #")
            if command.strip() and not command.startswith("#"):
                yield Command(section, command.strip())
            yield from (Command(section, found) for found in re.findall(r"\w+=\"\$\(.*", comment))
        elif fence == "output":
            yield from (Command(section, c) for c in re.findall(rf"^[\w ]+: +({start}.*)", line))
        elif fence is None:
            section = line[3:] if line.startswith("## ") else section
            spans = re.findall(r"`([^`]+)`", line)
            yield from (Command(section, s, True) for s in spans if re.match(rf"{start}|\./", s))


def files(readme: str) -> dict[str, str]:
    """Every block of code whose first line, or second, says which file it is: path -> text."""
    blocks = re.findall(r"^```(?:python|yaml)\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    named = [
        (re.match(r"(?:# @.*\n)?# ((?:src|configs)/[\w./]+)", block), block) for block in blocks
    ]
    return {found[1]: block for found, block in named if found}


COMMANDS = list(
    dict.fromkeys(found for name in READMES for found in commands((ROOT / name).read_text(), name))
)
RUN = [
    command
    for command in COMMANDS
    if command.text not in NOT_RUN and not MEASURES.match(command.text)
]


def test_the_commands_of_the_readme_are_found_and_no_rule_here_is_of_one_that_went_away() -> None:
    texts = [command.text for command in COMMANDS]
    assert {"scripts/sweep", "scripts/test", "caviar runs best --ckpt"} <= set(texts)
    assert [text for text in NOT_RUN if text not in texts] == []
    measures = {found[1] for text in texts if (found := MEASURES.match(text))}
    assert {"sweep", "lanes"} <= measures <= {file.stem for file in BENCHES.glob("*.py")}
    for pattern in SMALLER:
        assert any(re.search(pattern, text) for text in texts), pattern
    for pattern in [*FIRST, *BESIDE]:
        assert any(re.search(pattern, command.here) for command in RUN), pattern


def test_a_command_is_found_wherever_a_readme_has_it() -> None:
    text = """
## Use
Run `caviar status`, or `scripts/bench soak`; `caviar` and `caviar.load(x)` are no commands.
```bash
# not this
ls outputs   # X="$(caviar runs best --ckpt)"
```
```
    next: caviar zoom latest
best checkpoint: outputs/best.ckpt
```
"""
    assert [command.text for command in commands(text)] == [
        "caviar status",
        "scripts/bench soak",
        "ls outputs",
        'X="$(caviar runs best --ckpt)"',
        "caviar zoom latest",
    ]


@dataclass
class Copy:
    """A copy of the repository, installed; and what was run in it."""

    tree: Path
    way: int | None = None
    """Where copies of a process that has its code are asked for; None: all are interpreters."""
    failed: list[str] = field(default_factory=list)
    beside: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        path = f"{self.tree}/.venv/bin:{os.environ['PATH']}"
        return environment(PATH=path, OMP_NUM_THREADS="1", HOME=str(self.tree.parent))

    def run(self, command: str) -> None:
        """Run a command to its end, or begin one that goes on beside the next."""
        if re.search(r"^caviar (stop|cancel) outputs/sweeps/", command):
            self.sweep_under_way()
        if any(re.search(pattern, command) for pattern in BESIDE):
            self.begin(command)
            return
        try:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=self.tree,
                env=self.environment(),
                pass_fds=() if self.way is None else (self.way,),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
            if done.returncode:
                self.fail(command, done.returncode, done.stderr or done.stdout)
        except subprocess.TimeoutExpired as stuck:
            self.fail(command, f"none after {SECONDS} s", str(stuck.stderr or stuck.stdout))
        if re.search("caviar (stop|cancel) ", command):
            self.end()

    def sweep_under_way(self) -> None:
        sweep = self.tree / "outputs/sweeps/NAME"
        self.begin("caviar resume outputs/sweeps/NAME n_trials=100000")
        ended = self.beside["caviar resume outputs/sweeps/NAME n_trials=100000"].poll
        until(lambda: (sweep / "owner.json").exists() or ended() is not None, "a sweep", SECONDS)

    def begin(self, command: str) -> None:
        out = self.tree / f"beside-{len(self.beside)}.txt"
        with out.open("w") as file:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.tree,
                env=self.environment(),
                pass_fds=() if self.way is None else (self.way,),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                text=True,
            )
        self.beside[command] = process
        sign = self.tree / "outputs/runs/cub/metrics.csv" if "panda=true" in command else out
        until(
            lambda: process.poll() is not None or (sign.exists() and sign.stat().st_size),
            f"a sign of life of {command}",
            SECONDS,
        )

    def end(self) -> None:
        """Wait for what was begun; what goes on until it is told to end is told so."""
        for command, process in self.beside.items():
            if command.startswith("caviar dashboard"):
                process.send_signal(signal.SIGINT)
            try:
                status = process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                status = process.wait()
            if status not in (0, 130):
                self.fail(command, status, "")
        self.beside.clear()

    def fail(self, command: str, status: object, told: str) -> None:
        self.failed.append(f"{command}\n  status {status}: {told[-600:]}")


def install(tree: Path) -> Copy:
    """Give a copy the ``.venv`` that ``scripts/setup dev`` leaves, without copying any package."""
    venv.create(tree / ".venv", symlinks=True)
    (packages,) = (tree / ".venv").glob("lib/python*/site-packages")
    (packages / "tree.pth").write_text(f"{tree / 'src'}\n{SITE_PACKAGES}\n")
    caviar = tree / ".venv/bin/caviar"
    caviar.write_text(f"#!{tree}/.venv/bin/python\nfrom caviar.cli import main\n\nmain()\n")
    caviar.chmod(0o755)
    # What `scripts/setup` would write down: it then has nothing to do.
    made_of = [
        tree / name for name in ("pyproject.toml", "scripts/constraints.txt", "scripts/setup")
    ]
    head = f"{tree / '.venv'}\ndev\n{sys.version_info.major}.{sys.version_info.minor}\n"
    (tree / ".venv/caviar-setup").write_text(head + "".join(f.read_text() for f in made_of))
    return Copy(tree)


STAND_IN = """#!{own} -IS
import os, sys
if sys.argv[1:2] != ["-m"] or sys.argv[2] not in ("caviar.cli", "{PACKAGE}.train"):
    os.execv("{tree}/.venv/bin/python3", sys.argv)
sys.path.insert(0, "{tree}")
from tests.copies import stand_in
stand_in({way})
"""
"""What `python` is in a copy of the repository whose commands are copies of a process."""


def copy_of(first: Copy, tree: Path, way: int) -> Copy:
    """Another copy, with the outputs of the first under every name that the README uses."""
    shutil.copytree(first.tree, tree, ignore=shutil.ignore_patterns(".venv"))
    for name in ("first", "second", "fresh"):
        shutil.copytree(tree / "outputs/sweeps/NAME", tree / "outputs/sweeps" / name)
    for file in tree.glob("outputs/sweeps/*/sweep.yaml"):
        file.write_text(file.read_text().replace(str(first.tree), str(tree)))
    for file in tree.glob("outputs/*/*/made.json"):
        made = json.loads(file.read_text())  # a copy is none of ours, unless it is signed here
        told = {name: (file.parent / name).read_text() for name in made["files"]}
        mark(file.parent, told, made["started"])
    copy = install(tree)
    copy.way = way
    python = tree / ".venv/bin/python"
    own = python.resolve()
    for file in (python, python.with_name("python3")):
        file.unlink()
    python.with_name("python3").symlink_to(own)
    python.write_text(STAND_IN.format(own=own, tree=tree, way=way, PACKAGE=PACKAGE))
    python.chmod(0o755)
    python.with_name("caviar").write_text(f'#!/bin/sh\nexec {python} -m caviar.cli "$@"\n')
    return copy


def test_every_command_of_the_readme_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAVIAR_STATE", str(tmp_path / ".local/state/caviar"))
    first = install(copy_tree(tmp_path / "first"))
    table = [f"{i % 7},{i % 5},{'no' if i % 7 < 3 else 'yes'}\n" for i in range(120)]
    (first.tree / "houses.csv").write_text("".join(["rooms,floor,sold\n", *table]))
    for name in READMES:
        for path, text in files((ROOT / name).read_text()).items():
            (first.tree / path).parent.mkdir(parents=True, exist_ok=True)
            (first.tree / path).write_text(text)
    (first.tree / "new.csv").write_text("rooms,floor\n1,2\n6,0\n")
    ran = [c for c in RUN if any(re.search(pattern, c.here) for pattern in FIRST)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(first.run, [command.here for command in ran]))
    assert first.failed == []

    def in_a_copy(number: int, section: list[str], way: int) -> list[str]:
        copy = copy_of(first, tmp_path / f"copy-{number}", way)
        for command in section:
            copy.run(command)
        copy.end()
        return copy.failed

    rest = [command for command in RUN if command not in ran]
    sections = [[c.here for c in group] for _, group in groupby(rest, lambda c: c.section)]
    python = first.tree / ".venv/bin/python"
    with (
        begun(str(python), first.tree, first.environment()) as way,
        ThreadPoolExecutor(2) as pool,
    ):
        failed = pool.map(in_a_copy, range(len(sections)), sections, repeat(way.fileno()))
        told = "\n".join(line for lines in failed for line in lines)
    assert told == ""
