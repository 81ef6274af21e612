"""Which of the numbers that lanes differ in a step can take as tensors, found out before its first call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from caviar.engines.called.attributes import Gathered, Leaf
from caviar.engines.called.step import Tensors
from caviar.engines.called.template import Template


class PinnedError(Exception):
    """Some lanes differ in a number that a step takes as it is: they cannot step together."""


class Probe:
    """Tries a step out, and leaves no trace.

    Args:
        template: whose step.
        method: its name.
        arrays, batch, shared: what it is called with; see `Template.step`.
    """

    def __init__(
        self,
        template: Template,
        method: str,
        arrays: Mapping[str, Tensors],
        batch: Any,
        shared: bool,
    ) -> None:
        self._template, self._method = template, method
        self._arrays, self._batch, self._shared = arrays, batch, shared

    def check(self, gathered: Gathered, said: Mapping[str, Tensor]) -> None:
        """See that the step takes each number that lanes differ in.

        Args:
            said: what the lanes' trainers say that differs, by its name.

        Raises:
            PinnedError: it does not; the template knows which.
        """
        lifted = frozenset(gathered.numbers) | {of_trainer(name) for name in said}
        proven = self._template.proven.setdefault(self._method, set())
        if lifted <= proven:
            return
        template = self._template
        if self._works(gathered, said, lifted):
            proven |= lifted
            return
        before, template.lifting = template.lifting, True
        if self._works(gathered, said, lifted):
            proven |= lifted
        elif self._works(gathered, said, frozenset()):
            wrong = {one for one in lifted if not self._works(gathered, said, frozenset([one]))}
            # Where each works by itself, it is their being together that does not.
            template.pinned |= wrong or lifted
            template.lifting = before or bool(lifted - wrong)
            raise PinnedError

    def _works(
        self, gathered: Gathered, said: Mapping[str, Tensor], lifted: frozenset[Leaf]
    ) -> bool:
        template = self._template
        numbers = {leaf: kind for leaf, kind in gathered.numbers.items() if leaf in lifted}
        slots = {
            leaf: slot.clone()
            for leaf, slot in gathered.slots.items()
            if leaf in numbers or leaf not in gathered.numbers
        }
        trial = Gathered(slots, numbers, template.copied(gathered.fixed), dict(gathered.trees))
        for name, values in said.items():
            setattr(template.trainer, name, values[0].item())
        own = {name: values for name, values in said.items() if of_trainer(name) in lifted}
        arrays = {
            "parameters": self._arrays["parameters"],
            "buffers": {name: one.clone() for name, one in self._arrays["buffers"].items()},
        }
        template.put(trial.fixed)
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=()):
                template.step(self._method, arrays, trial, own, self._batch, 0, self._shared)
        except Exception:
            return False
        finally:
            template.put(gathered.fixed)
        return True


def of_trainer(name: str) -> Leaf:
    """What the trainer says, as a leaf among those of the module."""
    return ("", name, ())
