"""How a training goes through its data: batches, epochs and precision, read off its trainer's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from caviar.engines.experiment import NotFusibleError, Recipe

_PRECISIONS: dict[str, tuple[torch.dtype, bool]] = {
    "32": (torch.float32, False),
    "32-true": (torch.float32, False),
    "64": (torch.float64, False),
    "64-true": (torch.float64, False),
    "bf16-mixed": (torch.float32, True),
}
"""Lightning's name -> the parameters' type, and whether layers compute in bfloat16."""

_USED = {
    "max_epochs", "precision", "gradient_clip_val", "gradient_clip_algorithm",
    "limit_train_batches", "limit_val_batches", "check_val_every_n_epoch",
}  # fmt: skip
_MUST_BE: dict[str, tuple[Any, ...]] = {"devices": (1, "auto"), "accumulate_grad_batches": (1,)}
_NO_MATTER = {
    "num_sanity_val_steps", "log_every_n_steps", "benchmark",
    "enable_model_summary", "enable_progress_bar", "enable_checkpointing", "inference_mode",
}  # fmt: skip
_ON_CPU: dict[str, tuple[Any, ...]] = {
    "accelerator": ("auto", "cpu"),
    "deterministic": (True, False, "warn"),
}
_ON_GPU: dict[str, tuple[Any, ...]] = {
    "accelerator": ("auto", "gpu", "cuda"),
    "deterministic": (False,),
}
"""What lanes are where they train: a CPU is deterministic anyway."""


@dataclass(frozen=True)
class Course:
    """How a training goes through its data.

    Attributes:
        batch_size: samples a step; ``last``: those of the last step of an epoch.
        steps: of one epoch.
        samples: how many samples training goes through in an epoch, and ``eval_samples``.
        max_epochs: epochs at most.
        val_every: epochs from one validation to the next.
        norm, value: the gradient's limits, where there are some.
        dtype, mixed: see `_PRECISIONS`.
    """

    batch_size: int
    steps: int
    samples: int
    eval_samples: int
    max_epochs: int
    val_every: int
    norm: float | None
    value: float | None
    dtype: torch.dtype
    mixed: bool


def course_of(recipe: Recipe) -> Course:
    """Read the trainer's settings.

    Raises:
        NotFusibleError: one that lanes do not know.
    """
    settings = recipe.trainer
    must_be = _MUST_BE | (_ON_GPU if torch.cuda.is_available() else _ON_CPU)
    for name, value in settings.items():
        known = name in _USED or name in _NO_MATTER or value is None
        if not known and value not in must_be.get(name, ()):
            raise NotFusibleError(f"trainer.{name}={value}")
    precision = str(settings.get("precision") or "32")
    if precision not in _PRECISIONS:
        raise NotFusibleError(f"trainer.precision={precision}")
    max_epochs, val_every = settings.get("max_epochs"), settings.get("check_val_every_n_epoch", 1)
    for name, value in (("max_epochs", max_epochs), ("check_val_every_n_epoch", val_every)):
        if not isinstance(value, int) or value < 1:
            raise NotFusibleError(f"trainer.{name}={value}")
    for name, (_, y) in (("train", recipe.train), ("val", recipe.val)):
        if y.dtype != torch.int64 or y.ndim != 1:
            kind = f"{y.dtype} of shape {tuple(y.shape)}"
            raise NotFusibleError(f"targets of the {name} part that are {kind}, not a class each")
        if not len(y):
            raise ValueError(f"the {name} part has no sample")
    samples = len(recipe.train[0])
    size = min(recipe.batch_size, samples)
    full, rest = divmod(samples, size)
    steps = _limited(full if recipe.drop_last or not rest else full + 1, settings, "train")
    eval_size = min(recipe.eval_batch_size, len(recipe.val[0]))
    eval_steps = _limited(-(-len(recipe.val[0]) // eval_size), settings, "val")
    if steps <= 0 or eval_steps <= 0:
        raise NotFusibleError("an epoch without a batch")
    limit = settings.get("gradient_clip_val") or None
    if limit is not None and limit <= 0:
        limit = None  # as Lightning has it
    by_value = settings.get("gradient_clip_algorithm") == "value"
    dtype, mixed = _PRECISIONS[precision]
    return Course(
        batch_size=size,
        steps=steps,
        samples=min(steps * size, samples),
        eval_samples=min(eval_steps * eval_size, len(recipe.val[0])),
        max_epochs=max_epochs,  # type: ignore[arg-type]
        val_every=val_every,
        norm=None if by_value else limit,
        value=limit if by_value else None,
        dtype=dtype,
        mixed=mixed,
    )


def _limited(batches: int, settings: Mapping[str, Any], part: str) -> int:
    limit = settings.get(f"limit_{part}_batches", 1.0)
    if limit is None:
        return batches
    if isinstance(limit, int):
        return min(limit, batches)
    if not 0 <= limit <= 1:
        raise NotFusibleError(f"trainer.limit_{part}_batches={limit}")
    return int(batches * limit)
