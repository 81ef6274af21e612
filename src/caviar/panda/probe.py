"""One training step, looked at closely: gradient, updates, dead units and batch norm's statistics."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from caviar.panda.checks import Vitals

_SILENT = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish)
"""Activations whose units may fall silent."""


class Probe:
    """Watches one step, from its first batch to the optimizer's update. It changes nothing."""

    def __init__(self, module: LightningModule) -> None:
        self._dead: dict[str, Tensor] = {}
        self._drift: dict[str, Tensor] = {}
        self._norm: Tensor | None = None
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
                self._hooks.append(part.register_forward_pre_hook(self._look_at_shift(name)))

    def gradients(self, module: LightningModule) -> None:
        """Take the gradient's norm, before it is clipped."""
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        if gradients:
            self._norm = nn.utils.get_total_norm(gradients)

    @torch.no_grad()
    def finish(self, vitals: Vitals) -> None:
        """Put what was seen into ``vitals``, and leave the module as it was."""
        for hook in self._hooks:
            hook.remove()
        if self._norm is not None:
            vitals.grad_norm = float(self._norm)
        if self._weights:
            pairs = list(zip(self._weights.values(), self._before, strict=True))
            by = torch.stack([(now - was).norm() for now, was in pairs])
            of = torch.stack([was.norm() for _, was in pairs])
            ratios = (by / of.clamp_min(1e-12)).tolist()
            vitals.update_ratio = dict(zip(self._weights, ratios, strict=True))
        vitals.dead = {name: float(share) for name, share in self._dead.items()}
        vitals.drift = {name: float(shift) for name, shift in self._drift.items()}

    def _look_at_units(self, name: str) -> Any:
        @torch.no_grad()
        def look(part: nn.Module, inputs: Any, output: Tensor) -> None:
            self._dead[name] = (output.flatten(1).abs().amax(0) == 0).float().mean()

        return look

    def _look_at_shift(self, name: str) -> Any:
        @torch.no_grad()
        def look(part: Any, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].transpose(0, 1).flatten(1)
            off = (x.mean(1) - part.running_mean).abs() / (part.running_var + part.eps).sqrt()
            self._drift[name] = off.median()

        return look
