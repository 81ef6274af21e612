"""Stops a training that no longer gets better."""

from lightning.pytorch import callbacks


class EarlyStopping(callbacks.EarlyStopping):
    """Lightning's, told the ``direction`` as everything else here is.

    Args:
        metric: what is watched, and ``direction``: what is better for it.
        patience: validations without an improvement before it stops.
        min_delta: a smaller improvement is none.
    """

    def __init__(self, metric: str, direction: str, patience: int = 10, min_delta: float = 0.0):
        mode = "max" if direction == "maximize" else "min"
        super().__init__(metric, min_delta=min_delta, patience=patience, mode=mode)
