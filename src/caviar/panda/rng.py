"""The state of every random number generator, as plain containers that any checkpoint can hold."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def rng_state() -> dict[str, Any]:
    """The states of torch's, numpy's and Python's generators, and of the GPUs' where they are in use.

    As they come, for this is called at every epoch: `as_containers` makes them fit a checkpoint.
    """
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),
        "python": random.getstate(),
    }
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def as_containers(state: dict[str, Any]) -> dict[str, Any]:
    """A state from `rng_state` as lists and numbers, which any checkpoint can hold."""
    name, keys, *rest = state["numpy"]
    return {**state, "numpy": [name, torch.from_numpy(np.asarray(keys, np.int64)), *rest]}


def set_rng_state(state: dict[str, Any]) -> None:
    """Restore the generators from a state of `rng_state`, as it was or after `as_containers`."""
    torch.set_rng_state(state["torch"].cpu())
    name, keys, *rest = state["numpy"]
    keys = np.asarray(keys.cpu() if isinstance(keys, torch.Tensor) else keys)
    np.random.set_state((name, keys.astype(np.uint32), *rest))
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    if "cuda" in state:
        torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])
