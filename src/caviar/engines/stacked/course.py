"""How a training goes through its data: batches, epochs and precision, read off its trainer's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from caviar.engines.experiment import NotFusibleError, Recipe
from caviar.engines.stacked.plan import Plan
from caviar.engines.trainer import check_known, clipping_of, count_of, precision_of

_USED = {
    "max_epochs", "precision", "gradient_clip_val", "gradient_clip_algorithm",
    "limit_train_batches", "limit_val_batches", "check_val_every_n_epoch",
}  # fmt: skip
_MUST_BE: dict[str, tuple[Any, ...]] = {
    "devices": (1, "auto"),
    "accumulate_grad_batches": (1,),
    "deterministic": (True, False, "warn"),  # on a GPU: see `refuse_unordered`
}
_NO_MATTER = {
    "num_sanity_val_steps", "log_every_n_steps", "benchmark",
    "enable_model_summary", "enable_progress_bar", "enable_checkpointing", "inference_mode",
}  # fmt: skip


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
        dtype, mixed: see `caviar.engines.trainer.PRECISIONS`.
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
    here = ("gpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    must_be = {**_MUST_BE, "accelerator": ("auto", *here)}
    check_known(settings, _USED | _NO_MATTER, must_be)
    dtype, mixed = precision_of(settings)
    max_epochs = count_of(settings, "max_epochs", None)
    val_every = count_of(settings, "check_val_every_n_epoch", 1)
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
    norm, value = clipping_of(settings)
    return Course(
        batch_size=size,
        steps=steps,
        samples=min(steps * size, samples),
        eval_samples=min(eval_steps * eval_size, len(recipe.val[0])),
        max_epochs=max_epochs,
        val_every=val_every,
        norm=norm,
        value=value,
        dtype=dtype,
        mixed=mixed,
    )


def refuse_unordered(recipe: Recipe, plan: Plan) -> None:
    """Refuse, on a GPU, a training that is to be deterministic and has sums in no certain order there.

    All else that lanes do gives the same numbers again: products, sums over a dimension, counts.

    Raises:
        NotFusibleError: it has an embedding, whose gradient is such a sum.
    """
    if torch.cuda.is_available() and recipe.trainer.get("deterministic") is True and plan.embeds:
        raise NotFusibleError("trainer.deterministic=true, and an Embedding on a GPU")


def _limited(batches: int, settings: Mapping[str, Any], part: str) -> int:
    limit = settings.get(f"limit_{part}_batches", 1.0)
    if limit is None:
        return batches
    if isinstance(limit, int):
        return min(limit, batches)
    if not 0 <= limit <= 1:
        raise NotFusibleError(f"trainer.limit_{part}_batches={limit}")
    return int(batches * limit)
