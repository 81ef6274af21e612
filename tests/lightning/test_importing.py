"""What a start costs: Lightning is imported without what it needs for nothing."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.fast

CODE = """
import sys
import caviar.lightning
caviar.lightning.fit
import lightning.pytorch, torchmetrics
assert torchmetrics.Accuracy(task="binary") is not None
assert "scipy.signal" not in sys.modules
import scipy.signal.windows
from scipy.signal import butter
assert scipy.signal.__spec__.origin and len(butter(2, 0.5)) == 2
assert len(scipy.signal.windows.hamming(3)) == 3
"""


def errors(code: str) -> str:
    """What a new interpreter, in which nothing is imported yet, says of a program's assertions."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def test_lightning_comes_without_scipys_signal_which_is_whole_afterwards() -> None:
    assert errors(CODE) == ""


def test_a_torchmetrics_that_asks_for_more_of_scipys_signal_is_imported_all_the_same() -> None:
    finder = """
import sys

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "torchmetrics.functional":  # as a version would that uses a window
            sys.meta_path.remove(Finder)
            from scipy.signal import windows

sys.meta_path.insert(0, Finder)
"""
    program = finder + CODE.replace('assert "scipy.signal" not in', "assert 'scipy.signal' in")
    assert errors(program) == ""
