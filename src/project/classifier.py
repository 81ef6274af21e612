"""Softmax classification: cross-entropy, and metrics of probabilities."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.nn import functional

from caviar import usage_error
from caviar.lightning.making import plain, sized
from project.supervised import Batch, Supervised, finite


class Classifier(Supervised):
    """Trains a network that gives logits.

    All arguments are plain containers, as read from a config, and are saved in every checkpoint, so
    ``Classifier.load_from_checkpoint(path, weights_only=True)`` needs nothing else.

    Args:
        network: ``_target_`` and arguments of the network, its sizes included. It maps
            ``(batch, ...)`` to logits of shape ``(batch, num_classes)``.
        optimizer: ``_target_`` and arguments of the optimizer: see `caviar.lightning.optimizers`.
        scheduler: ``_target_`` and arguments of a `caviar.lightning.schedulers.Schedule`; None: constant.
        metrics: name -> ``_target_`` and arguments of a torchmetrics metric, which gets
            probabilities and integer targets.
        label_smoothing: share of the target that is spread evenly over all classes.
        class_weights: a factor on the loss of each class; None: all 1.
        metric: the metric that a plateau schedule watches.
        direction: what is better for ``metric``: ``maximize`` or ``minimize``.
    """

    def __init__(
        self,
        network: Mapping[str, Any],
        optimizer: Mapping[str, Any],
        scheduler: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        metric: str = "val/loss",
        direction: str = "minimize",
    ) -> None:
        metrics_sized = sized(metrics, num_classes=network["num_classes"])
        super().__init__(network, scheduler, metrics_sized)
        self.save_hyperparameters(logger=False)
        weights = None if class_weights is None else torch.tensor(class_weights)
        self.register_buffer("class_weights", weights, persistent=False)
        self.label_smoothing = label_smoothing

    @classmethod
    def of(cls, config: DictConfig, data: Any) -> "Classifier":
        """The module that a run's config describes, for the sizes and classes that ``data`` have."""
        if getattr(data, "target_scale", None) is not None:
            why = "it is a number: add task=regression (data.task=classification takes classes)"
            raise usage_error("data.target", OmegaConf.select(config, "data.target"), why)
        if getattr(data, "labels", False):
            why = "a row may have several of them, a softmax has one: add task=multilabel"
            raise usage_error("data.target", OmegaConf.select(config, "data.target"), why)
        loss = plain(config.model.get("loss")) or {}
        loss["class_weights"] = data.class_weights(loss.get("class_weights"))
        return cls.made(config, data, data.num_classes, **loss)

    def loss_per_sample(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of each sample, in nats, computed from the logits for stability.

        Args:
            outputs: logits, shape ``(batch, num_classes)``.
            targets: classes of shape ``(batch,)``, or probabilities of shape
                ``(batch, num_classes)`` (one-hot or soft).

        Returns:
            Shape ``(batch,)``. The loss of a batch is its plain mean, with class weights too.
        """
        return functional.cross_entropy(
            outputs,
            targets,
            weight=self.class_weights,  # type: ignore[arg-type]
            label_smoothing=self.label_smoothing,
            reduction="none",
        )

    def update_metrics(self, outputs: Tensor, targets: Tensor) -> None:
        classes = targets if targets.ndim == 1 else targets.argmax(dim=-1)
        self.metrics.update(outputs.softmax(dim=-1), classes)

    def predict_step(self, batch: Batch | Tensor, batch_idx: int = 0) -> dict[str, Tensor]:
        """Softmax probabilities ``(batch, num_classes)`` and the likeliest class ``(batch,)``."""
        x = batch if isinstance(batch, Tensor) else batch[0]
        probabilities = self(x).softmax(dim=-1)
        return {"probabilities": probabilities, "classes": probabilities.argmax(dim=-1)}

    @staticmethod
    def columns(outputs: Sequence[Mapping[str, Tensor]], data: Any) -> dict[str, Any]:
        """The class and the probability of each class, for the table of predictions."""
        given = torch.cat([one["probabilities"] for one in outputs])
        probabilities = finite(given, "its probabilities are no numbers")
        likeliest = torch.cat([one["classes"] for one in outputs]).tolist()
        names = data.classes
        return {
            "class": [names[index] for index in likeliest],
            **{f"probability_{name}": probabilities[:, i] for i, name in enumerate(names)},
        }
