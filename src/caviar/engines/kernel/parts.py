"""What the program of a lane is made of: each takes a tile, all of which is in registers.

A number that is none stays none, as with torch: `tl.maximum` and `tl.minimum` drop it on a GPU.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import triton
import triton.language as tl

RELU, LEAKY_RELU, ELU, GELU, SILU = (tl.constexpr(number) for number in (0, 1, 2, 3, 5))
"""Activations, by their numbers in `loop.cpp`; the other one is tanh."""

SGD, ADAM, RMSPROP = tl.constexpr(0), tl.constexpr(1), tl.constexpr(3)
"""Optimizers, by their numbers in `loop.cpp`; the other one is AdamW."""

NO_NORM, NORM_BEFORE, NORM_AFTER = (tl.constexpr(number) for number in range(3))
"""Where a hidden layer has batch norm: nowhere, before its activation, or after."""

BY_NORM, BY_VALUE = tl.constexpr(1), tl.constexpr(2)
"""How gradients are clipped; 0: not at all."""

CONSTANTS = tl.constexpr(6)
"""Rows of ``numbers`` that are the optimizer's; the last one is its gradients' limit."""

OWN = tl.constexpr(4)
"""Rows of ``numbers`` after those for each hidden layer: eps, momentum, and dropout's limit and scale."""


