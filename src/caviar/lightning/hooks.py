"""What a data set and a module may have beside what Lightning asks of them, each looked for by its name.

Of a data set's class (``data._target_``), and what is done without it:

- parameter ``seed``: of its shuffling, the config's ``seed``. Without: torch, numpy and random are seeded,
  anew in each epoch, which settles how a DataLoader shuffles.
- parameters ``folds`` and ``fold``: of how many parts, and which validates. Without: ``data.folds`` is
  refused.
- ``datamodule()``: the `LightningDataModule`, where the class is none. Without: it is one itself.
- ``files()``, of the data module: name -> text, kept in the run folder. Without: nothing is kept.
- ``changed_since(folder)``, of the data module: whether its rows may be others than those of the run in
  ``folder``. Without: that is not looked at before a test, and told.
- ``saved(folder)``, of the class: what ``files()`` alone tell of the data. Without: they are made anew.
- ``new_rows(path, **written)``, of the one or the other: batches of a file, to be predicted. Without:
  ``predict_dataloader()`` is predicted.

Of a LightningModule:

- parameters ``optimizer`` and ``scheduler``: the config's groups of these names as `functools.partial`.
  Without: both are its own affair.
- ``columns(outputs, data)``: what ``predict_step`` gave of all batches, as the columns of a table. Without:
  a column an entry, numbered where there are several (`columns_of`).

What a module logs is not asked for: a ``metric=`` that it does not log is told after its first validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from caviar.base.errors import UsageError


def columns_of(module: Any, outputs: Sequence[Any], data: Any) -> dict[str, Any]:
    """Predictions as the columns of a table.

    Args:
        outputs: what ``predict_step`` gave for each batch: a tensor, or tensors by name.
        data: what the module was made for.

    Raises:
        UsageError: they are no such tensors.
    """
    if hasattr(module, "columns"):
        return dict(module.columns(outputs, data))
    named = [one if isinstance(one, Mapping) else {"prediction": one} for one in outputs]
    columns: dict[str, Any] = {}
    for name in named[0]:
        parts = [one[name] for one in named]
        if not all(isinstance(part, torch.Tensor) for part in parts):
            raise UsageError(f"predict_step: {name} is a {type(parts[0]).__name__}, not a tensor")
        whole = torch.cat([torch.atleast_1d(part).detach().cpu() for part in parts]).float()
        flat = whole.reshape(len(whole), -1).numpy()
        for index in range(flat.shape[1]):
            columns[name if flat.shape[1] == 1 else f"{name}_{index}"] = flat[:, index]
    return columns
