"""``compile=true``: the networks of a module by `torch.compile`."""

from __future__ import annotations

from collections.abc import Iterator

from lightning.pytorch import LightningModule
from torch import nn
from torchmetrics import Metric, MetricCollection

from caviar.base.errors import usage_error
from caviar.engines.dropout import never_compiled
from caviar.engines.stacked.compiling import ready_to_compile, why_not_compiled


def compile_networks(module: LightningModule, device: str) -> None:
    """Have each network that ``module`` holds compiled as it is first called; its steps stay Python.

    A step logs, and counts: torch would compile it anew for each batch. Names and weights stay as they are.

    Args:
        device: the kind that it trains on, ``cpu`` or ``cuda``.

    Raises:
        UsageError: it holds none, or torch cannot compile here.
    """
    if why := why_not_compiled(device):
        raise usage_error("compile", True, why)
    networks = list(_networks(module))
    if not networks:
        why = f"{type(module).__name__} holds no network (an nn.Module that its steps call)"
        raise usage_error("compile", True, why)
    ready_to_compile()
    never_compiled(module)
    for network in networks:
        network.compile()


def _networks(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from _networks(child)
        elif not isinstance(child, Metric | MetricCollection):
            yield child