@triton.jit
def tile(at, row, column, ROW: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """Where ``(R, C)`` of a matrix lie, whose rows are of ROW numbers."""
    return at + (row + tl.arange(0, R))[:, None] * ROW + (column + tl.arange(0, C))[None, :]


@triton.jit
def clipped(g, own, squares, lanes, CLIP: tl.constexpr):
    """A gradient as `optimizers.clip` leaves it; ``squares``: the sum of those of all the lane's."""
    if CLIP != 0:
        limit = tl.load(own + (CONSTANTS - 1) * lanes)
        if CLIP == BY_NORM:
            share = limit / (tl.sqrt(tl.load(squares)) + 1e-6)
            g *= tl.where(share > 1, 1.0, share)
        else:
            g = tl.where(g > limit, limit, tl.where(g < -limit, -limit, g))
    return g


@triton.jit
def stepped(
    at, own, rates, lanes, g, squares, CLIP: tl.constexpr, OPTIMIZER: tl.constexpr,
    DECAY: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """A step of an optimizer of `optimizers.py`, whose constants and columns are in its order there."""
    g = clipped(g, own, squares, lanes, CLIP)
    p, first = tl.load(at), tl.load(at + SIZE)
    if OPTIMIZER == SGD:
        momentum, decay, nesterov = tl.load(own), tl.load(own + lanes), tl.load(own + 2 * lanes)
        if DECAY:
            g += decay * p
        first = first * momentum + g
        p -= tl.load(rates) * (first * tl.where(nesterov > 0, momentum, 1.0) + g * nesterov)
    elif OPTIMIZER == RMSPROP:
        alpha, eps, momentum = tl.load(own), tl.load(own + lanes), tl.load(own + 2 * lanes)
        decay, rest = tl.load(own + 3 * lanes), tl.load(own + 4 * lanes)
        second = tl.load(at + 2 * SIZE)
        if DECAY:
            g += decay * p
        first = first * alpha + g * rest * g
        second = second * momentum + g / (tl.sqrt(first) + eps)
        p -= tl.load(rates) * second
        tl.store(at + 2 * SIZE, second)
    else:
        beta2, eps, decay = tl.load(own), tl.load(own + lanes), tl.load(own + 2 * lanes)
        rest1, rest2 = tl.load(own + 3 * lanes), tl.load(own + 4 * lanes)
        size, correction = tl.load(rates), tl.load(rates + lanes)
        second = tl.load(at + 2 * SIZE)
        if DECAY:
            if OPTIMIZER == ADAM:
                g += decay * p
            else:
                p *= tl.load(rates + 2 * lanes)
        first += rest1 * (g - first)
        second = second * beta2 + g * rest2 * g
        p -= first * size / (tl.sqrt(second) / correction + eps)
        tl.store(at + 2 * SIZE, second)
    tl.store(at + SIZE, first)
    tl.store(at, p)


@triton.jit
def normalised(x, vectors, own, lanes, count, B: tl.constexpr, U: tl.constexpr):
    """``x`` with mean 0 and variance 1 over the batch; see `layers.batch_norm`."""
    eps, share = tl.load(own), tl.load(own + lanes)
    real = (tl.arange(0, B) < count)[:, None]
    centre = tl.sum(tl.where(real, x, 0.0), 0) / count
    normal = tl.where(real, x - centre[None, :], 0.0)
    spread = tl.sum(normal * normal, 0) / count
    mean, var = vectors + 3 * U, vectors + 4 * U
    tl.store(mean, tl.load(mean) * (1 - share) + share * centre)
    unbiased = spread * (count / (count - 1.0))
    tl.store(var, tl.load(var) * (1 - share) + share * unbiased)
    scale = tl.rsqrt(spread + eps)
    tl.store(vectors + 5 * U, scale)
    return normal * scale[None, :]


@triton.jit
def affine(normal, vectors, AFFINE: tl.constexpr, U: tl.constexpr):
    """Batch norm's own weight and bias."""
    if AFFINE:
        normal = normal * tl.load(vectors + U)[None, :] + tl.load(vectors + 2 * U)[None, :]
    return normal


@triton.jit
def normalised_back(
    g, normal, vectors, count, AFFINE: tl.constexpr, B: tl.constexpr, U: tl.constexpr,
    SIZE: tl.constexpr,
):  # fmt: skip
    """The gradient of batch norm's input; see `layers._Normalised`.

    Those of its weight and bias go where the first slot of mean and variance would be: these have none.
    """
    along, whole, scale = tl.sum(g * normal, 0), tl.sum(g, 0), tl.load(vectors + 5 * U)
    if AFFINE:
        scale *= tl.load(vectors + U)
        tl.store(vectors + SIZE + 3 * U, along)
        tl.store(vectors + SIZE + 4 * U, whole)
    g = (g - (whole / count)[None, :] - normal * (along / count)[None, :]) * scale[None, :]
    return tl.where((tl.arange(0, B) < count)[:, None], g, 0.0)


@triton.jit
def activated(x, number, ACTIVATION: tl.constexpr):
    """What an activation gives for ``x``, as torch has it."""
    if ACTIVATION == RELU:
        x = tl.where(x <= 0, 0.0, x)  # NaN stays
    elif ACTIVATION == LEAKY_RELU:
        x = tl.where(x > 0, x, x * number)
    elif ACTIVATION == ELU:
        x = tl.where(x > 0, x, number * (tl.exp(tl.where(x > 0, 0.0, x)) - 1))
    elif ACTIVATION == GELU:
        x = x * 0.5 * (1 + tl.erf(x * 0.7071067811865476))
    elif ACTIVATION == SILU:
        x = x * tl.sigmoid(x)
    else:
        x = 2 * tl.sigmoid(2 * x) - 1
    return x


@triton.jit
def slope_of(x, number, ACTIVATION: tl.constexpr):
    """The activation's slope there, as torch has it."""
    if ACTIVATION == RELU:
        x = tl.where(x <= 0, 0.0, 1.0)
    elif ACTIVATION == LEAKY_RELU:
        x = tl.where(x > 0, 1.0, number)
    elif ACTIVATION == ELU:
        x = tl.where(x > 0, 1.0, number * tl.exp(tl.where(x > 0, 0.0, x)))
    elif ACTIVATION == GELU:
        x = (
            0.5 * (1 + tl.erf(x * 0.7071067811865476))
            + x * tl.exp(-0.5 * x * x) * 0.3989422804014327
        )
    elif ACTIVATION == SILU:
        s = tl.sigmoid(x)
        x = s * (1 + x * (1 - s))
    else:
        t = 2 * tl.sigmoid(2 * x) - 1
        x = 1 - t * t
    return x


@triton.jit
def philox(keys, lanes, LAYER: tl.constexpr, step, start, B: tl.constexpr, U: tl.constexpr):
    """16-bit integers ``(B, U)`` of a step, from block ``start`` of each row on; see `philox.py`."""
    row, block = tl.arange(0, B)[:, None], start + tl.arange(0, U // 16)[None, :]
    blocks = tl.load(keys + (3 + LAYER) * lanes)
    first = row * blocks + block + 1  # whose type is that of blocks, 64 bits
    first += (first * 0 + step) * 4294967296
    w0 = first.to(tl.uint64, bitcast=True)
    zero = w0 ^ w0
    w1, w2, w3 = zero + LAYER, zero, zero
    seed = tl.load(keys + lanes).to(tl.uint64, bitcast=True)
    epoch = tl.load(keys + 2 * lanes).to(tl.uint64, bitcast=True)
    for _ in range(10):
        upper, lower = tl.umulhi(w0, zero + 0xD2E7470EE14C6C93), w0 * 0xD2E7470EE14C6C93
        other, w1_next = tl.umulhi(w2, zero + 0xCA5A826395121157), w2 * 0xCA5A826395121157
        w0 = other ^ w1 ^ seed
        w1 = w1_next
        w2 = upper ^ w3 ^ epoch
        w3 = lower
        seed += 0x9E3779B97F4A7C15
        epoch += 0xBB67AE8584CAA73B
    words = tl.join(tl.join(w0, w2), tl.join(w1, w3))  # in order, once they are in one dimension
    words = tl.reshape(words, (B, U // 16, 4, 1))
    shift = (tl.arange(0, 4) * 16).to(tl.uint64)[None, None, None, :]
    return tl.reshape((words >> shift).to(tl.int16), (B, U))
