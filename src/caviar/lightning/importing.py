"""Imports Lightning without scipy.signal, which is most of a second of every start.

Lightning imports torchmetrics, and that all of scipy.signal, only to give one of its functions back a name
(``hamming``) that scipy has taken away. Who imports scipy.signal later has it as scipy made it.
"""

import sys
from contextlib import suppress
from types import ModuleType

if sys.modules.keys().isdisjoint(("torchmetrics", "scipy.signal")):
    _stand_in = ModuleType("scipy.signal")
    _stand_in.hamming = None  # type: ignore[attr-defined]  # as if it had the name still
    sys.modules["scipy.signal"] = _stand_in
    try:
        # Another version may ask it for more: then it is imported below.
        with suppress(ImportError):
            import torchmetrics  # noqa: F401
    finally:
        del sys.modules["scipy.signal"]

import lightning.pytorch  # noqa: F401
