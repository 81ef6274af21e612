"""How a training goes: the settings of its Trainer that lanes carry out, and the first that they do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from caviar.engines.experiment import NotFusibleError
from caviar.engines.trainer import check_known, clipping_of, count_of, precision_of

_USED = {
    "max_epochs", "precision", "gradient_clip_val", "gradient_clip_algorithm",
    "accumulate_grad_batches", "limit_train_batches", "limit_val_batches",
    "check_val_every_n_epoch", "log_every_n_steps",
}  # fmt: skip
_NO_MATTER = {
    "num_sanity_val_steps", "benchmark", "deterministic", "inference_mode",
    "enable_model_summary", "enable_progress_bar", "enable_checkpointing",
}  # fmt: skip
_MUST_BE: dict[str, tuple[Any, ...]] = {
    "devices": (1, "auto"),
    "num_nodes": (1,),
    "min_epochs": (0, 1),
    "max_steps": (-1,),
    "val_check_interval": (1.0,),
}


_GPU = ("auto", "gpu", "cuda")


@dataclass(frozen=True)
class Course:
    """How a training goes.

    Attributes:
        max_epochs: epochs at most; lanes may differ in it.
        val_every: epochs from one validation to the next.
        log_every: steps from one that is logged to the next; 0: none.
        accumulate: batches whose gradients make a step.
        norm, value: the gradient's limits, where there are some.
        limits: of the batches of training and of validation, as the Trainer takes them.
        dtype, mixed: see `caviar.engines.trainer.PRECISIONS`.
        device: where its steps are computed.
    """

    max_epochs: int
    val_every: int
    log_every: int
    accumulate: int
    norm: float | None
    value: float | None
    limits: tuple[int | float, int | float]
    dtype: torch.dtype
    mixed: bool
    device: str = "cpu"


def course_of(settings: Mapping[str, Any]) -> Course:
    """Read the trainer's settings.

    Raises:
        NotFusibleError: one that lanes do not carry out.
    """
    here = torch.cuda.is_available()
    on_gpu = here and settings.get("accelerator", "auto") in (None, *_GPU)
    must_be = {**_MUST_BE, "accelerator": ("cpu", *(_GPU if here else _GPU[:1]))}
    if on_gpu and settings.get("deterministic") is True:
        raise NotFusibleError("trainer.deterministic=true: whether a module's steps are, on a GPU")
    check_known(settings, _USED | _NO_MATTER, must_be)
    norm, value = clipping_of(settings)
    dtype, mixed = precision_of(settings)
    log_every = settings.get("log_every_n_steps")
    return Course(
        max_epochs=count_of(settings, "max_epochs", None),
        val_every=count_of(settings, "check_val_every_n_epoch", 1),
        log_every=50 if log_every is None else log_every,
        accumulate=count_of(settings, "accumulate_grad_batches", 1),
        norm=norm,
        value=value,
        limits=(_limit(settings, "train"), _limit(settings, "val")),
        dtype=dtype,
        mixed=mixed,
        device="cuda" if on_gpu else "cpu",
    )


def limited(batches: int, limit: int | float) -> int:
    """How many of so many batches a Trainer takes, by its ``limit_…_batches``."""
    return min(limit, batches) if isinstance(limit, int) else int(batches * limit)


def _limit(settings: Mapping[str, Any], part: str) -> int | float:
    limit = settings.get(f"limit_{part}_batches")
    if limit is None:
        return 1.0
    if limit == 0 or (isinstance(limit, float) and not 0 < limit <= 1):
        raise NotFusibleError(f"trainer.limit_{part}_batches={limit}")
    return limit


class DefaultType:
    """torch's type of new numbers, in a block."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def __enter__(self) -> None:
        self._before = torch.get_default_dtype()
        torch.set_default_dtype(self._dtype)

    def __exit__(self, *_: object) -> None:
        torch.set_default_dtype(self._before)
