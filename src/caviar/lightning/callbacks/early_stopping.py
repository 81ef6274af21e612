"""Stops a training that no longer gets better."""

from collections.abc import Sequence

from lightning.pytorch import callbacks

from caviar.base.objectives import first


class EarlyStopping(callbacks.EarlyStopping):
    """Lightning's, told the ``direction`` as everything else here is.

    Args:
        metric: what is watched, and ``direction``: what is better for it; of several, the first.
        patience: validations without an improvement before it stops.
        min_delta: a smaller improvement is none.
    """

    def __init__(
        self,
        metric: str | Sequence[str],
        direction: str | Sequence[str],
        patience: int = 10,
        min_delta: float = 0.0,
    ) -> None:
        mode = "max" if first(direction) == "maximize" else "min"
        super().__init__(first(metric), min_delta=min_delta, patience=patience, mode=mode)
