"""A multilayer perceptron: Linear -> BatchNorm -> activation -> Dropout, then logits."""

from collections.abc import Sequence

from torch import Tensor, nn

from caviar import Dropout, usage_error
from project.choices import ACTIVATIONS, BATCH_NORM


class MLP(nn.Module):
    """Fully connected layers from features to logits.

    Each hidden layer is Linear -> BatchNorm1d -> activation -> Dropout; with ``batch_norm="after"``
    batch norm follows the activation, with ``"none"`` it is left out. The Linear before a batch
    norm has no bias: subtracting the batch mean would undo it, and beta does its work.

    Args:
        in_features: features of a sample; samples of any shape are flattened.
        num_classes: logits that come out.
        hidden: the hidden layers' sizes; empty for softmax regression. Given, it overrules
            ``depth`` and ``width``.
        depth: number of hidden layers, each of ``width`` units; 0 is softmax regression.
        width: units of each hidden layer.
        activation: a name of `project.choices.ACTIVATIONS`.
        batch_norm: ``before`` or ``after`` the activation, or ``none``.
        batch_norm_eps: added to the batch variance.
        batch_norm_momentum: share of the newest batch in the running mean and variance.
        dropout: the chance that a unit's output is set to 0 in training.

    Raises:
        UsageError: ``activation`` or ``batch_norm`` is none of those above.
    """

    task = "project.classifier.Classifier"
    """What trained it, in runs of 0.2: their configs have no ``task``."""

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        hidden: Sequence[int] | None = None,
        depth: int = 2,
        width: int = 64,
        activation: str = "relu",
        batch_norm: str = "before",
        batch_norm_eps: float = 1e-5,
        batch_norm_momentum: float = 0.1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise usage_error("model.activation", activation, "no such activation", ACTIVATIONS)
        if batch_norm not in BATCH_NORM:
            raise usage_error("model.batch_norm", batch_norm, "no such place", BATCH_NORM)
        layers: list[nn.Module] = [nn.Flatten()]
        size = in_features
        for units in [width] * depth if hidden is None else hidden:
            layers.append(nn.Linear(size, units, bias=batch_norm != "before"))
            norm = nn.BatchNorm1d(units, eps=batch_norm_eps, momentum=batch_norm_momentum)
            if batch_norm == "before":
                layers.append(norm)
            layers.append(getattr(nn, ACTIVATIONS[activation])())
            if batch_norm == "after":
                layers.append(norm)
            if dropout > 0:
                layers.append(Dropout(dropout))
            size = units
        layers.append(nn.Linear(size, num_classes))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape ``(batch, num_classes)`` for ``x`` of shape ``(batch, ...)``."""
        return self.layers(x)
