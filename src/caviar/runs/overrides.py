"""What a run changed: the Hydra overrides in its ``overrides.yaml``."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from caviar.errors import UsageError
from caviar.runs import folder as names
from caviar.runs.files import read_text, unreadable

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_PLAIN = re.compile(r"""(?:- [A-Za-z_+~][!"$-9;-~]*=[!"$-9;-~]*\n)+""")
"""Lines ``- key=value`` that YAML takes for text: printable ASCII, no ``#``, ``:`` or blank."""


def read_overrides(run: Path) -> list[str]:
    """The overrides of ``run``, in their order; none without a record.

    Raises:
        UsageError: the record cannot be read.
    """
    path = f"{run}/{names.OVERRIDES}"
    try:
        text = read_text(path)
        if _PLAIN.fullmatch(text):
            # By hand: ten times as fast as any YAML reader.
            return [line[2:] for line in text.splitlines()]
        found = yaml.load(text, Loader=_Loader)
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(unreadable(path, error)) from None
    return [str(item) for item in found] if isinstance(found, list) else []
