"""Settings that are names, listed without importing torch, so that bad ones are refused early."""

ACTIVATIONS = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "mish": "Mish",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
}
"""``model.activation`` -> the class in `torch.nn`."""

BATCH_NORM = ("before", "after", "none")
"""``model.batch_norm``: where batch norm stands, relative to the activation."""


SHAPES = ("blobs", "spirals")
"""``data.shape`` of synthetic data."""
