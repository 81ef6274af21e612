"""One training step, looked at closely: gradient, updates, dead units and batch norm's statistics."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn.modules.batchnorm import _BatchNorm

from caviar.panda.vitals import Vitals

_SILENT = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish)
"""Activations whose units may fall silent."""


class Probe:
    """Watches one step, from its first batch to the optimizer's update. It changes nothing."""

    def __init__(self, module: LightningModule) -> None:
        self._dead: dict[str, Tensor] = {}
        self._shift: dict[str, Tensor] = {}
        self._spread: dict[str, Tensor] = {}
        self._norm: Tensor | None = None
        self._gradients: dict[str, Tensor] = {}
        self._weights = {
            name: value
            for name, value in module.named_parameters()
            if value.requires_grad and value.ndim > 1
        }
        self._before = [value.detach().clone() for value in self._weights.values()]
        self._hooks: list[Any] = []
        for name, part in module.named_modules():
            if isinstance(part, _SILENT):
                self._hooks.append(part.register_forward_hook(self._look_at_units(name)))
            elif isinstance(part, _BatchNorm) and part.running_mean is not None:
                self._hooks.append(part.register_forward_pre_hook(self._look_at_batch(name)))

    @torch.no_grad()
    def gradients(self, module: LightningModule) -> None:
        """Take the gradient's norms, before it is clipped."""
        gradients = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
        if gradients:
            norms = {name: vector_norm(gradient) for name, gradient in gradients.items()}
            self._norm = vector_norm(torch.stack([norm.float() for norm in norms.values()]))
            self._gradients = {name: norms[name] for name in self._weights if name in norms}

    @torch.no_grad()
    def finish(self, vitals: Vitals) -> None:
        """Put the measurements into ``vitals``, and restore the module."""
        self.remove()
        if self._norm is not None:
            vitals.grad_norm = float(self._norm)
        vitals.gradients = _floats(self._gradients)
        ratios = {
            name: vector_norm(value - was) / vector_norm(was).clamp_min(1e-12)
            for (name, value), was in zip(self._weights.items(), self._before, strict=True)
        }
        vitals.update_ratio = _floats(ratios)
        vitals.dead = _floats(self._dead)
        vitals.shift, vitals.spread = _floats(self._shift), _floats(self._spread)

    def remove(self) -> None:
        """Leave the module as it was."""
        for hook in self._hooks:
            hook.remove()

    def _look_at_units(self, name: str) -> Any:
        @torch.no_grad()
        def look(part: nn.Module, inputs: Any, output: Tensor) -> None:
            # A unit is a channel of an image, and the last dimension of everything else.
            units = output.transpose(1, -1) if output.ndim > 3 else output
            self._dead[name] = (units.flatten(0, -2).abs().amax(0) == 0).float().mean()

        return look

    def _look_at_batch(self, name: str) -> Any:
        @torch.no_grad()
        def look(part: Any, inputs: tuple[Tensor, ...]) -> None:
            if not part.training:
                return
            x = inputs[0].transpose(0, 1).flatten(1)
            variance, mean = torch.var_mean(x, 1)
            running = part.running_var + part.eps
            self._shift[name] = ((mean - part.running_mean).abs() / running.sqrt()).median()
            self._spread[name] = ((variance + part.eps) / running).sqrt().median()

        return look


def _floats(values: dict[str, Tensor]) -> dict[str, float]:
    """All of them in one transfer from the device."""
    if not values:
        return {}
    stacked = torch.stack([value.float() for value in values.values()])
    return dict(zip(values, stacked.tolist(), strict=True))
