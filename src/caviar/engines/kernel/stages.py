"""The stages of a lane's step: each goes from the program's place in memory to it, a tile at a time.

None is inlined: each has registers of its own, and what stays the same in every step is not held in them.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import triton
import triton.language as tl

from caviar.engines.kernel.parts import (
    NO_NORM,
    NORM_AFTER,
    NORM_BEFORE,
    SGD,
    activated,
    affine,
    normalised,
    normalised_back,
    philox,
    slope_of,
    stepped,
    tile,
)


@triton.jit(noinline=True)
def move_layer(
    p, q, r, s, net, units, columns, weight, bias, norm, norm_bias, mean, var, IN: tl.constexpr,
    OPTIMIZER: tl.constexpr, BIAS: tl.constexpr, NORM: tl.constexpr, AFFINE: tl.constexpr,
    U: tl.constexpr, D: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """A layer's numbers from the lane's rows to ``net``, or back.

    There they are U rows of D, and then vectors of U: bias, batch norm's weight and bias, mean, variance
    and scale. The optimizer's slots follow, each SIZE behind what is before it.
    """
    places = weight, bias, norm, norm_bias
    _move_row(p, net, units, columns, places, IN, BIAS, AFFINE, U, D)
    _move_row(q, net + SIZE, units, columns, places, IN, BIAS, AFFINE, U, D)
    if OPTIMIZER != SGD:
        _move_row(r, net + 2 * SIZE, units, columns, places, IN, BIAS, AFFINE, U, D)
    if NORM != NO_NORM:
        u = tl.arange(0, U)
        _copy(s + mean + u, net + U * D + 3 * U + u, u < units, IN)
        _copy(s + var + u, net + U * D + 4 * U + u, u < units, IN)


@triton.jit
def _move_row(
    at, net, units, columns, places, IN: tl.constexpr, BIAS: tl.constexpr,
    AFFINE: tl.constexpr, U: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    u = tl.arange(0, U)
    held = u < units
    for k in range(0, D, 16):
        d = k + tl.arange(0, 16)
        its = held[:, None] & (d < columns)[None, :]
        there = at + places[0] + u[:, None] * columns + d[None, :]
        _copy(there, net + u[:, None] * D + d[None, :], its, IN)
    net += U * D + u
    if BIAS:
        _copy(at + places[1] + u, net, held, IN)
    if AFFINE:
        _copy(at + places[2] + u, net + U, held, IN)
        _copy(at + places[3] + u, net + 2 * U, held, IN)


@triton.jit
def _copy(at, to, held, IN: tl.constexpr):
    """What is not held is 0 there."""
    if IN:
        tl.store(to, tl.load(at, mask=held, other=0.0))
    else:
        tl.store(at, tl.load(to), mask=held)


@triton.jit(noinline=True)
def gather(x, inputs, rows, count, samples, B: tl.constexpr, D: tl.constexpr, TILE: tl.constexpr):
    """A batch to ``inputs``, ``(B, D)``. A sample that there is not is no number: its lane fails."""
    K: tl.constexpr = D if D < TILE else TILE
    b = tl.arange(0, B)
    row = tl.load(rows + b, mask=b < count, other=0)
    there = (row >= 0) & (row < samples)
    for k in range(0, D, K):
        d = k + tl.arange(0, K)
        found = tl.load(
            x + row[:, None] * D + d[None, :], mask=((b < count) & there)[:, None], other=0.0
        )
        tl.store(tile(inputs, 0, k, D, B, K), tl.where(there[:, None], found, float("nan")))


@triton.jit
def _linear(
    x, net, n, BIAS: tl.constexpr, B: tl.constexpr, U: tl.constexpr, D: tl.constexpr,
    N: tl.constexpr, TILE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """What N units from ``n`` on give for ``x``, ``(B, N)``."""
    K: tl.constexpr = D if D < TILE else TILE
    out = tl.zeros((B, N), tl.float32)
    for k in range(0, D, K):
        weight = tl.load(tile(net, n, k, D, N, K))
        out = tl.dot(
            tl.load(tile(x, 0, k, D, B, K)), tl.trans(weight), out, input_precision=PRECISION
        )
    if BIAS:
        out += tl.load(net + U * D + n + tl.arange(0, N))[None, :]
    return out


@triton.jit(noinline=True)
def hidden(
    x, net, saved, own, lanes, count, keys, step, number, LAYER: tl.constexpr,
    ACTIVATION: tl.constexpr, NORM: tl.constexpr, AFFINE: tl.constexpr, BIAS: tl.constexpr,
    DROPOUT: tl.constexpr, B: tl.constexpr, U: tl.constexpr, D: tl.constexpr, TILE: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """A hidden layer, to ``saved``: five matrices ``(B, U)``, of which the fourth is what it gives.

    The others are for the way back: what its activation was given (before batch norm's weight and bias),
    what batch norm after it gave, dropout's factors, and the gradient.
    """
    N: tl.constexpr = U if U < TILE else TILE
    for n in range(0, U, N):
        at, vectors = tile(saved, 0, n, U, B, N), net + U * D + n + tl.arange(0, N)
        out = _linear(x, net, n, BIAS, B, U, D, N, TILE, PRECISION)
        if NORM == NORM_BEFORE:
            out = normalised(out, vectors, own, lanes, count, B, U)
        tl.store(at, out)
        if NORM == NORM_BEFORE:
            out = affine(out, vectors, AFFINE, U)
        out = activated(out, number, ACTIVATION)
        if NORM == NORM_AFTER:
            out = normalised(out, vectors, own, lanes, count, B, U)
            tl.store(at + B * U, out)
            out = affine(out, vectors, AFFINE, U)
        if DROPOUT:
            limit, scale = tl.load(own + 2 * lanes), tl.load(own + 3 * lanes)
            bits = philox(keys, lanes, LAYER, step, n // 16, B, N)
            factors = tl.where(bits.to(tl.float32) >= limit, scale, 0.0)
            tl.store(at + 2 * B * U, factors)
            out *= factors
        tl.store(at + 3 * B * U, out)


@triton.jit(noinline=True)
def hidden_back(
    saved, net, count, number, ACTIVATION: tl.constexpr, NORM: tl.constexpr, AFFINE: tl.constexpr,
    DROPOUT: tl.constexpr, B: tl.constexpr, U: tl.constexpr, D: tl.constexpr, TILE: tl.constexpr,
    SIZE: tl.constexpr,
):  # fmt: skip
    """The gradient in ``saved``, from a hidden layer's output back to its linear one."""
    N: tl.constexpr = U if U < TILE else TILE
    for n in range(0, U, N):
        at, vectors = tile(saved, 0, n, U, B, N), net + U * D + n + tl.arange(0, N)
        g = tl.load(at + 4 * B * U)
        if DROPOUT:
            g *= tl.load(at + 2 * B * U)
        if NORM == NORM_AFTER:
            g = normalised_back(g, tl.load(at + B * U), vectors, count, AFFINE, B, U, SIZE)
        before = tl.load(at)
        if NORM == NORM_BEFORE:
            g *= slope_of(affine(before, vectors, AFFINE, U), number, ACTIVATION)
            g = normalised_back(g, before, vectors, count, AFFINE, B, U, SIZE)
        else:
            g *= slope_of(before, number, ACTIVATION)
        tl.store(at + 4 * B * U, g)


@triton.jit(noinline=True)
def linear_back(
    slope, to, net, B: tl.constexpr, U: tl.constexpr, D: tl.constexpr, TILE: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """The gradient of what a linear layer took, to ``to``, from that of what it gave."""
    M: tl.constexpr = B if B < TILE else TILE
    N: tl.constexpr = U if U < TILE else TILE
    K: tl.constexpr = D if D < TILE else TILE
    for m in range(0, B, M):
        for k in range(0, D, K):
            g = tl.zeros((M, K), tl.float32)
            for n in range(0, U, N):
                weight = tl.load(tile(net, n, k, D, N, K))
                g = tl.dot(
                    tl.load(tile(slope, m, n, U, M, N)), weight, g, input_precision=PRECISION
                )
            tl.store(tile(to, m, k, D, M, K), g)


@triton.jit
def _weights(
    slope, x, n, k, B: tl.constexpr, U: tl.constexpr, D: tl.constexpr, N: tl.constexpr,
    K: tl.constexpr, TILE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The gradient of a linear layer's weights, ``(N, K)`` of it, from that of what it gave for ``x``."""
    M: tl.constexpr = B if B < TILE else TILE
    g = tl.zeros((N, K), tl.float32)
    for m in range(0, B, M):
        its = tl.trans(tl.load(tile(slope, m, n, U, M, N)))
        g = tl.dot(its, tl.load(tile(x, m, k, D, M, K)), g, input_precision=PRECISION)
    return g


@triton.jit(noinline=True)
def add_squares(
    slope, x, net, squares, BIAS: tl.constexpr, AFFINE: tl.constexpr, B: tl.constexpr,
    U: tl.constexpr, D: tl.constexpr, TILE: tl.constexpr, SIZE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Add the squares of all gradients of a layer, which `layer_step` takes again, to ``squares``."""
    N: tl.constexpr = U if U < TILE else TILE
    K: tl.constexpr = D if D < TILE else TILE
    found = tl.zeros((N,), tl.float32)
    for n in range(0, U, N):
        for k in range(0, D, K):
            g = _weights(slope, x, n, k, B, U, D, N, K, TILE, PRECISION)
            found += tl.sum(g * g, 1)
        if BIAS:
            g = tl.sum(tl.load(tile(slope, 0, n, U, B, N)), 0)
            found += g * g
        if AFFINE:
            its = net + U * D + SIZE + 3 * U + n + tl.arange(0, N)
            g, other = tl.load(its), tl.load(its + U)
            found += g * g + other * other
    tl.store(squares, tl.load(squares) + tl.sum(found, 0))


@triton.jit(noinline=True)
def layer_step(
    slope, x, net, own, rates, lanes, squares, CLIP: tl.constexpr, BIAS: tl.constexpr,
    AFFINE: tl.constexpr, OPTIMIZER: tl.constexpr, DECAY_ALL: tl.constexpr, B: tl.constexpr,
    U: tl.constexpr, D: tl.constexpr, TILE: tl.constexpr, SIZE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Step a linear layer, by the gradient of what it gave for ``x``, and the batch norm beside it."""
    N: tl.constexpr = U if U < TILE else TILE
    K: tl.constexpr = D if D < TILE else TILE
    for n in range(0, U, N):
        for k in range(0, D, K):
            g = _weights(slope, x, n, k, B, U, D, N, K, TILE, PRECISION)
            at = tile(net, n, k, D, N, K)
            stepped(at, own, rates, lanes, g, squares, CLIP, OPTIMIZER, True, SIZE)
        vectors = net + U * D + n + tl.arange(0, N)
        if BIAS:
            g = tl.sum(tl.load(tile(slope, 0, n, U, B, N)), 0)
            stepped(vectors, own, rates, lanes, g, squares, CLIP, OPTIMIZER, DECAY_ALL, SIZE)
        if AFFINE:
            g, other = tl.load(vectors + SIZE + 3 * U), tl.load(vectors + SIZE + 4 * U)
            stepped(vectors + U, own, rates, lanes, g, squares, CLIP, OPTIMIZER, DECAY_ALL, SIZE)
            stepped(
                vectors + 2 * U, own, rates, lanes, other, squares, CLIP, OPTIMIZER, DECAY_ALL, SIZE
            )


@triton.jit(noinline=True)
def loss_of_classes(
    x, net, slope, y, rows, count, samples, smoothing, weights, classes, losses, BIAS: tl.constexpr,
    B: tl.constexpr, C: tl.constexpr, D: tl.constexpr, TILE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The last layer and the loss, whose gradient goes to ``slope``; see `backend.cross_entropy`."""
    b, c = tl.arange(0, B), tl.arange(0, C)
    row = tl.load(rows + b, mask=b < count, other=0)
    target = tl.load(y + row, mask=(row >= 0) & (row < samples), other=0)
    known, smooth = (c < classes)[None, :], tl.load(smoothing)
    share = tl.load(weights + c, mask=c < classes, other=0.0)
    logits = tl.where(known, _linear(x, net, 0, BIAS, B, C, D, C, TILE, PRECISION), float("-inf"))
    shifted = logits - tl.max(logits, 1)[:, None]
    powers = tl.exp(shifted)
    whole = tl.sum(powers, 1)
    chances = tl.where(known, shifted - tl.log(whole)[:, None], 0.0)
    hit = tl.where(c[None, :] == target[:, None], 1 - smooth, 0.0)
    wanted = (hit + smooth / classes) * share[None, :]
    # Where none is wanted, minus infinity counts as nothing; NaN does not.
    parts = tl.where((wanted == 0) & (chances == chances), 0.0, -wanted * chances)
    each = tl.where(b < count, tl.sum(parts, 1), 0.0)
    g = (powers / whole[:, None] * tl.sum(wanted, 1)[:, None] - wanted) / count
    tl.store(tile(slope, 0, 0, C, B, C), tl.where((b < count)[:, None], g, 0.0))
    loss = tl.sum(each, 0) / count
    tl.store(losses, tl.load(losses) + loss)
