"""What every test is run with."""

import atexit
import os
import shutil
import signal
import tempfile

import pytest
from hypothesis import settings

# A busy machine is no reason to fail. On CI the examples are always the same: a failure repeats.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# The kernel for a GPU is computed by numpy where there is none. Triton reads this when it is imported.
if not os.path.exists("/dev/nvidiactl"):
    os.environ.setdefault("TRITON_INTERPRET", "1")

# A shell starts what it puts into the background without Ctrl-C; tests send it to what they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The key that signs what tests make: none of the person's who runs them.
if "CAVIAR_STATE" not in os.environ:
    os.environ["CAVIAR_STATE"] = tempfile.mkdtemp(prefix="caviar-state-")
    atexit.register(shutil.rmtree, os.environ["CAVIAR_STATE"], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The longest tests begin first: one that began last would leave the other processes idle.
    items.sort(key=lambda item: item.path.parent.name != "setup")
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
