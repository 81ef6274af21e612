"""What a project's own files in a run folder say of themselves, in short.

Any ``NAME.json`` there may have a mapping ``summary``, text by text; ``caviar runs show`` shows it as the
part NAME. Of a run of folds, those of its first.
"""

from __future__ import annotations

import json
from pathlib import Path

from caviar.runs.folder import RESULT
from caviar.runs.folds import FOLD, fold_folder


def summaries(folder: Path) -> dict[str, dict[str, str]]:
    """File's stem -> its summary; a file that cannot be read has none."""
    found = {}
    for place in (folder, fold_folder(folder, 0)):
        for file in sorted(place.glob("*.json")):
            if file.name in (RESULT, FOLD) or file.is_symlink():
                continue
            try:
                summary = json.loads(file.read_text()).get("summary")
            except (OSError, ValueError, AttributeError, RecursionError):
                continue
            if isinstance(summary, dict) and summary:
                found.setdefault(file.stem, {str(k): str(v) for k, v in summary.items()})
    return found
