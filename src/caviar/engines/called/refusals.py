"""What of a LightningModule lanes do not carry out: it goes by a Trainer, and the sweep says why."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.core.hooks import DataHooks

from caviar.engines.called.reasons import of_code
from caviar.engines.experiment import NotFusibleError

_STEPWISE = (
    "on_train_batch_start", "on_train_batch_end", "on_validation_batch_start",
    "on_validation_batch_end", "on_before_backward", "on_after_backward", "on_before_optimizer_step",
    "on_before_zero_grad", "optimizer_step", "optimizer_zero_grad", "backward",
    "configure_gradient_clipping", "clip_gradients", "on_validation_model_eval",
    "on_validation_model_train", "on_validation_model_zero_grad", "transfer_batch_to_device",
    "toggle_optimizer", "manual_backward", "configure_callbacks", "train", "eval", "state_dict",
    "load_state_dict",
)  # fmt: skip
"""Methods of a module that a Trainer calls at each step, or in whose place lanes do something else."""

_DATA = ("on_before_batch_transfer", "on_after_batch_transfer")


def check_module(module: LightningModule) -> None:
    """Refuse a module that does what lanes do not carry out.

    Raises:
        NotFusibleError: what it is, and where it stands.
    """
    kind = type(module)
    if not module.automatic_optimization:
        raise NotFusibleError(
            f"{of_code(kind.__init__)}: automatic_optimization=False, its steps are its own matter"
        )
    for name in _STEPWISE:
        method = getattr(kind, name)
        if method is not getattr(LightningModule, name):
            raise NotFusibleError(
                f"{of_code(method)}: {kind.__name__}.{name} is its own, and no lane's"
            )
    if not overridden(module, "training_step"):
        raise NotFusibleError(f"{kind.__name__} has no training_step")
    check_hooks(module)


def check_hooks(module: LightningModule) -> None:
    """Refuse a module whose layers have hooks.

    Raises:
        NotFusibleError: where the first one stands.
    """
    for name, part in module.named_modules():
        for hooks in (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks):
            for hook in hooks.values():
                raise NotFusibleError(f"{of_code(hook)}: a hook of {name or type(module).__name__}")
    for name, parameter in module.named_parameters():
        if parameter._backward_hooks:
            raise NotFusibleError(f"a hook of the parameter {name}")


def data_hooks(module: LightningModule, data: LightningDataModule | None) -> Any:
    """Whose hooks batches go through on their way: the module's or the data's; None for neither."""
    for holder in (module, data):
        if holder is not None and any(
            getattr(type(holder), name) is not getattr(DataHooks, name) for name in _DATA
        ):
            return holder
    return None


def overridden(module: Any, name: str) -> bool:
    """Whether a module has its own of a method of Lightning's."""
    return getattr(type(module), name) is not getattr(LightningModule, name)
