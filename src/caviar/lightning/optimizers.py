"""From an optimizer's config to the optimizer: which parameters decay, and Adam's two betas."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from caviar.base.security import instantiate


def make_optimizer(module: nn.Module, config: Mapping[str, Any]) -> Optimizer:
    """Build the optimizer that ``config`` names over the parameters of ``module``.

    Beside the arguments of the torch class, a config may hold ``beta1`` and ``beta2``, which become
    ``betas`` (a sweep searches numbers, not pairs), and ``decay_all``: see `parameter_groups`.

    Raises:
        UsageError: the class does not take what ``config`` says.
    """
    settings, decay_all = torch_settings(config)
    return instantiate(settings, parameter_groups(module, decay_all))


def partial_of(config: Mapping[str, Any]) -> Any:
    """The optimizer that ``config`` names as a `functools.partial`, still to be given its parameters.

    ``decay_all`` is left out: which of its parameters decay says who gives them.
    """
    settings, _ = torch_settings(config)
    return instantiate({**settings, "_partial_": True}, _convert_="all")  # betas a list


def torch_settings(config: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """``_target_`` and arguments of the torch class, and whether all parameters are decayed."""
    settings = dict(config)
    settings.pop("_partial_", None)
    decay_all = settings.pop("decay_all", False)
    if "beta1" in settings:
        # Not a whole number: torch refuses a 0 beside a 0.999, which are one kind of thing here.
        settings["betas"] = [float(settings.pop("beta1")), float(settings.pop("beta2"))]
    return settings, decay_all


def parameter_groups(module: nn.Module, decay_all: bool = False) -> list[dict[str, Any]]:
    """The trainable parameters in groups: those that weight decay may shrink, and those it may not.

    Biases and batch norm's gamma and beta, the parameters with one dimension, are never decayed:
    shrinking them does not make the function simpler. ``decay_all=True`` decays them too.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    if decay_all:
        return [{"params": parameters}]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
