"""What this machine gives."""

import platform
import subprocess
import sys

import pytest

COUNTED = """
import resource, sys
import numpy
from caviar.base.machine import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()


def fill(numbers):
    for _ in range(3):
        held = [numpy.ones(numbers) for _ in range(4)]  # as many tensors as a step has at a time
        del held


numbers = 8 << 20  # 64 MiB each
fill(numbers)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
fill(numbers)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_memory_that_a_process_has_freed_is_its_own_again_without_the_kernel() -> None:
    def pages(how: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", COUNTED, how], capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    kept, given_back = pages("kept"), pages("given back")
    assert given_back > 1000
    assert kept < given_back / 100
