"""The loop in C++, compiled when it is first needed and kept in the user's folder for caches."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from caviar.base.machine import compiler
from caviar.runs.inside import remove_inside
from caviar.runs.private import why_not_private

SOURCE = Path(__file__).with_name("loop.cpp")

_FLAGS = ("-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-fno-math-errno",
          "-fno-trapping-math")  # fmt: skip


def build(folder: Path) -> Path:
    """Compile `loop.cpp` into ``folder``, unless it is there.

    Raises:
        OSError: there is no compiler, it failed, or the folder cannot be written to.
    """
    command = compiler()
    if command is None:
        raise OSError("no C++ compiler was found: neither CXX, g++ nor clang++")
    asked = [command, "-dumpfullversion"]
    version = subprocess.run(asked, check=False, capture_output=True, text=True).stdout
    source = SOURCE.read_bytes()
    what = repr((source, command, version, _FLAGS, platform.machine(), _processor()))
    target = folder / f"{hashlib.sha256(what.encode()).hexdigest()[:24]}.so"
    with suppress(FileNotFoundError):
        if not why_not_private(target) and target.is_file():
            return target
        remove_inside(target)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        built = Path(place) / "built.so"
        words = [command, *_FLAGS, "-o", str(built), str(SOURCE)]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        if done.returncode:
            first = (done.stderr.strip() or f"{command} failed").splitlines()[0]
            raise OSError(f"loop.cpp was not compiled: {first}")
        built.replace(target)
    return target


def _processor() -> str:
    """What ``-march=native`` looks at, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "".join(line for line in lines[:40] if line.startswith(("model name", "flags")))
