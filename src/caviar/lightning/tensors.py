"""Weights in files: written so that they are read again as tensors and plain values, and read so."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule
from omegaconf import DictConfig, ListConfig, OmegaConf

from caviar.base.errors import UsageError
from caviar.runs.checkpoints import read_checkpoint

_HPARAMS = ("hyper_parameters", "datamodule_hyper_parameters", "hparams_type")
"""What `save_hyperparameters` puts into a checkpoint; a run's ``config.yaml`` is what is read."""


class TensorsAlone(TorchCheckpointIO):
    """Writes checkpoints that ``weights_only=True`` reads, whatever hyperparameters a module saves."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        made: dict[str, Any] = {}
        for key, value in checkpoint.items():
            if key.startswith(_HPARAMS):
                value = _plain(value)
                if not _is_plain(value):
                    continue
            made[key] = value
        super().save_checkpoint(made, path, storage_options)


def read_weights(path: Path, foreign: bool = False) -> dict[str, Any]:
    """A checkpoint with its ``state_dict``, on the CPU: no code of it runs.

    Args:
        foreign: it may be of any Lightning project, with objects in it: those are passed over.

    Raises:
        UsageError: it is not there, damaged, or no checkpoint of Lightning's.
    """
    try:
        if not foreign:
            return read_checkpoint(path, ("state_dict",))
        found = _read_foreign(path)
    except OSError as error:
        raise UsageError(f"ckpt_path={path}: {error.strerror or error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("state_dict"), Mapping):
        raise UsageError(f"ckpt_path={path}: no Lightning checkpoint (it has no state_dict)")
    return found


def load_weights(
    module: LightningModule, checkpoint: Mapping[str, Any], strict: bool = True
) -> list[str]:
    """Put the tensors of ``checkpoint`` into ``module``, and give the names of those that did not fit.

    Raises:
        UsageError: with ``strict``, a tensor is missing, is one too many, or has another shape.
    """
    module.on_load_checkpoint(dict(checkpoint))
    given, own = checkpoint["state_dict"], module.state_dict()
    odd = {name: "is missing in it" for name in own if name not in given}
    odd |= {name: "is not in the module" for name in given if name not in own}
    for name in given.keys() & own.keys():
        if getattr(given[name], "shape", None) != getattr(own[name], "shape", None):
            odd[name] = f"is {_shape(given[name])} in it, and {_shape(own[name])} in the module"
    if odd and strict:
        name = min(odd)
        more = f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""
        raise UsageError(f"checkpoint: {name} {odd[name]}{more}")
    module.load_state_dict({k: v for k, v in given.items() if k not in odd}, strict=strict)
    return sorted(odd)


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if hasattr(value, "shape") else type(value).__name__


def _plain(value: Any) -> Any:
    if isinstance(value, DictConfig | ListConfig):
        return OmegaConf.to_container(value, resolve=True)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(one) for one in value) if type(value) in (list, tuple) else value
    return value


def _is_plain(value: Any) -> bool:
    """Whether ``weights_only=True`` reads a value back."""
    file = io.BytesIO()
    try:
        torch.save(value, file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except Exception:  # whatever its own pickling raises
        return False
    return True


def _read_foreign(path: Path) -> Any:
    try:
        return read_checkpoint(path)
    except UsageError as refused:
        if not zipfile.is_zipfile(path):
            raise
        try:
            return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_Inert)
        except Exception as error:
            raise refused from error


class _Stub:
    """Stands in a checkpoint's place of an object of any class: it takes all, and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Stub:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, value: Any) -> None: ...

    def extend(self, values: Any) -> None: ...


_TENSORS = {
    ("collections", "OrderedDict"),
    ("torch", "Size"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
}
"""All that a file may call: what its tensors are made of."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        storage = module in ("torch", "torch.storage") and name.endswith("Storage")
        dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        known = (module, name) in _TENSORS or (name.isidentifier() and (storage or dtype))
        return super().find_class(module, name) if known else _Stub


class _Inert:
    """What `torch.load` takes for the module ``pickle``."""

    Unpickler = _Unpickler
    UnpicklingError = pickle.UnpicklingError
