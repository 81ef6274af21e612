"""The steps of a lane as one Triton program: a multiprocessor of a GPU has a lane until its epoch is over.

One launch trains all lanes. A lane's numbers stay where `LaneTensors` has them, and a lane is so small that
they are in its multiprocessor's cache after the first step. What numbers are written by one thread and read
by another, there is a barrier between.

Sizes in capitals are powers of two that the real ones are rounded up to; what lies beyond is read as 0 and
never written.
"""

from __future__ import annotations

import triton
import triton.language as tl

RELU, LEAKY_RELU, ELU, GELU, SILU, TANH, SIGMOID = (tl.constexpr(number) for number in (0, 1, 2, 3, 5, 6, 7))
"""Activations, by their numbers in `loop.cpp`."""

SGD, ADAM, ADAMW, RMSPROP = (tl.constexpr(number) for number in range(4))
"""Optimizers, by their numbers in `loop.cpp`."""

NO_NORM, NORM_BEFORE, NORM_AFTER = (tl.constexpr(number) for number in range(3))
"""Where a hidden layer has batch norm: nowhere, before its activation, or after."""

CONSTANTS = tl.constexpr(6)
"""Rows of ``numbers`` that are the optimizer's."""

OWN = tl.constexpr(4)
"""Rows of ``numbers`` after those for each hidden layer: eps, momentum, and dropout's limit and scale."""


@triton.jit
def train(
    parameters, running, first_slot, second_slot, work,
    x, y, order, columns, keys, numbers, smoothing, weights, losses,
    lanes, parameter_row, running_row, order_row, column_count,
    samples, features, classes, batch, steps, seen,
    one, two, last,
    activation_number,
    DEPTH: tl.constexpr, OPTIMIZER: tl.constexpr, DECAY_ALL: tl.constexpr, ACTIVATION: tl.constexpr,
    NORM: tl.constexpr, AFFINE: tl.constexpr, DROPOUT: tl.constexpr,
    HIDDEN_BIAS: tl.constexpr, LAST_BIAS: tl.constexpr,
    B: tl.constexpr, D: tl.constexpr, U: tl.constexpr, V: tl.constexpr, C: tl.constexpr,
    TILE: tl.constexpr, SIZE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Take ``steps`` steps of the lane that ``keys`` names for this program.

    Args:
        parameters, running, first_slot, second_slot: `LaneTensors`' matrices, a row a lane.
        work: ``(lanes, 3 * SIZE + B * (D + 5 * U + 5 * V + C))``, where a lane is while it is trained: its
            parameters and slots, SIZE each; a batch; five matrices for each hidden layer; and a gradient.
        x, y: ``(samples, D)`` and ``(samples,)``; order: a row a lane, ``seen`` of it count.
        columns: the optimizer's, ``(steps, column_count, lanes)``.
        keys: ``(5, lanes)``: which lane a program trains; of each lane the seed, the epoch, and the
            blocks that a row of each dropout layer takes.
        numbers: ``(CONSTANTS + 2 * OWN, lanes)``.
        losses: ``(lanes,)``: the mean loss of each step is added.
        one, two, last: of each layer units, and where its weight, bias, batch norm's weight and bias
            lie in a row of ``parameters``, and its mean and variance in a row of ``running``.
        activation_number: LeakyReLU's slope, or ELU's alpha.
    """
    W: tl.constexpr = V if DEPTH > 1 else (U if DEPTH > 0 else D)
    TWO: tl.constexpr = U * (D + 6) if DEPTH > 0 else 0
    LAST: tl.constexpr = TWO + V * (U + 6) if DEPTH > 1 else TWO
    lane = tl.load(keys + tl.program_id(0))
    net = work + lane * (3 * SIZE + B * (D + 5 * U + 5 * V + C))
    p, q, r, s = (
        parameters + lane * parameter_row, first_slot + lane * parameter_row,
        second_slot + lane * parameter_row, running + lane * running_row,
    )  # fmt: skip
    width = two[0] if DEPTH > 1 else (one[0] if DEPTH > 0 else features)
    if DEPTH > 0:
        _move(p, q, r, s, net, one[0], features, one[1], one[2], one[3], one[4], one[5], one[6], True,
              OPTIMIZER, HIDDEN_BIAS, NORM, AFFINE, U, D, TILE, SIZE)  # fmt: skip
    if DEPTH > 1:
        _move(p, q, r, s, net + TWO, two[0], one[0], two[1], two[2], two[3], two[4], two[5], two[6], True,
              OPTIMIZER, HIDDEN_BIAS, NORM, AFFINE, V, U, TILE, SIZE)  # fmt: skip
    _move(p, q, r, s, net + LAST, last[0], width, last[1], last[2], 0, 0, 0, 0, True,
          OPTIMIZER, LAST_BIAS, NO_NORM, False, C, W, TILE, SIZE)  # fmt: skip
    tl.debug_barrier()

    inputs = net + 3 * SIZE
    first = inputs + B * D
    second = first + 5 * B * U
    slope = second + 5 * B * V
    before = second + 3 * B * V if DEPTH > 1 else (first + 3 * B * U if DEPTH > 0 else inputs)
    own, of_first = numbers + lane, numbers + lane + CONSTANTS * lanes
    of_second = of_first + OWN * lanes
    for step in range(steps):
        count = tl.minimum(batch, seen - step * batch)
        rates = columns + step * column_count * lanes + lane
        rows = order + lane * order_row + step * batch
        _gather(x, inputs, rows, count, samples, B, D, TILE)
        tl.debug_barrier()
        if DEPTH > 0:
            _hidden(
                inputs, net, first, of_first, lanes, count, keys + lane, step, activation_number,
                0, ACTIVATION, NORM, AFFINE, HIDDEN_BIAS, DROPOUT, B, U, D, TILE, PRECISION,
            )  # fmt: skip
            tl.debug_barrier()
        if DEPTH > 1:
            _hidden(
                first + 3 * B * U, net + TWO, second, of_second, lanes, count, keys + lane, step,
                activation_number, 1, ACTIVATION, NORM, AFFINE, HIDDEN_BIAS, DROPOUT, B, V, U, TILE, PRECISION,
            )  # fmt: skip
            tl.debug_barrier()
        _classes(
            before, net + LAST, slope, y, rows, count, samples, smoothing + lane, weights + lane * classes,
            classes, losses + lane, LAST_BIAS, B, C, W, TILE, PRECISION,
        )  # fmt: skip
        tl.debug_barrier()
        _linear_back(
            slope, before, before + B * W, net + LAST, own, rates, lanes, LAST_BIAS, OPTIMIZER, DECAY_ALL,
            DEPTH > 0, B, C, W, TILE, SIZE, PRECISION,
        )  # fmt: skip
        if DEPTH > 1:
            tl.debug_barrier()
            _hidden_back(
                second, net + TWO, own, rates, lanes, count, activation_number, ACTIVATION, NORM, AFFINE,
                DROPOUT, OPTIMIZER, DECAY_ALL, B, V, U, TILE, SIZE,
            )  # fmt: skip
            tl.debug_barrier()
            _linear_back(
                second + 4 * B * V, first + 3 * B * U, first + 4 * B * U, net + TWO, own, rates, lanes,
                HIDDEN_BIAS, OPTIMIZER, DECAY_ALL, True, B, V, U, TILE, SIZE, PRECISION,
            )  # fmt: skip
        if DEPTH > 0:
            tl.debug_barrier()
            _hidden_back(
                first, net, own, rates, lanes, count, activation_number, ACTIVATION, NORM, AFFINE,
                DROPOUT, OPTIMIZER, DECAY_ALL, B, U, D, TILE, SIZE,
            )  # fmt: skip
            tl.debug_barrier()
            _linear_back(
                first + 4 * B * U, inputs, inputs, net, own, rates, lanes, HIDDEN_BIAS, OPTIMIZER, DECAY_ALL,
                False, B, U, D, TILE, SIZE, PRECISION,
            )  # fmt: skip
        tl.debug_barrier()

    if DEPTH > 0:
        _move(p, q, r, s, net, one[0], features, one[1], one[2], one[3], one[4], one[5], one[6], False,
              OPTIMIZER, HIDDEN_BIAS, NORM, AFFINE, U, D, TILE, SIZE)  # fmt: skip
    if DEPTH > 1:
        _move(p, q, r, s, net + TWO, two[0], one[0], two[1], two[2], two[3], two[4], two[5], two[6], False,
              OPTIMIZER, HIDDEN_BIAS, NORM, AFFINE, V, U, TILE, SIZE)  # fmt: skip
    _move(p, q, r, s, net + LAST, last[0], width, last[1], last[2], 0, 0, 0, 0, False,
          OPTIMIZER, LAST_BIAS, NO_NORM, False, C, W, TILE, SIZE)  # fmt: skip


@triton.jit(noinline=True)
def _move(p, q, r, s, net, units, columns, weight, bias, norm, norm_bias, mean, var, IN: tl.constexpr,
          OPTIMIZER: tl.constexpr, BIAS: tl.constexpr, NORM: tl.constexpr, AFFINE: tl.constexpr,
          U: tl.constexpr, D: tl.constexpr, TILE: tl.constexpr, SIZE: tl.constexpr):  # fmt: skip
    """A layer's numbers from the lane's rows to ``net``, or back: there they are U rows of D, and then vectors
    of U: bias, batch norm's weight and bias, mean, variance and scale. A slot is SIZE behind the other."""
    _move_one(p, net, units, columns, weight, bias, norm, norm_bias, IN, BIAS, AFFINE, U, D, TILE)
    _move_one(q, net + SIZE, units, columns, weight, bias, norm, norm_bias, IN, BIAS, AFFINE, U, D, TILE)
    if OPTIMIZER != SGD:
        _move_one(r, net + 2 * SIZE, units, columns, weight, bias, norm, norm_bias, IN, BIAS, AFFINE, U, D, TILE)
    if NORM != NO_NORM:
        u = tl.arange(0, U)
        _copy(s + mean + u, net + U * D + 3 * U + u, u < units, IN)
        _copy(s + var + u, net + U * D + 4 * U + u, u < units, IN)


@triton.jit
def _move_one(at, net, units, columns, weight, bias, norm, norm_bias, IN: tl.constexpr, BIAS: tl.constexpr,
              AFFINE: tl.constexpr, U: tl.constexpr, D: tl.constexpr, TILE: tl.constexpr):  # fmt: skip
    u = tl.arange(0, U)
    held = u < units
    for k in range(0, D, 16):
        d = k + tl.arange(0, 16)
        its = held[:, None] & (d < columns)[None, :]
        _copy(at + weight + u[:, None] * columns + d[None, :], net + u[:, None] * D + d[None, :], its, IN)
    net += U * D + u
    if BIAS:
        _copy(at + bias + u, net, held, IN)
    if AFFINE:
        _copy(at + norm + u, net + U, held, IN)
        _copy(at + norm_bias + u, net + 2 * U, held, IN)


@triton.jit
def _copy(at, to, held, IN: tl.constexpr):
    """What is not held is 0 there."""
    if IN:
        tl.store(to, tl.load(at, mask=held, other=0.0))
    else:
        tl.store(at, tl.load(to), mask=held)


@triton.jit
def _tile(at, row, column, ROW: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """Where ``(R, C)`` of a matrix lie, whose rows are of ROW numbers."""
    return at + (row + tl.arange(0, R))[:, None] * ROW + (column + tl.arange(0, C))[None, :]


@triton.jit(noinline=True)
def _gather(x, inputs, rows, count, samples, B: tl.constexpr, D: tl.constexpr, TILE: tl.constexpr):
    """A batch to ``inputs``, ``(B, D)``. A sample that there is not is no number: its lane fails."""
    K: tl.constexpr = D if D < TILE else TILE
    b = tl.arange(0, B)
    row = tl.load(rows + b, mask=b < count, other=0)
    there = (row >= 0) & (row < samples)
    for k in range(0, D, K):
        d = k + tl.arange(0, K)
        found = tl.load(x + row[:, None] * D + d[None, :], mask=((b < count) & there)[:, None], other=0.0)
        tl.store(_tile(inputs, 0, k, D, B, K), tl.where(there[:, None], found, float("nan")))


@triton.jit
def _linear(x, net, n, BIAS: tl.constexpr, B: tl.constexpr, U: tl.constexpr, D: tl.constexpr,
            N: tl.constexpr, TILE: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """What N units from ``n`` on give for ``x``, ``(B, N)``."""
    K: tl.constexpr = D if D < TILE else TILE
    out = tl.zeros((B, N), tl.float32)
    for k in range(0, D, K):
        weight = tl.load(_tile(net, n, k, D, N, K))
        out = tl.dot(tl.load(_tile(x, 0, k, D, B, K)), tl.trans(weight), out, input_precision=PRECISION)
    if BIAS:
        out += tl.load(net + U * D + n + tl.arange(0, N))[None, :]
    return out


@triton.jit(noinline=True)
def _hidden(x, net, saved, own, lanes, count, keys, step, number,
            LAYER: tl.constexpr, ACTIVATION: tl.constexpr, NORM: tl.constexpr, AFFINE: tl.constexpr,
            BIAS: tl.constexpr, DROPOUT: tl.constexpr, B: tl.constexpr, U: tl.constexpr, D: tl.constexpr,
            TILE: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """A hidden layer, to ``saved``: five matrices ``(B, U)``, of which the fourth is what it gives.

    The others are for the way back: what its activation was given (before batch norm's weight and bias), what
    batch norm after it gave, dropout's factors, and the gradient.
    """
    N: tl.constexpr = U if U < TILE else TILE
    for n in range(0, U, N):
        at, vectors = _tile(saved, 0, n, U, B, N), net + U * D + n + tl.arange(0, N)
        out = _linear(x, net, n, BIAS, B, U, D, N, TILE, PRECISION)
        if NORM == NORM_BEFORE:
            out = _normalised(out, vectors, own, lanes, count, B, U)
        tl.store(at, out)
        if NORM == NORM_BEFORE:
            out = _affine(out, vectors, AFFINE, U)
        out = _activated(out, number, ACTIVATION)
        if NORM == NORM_AFTER:
            out = _normalised(out, vectors, own, lanes, count, B, U)
            tl.store(at + B * U, out)
            out = _affine(out, vectors, AFFINE, U)
        if DROPOUT:
            limit, scale = tl.load(own + 2 * lanes), tl.load(own + 3 * lanes)
            bits = _philox(keys, lanes, LAYER, step, n // 16, B, N)
            factors = tl.where(bits.to(tl.float32) >= limit, scale, 0.0)
            tl.store(at + 2 * B * U, factors)
            out *= factors
        tl.store(at + 3 * B * U, out)


@triton.jit(noinline=True)
def _hidden_back(saved, net, own, rates, lanes, count, number,
                 ACTIVATION: tl.constexpr, NORM: tl.constexpr, AFFINE: tl.constexpr, DROPOUT: tl.constexpr,
                 OPTIMIZER: tl.constexpr, DECAY_ALL: tl.constexpr, B: tl.constexpr, U: tl.constexpr,
                 D: tl.constexpr, TILE: tl.constexpr, SIZE: tl.constexpr):  # fmt: skip
    """The gradient in ``saved`` from a hidden layer's output back to its linear one; steps its batch norm."""
    N: tl.constexpr = U if U < TILE else TILE
    for n in range(0, U, N):
        at, vectors = _tile(saved, 0, n, U, B, N), net + U * D + n + tl.arange(0, N)
        g = tl.load(at + 4 * B * U)
        if DROPOUT:
            g *= tl.load(at + 2 * B * U)
        if NORM == NORM_AFTER:
            g = _normalised_back(g, tl.load(at + B * U), vectors, own, rates, lanes, count, AFFINE,
                                 OPTIMIZER, DECAY_ALL, B, U, SIZE)  # fmt: skip
        before = tl.load(at)
        if NORM == NORM_BEFORE:
            g *= _slope(_affine(before, vectors, AFFINE, U), number, ACTIVATION)
            g = _normalised_back(g, before, vectors, own, rates, lanes, count, AFFINE, OPTIMIZER,
                                 DECAY_ALL, B, U, SIZE)  # fmt: skip
        else:
            g *= _slope(before, number, ACTIVATION)
        tl.store(at + 4 * B * U, g)


@triton.jit(noinline=True)
def _linear_back(slope, x, to, net, own, rates, lanes, BIAS: tl.constexpr, OPTIMIZER: tl.constexpr,
                 DECAY_ALL: tl.constexpr, ON: tl.constexpr, B: tl.constexpr, U: tl.constexpr, D: tl.constexpr,
                 TILE: tl.constexpr, SIZE: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """Step a linear layer by the gradient of what it gave for ``x``; that of ``x`` goes to ``to``, if ON."""
    N: tl.constexpr = U if U < TILE else TILE
    K: tl.constexpr = D if D < TILE else TILE
    if ON:
        for k in range(0, D, K):
            g = tl.zeros((B, K), tl.float32)
            for n in range(0, U, N):
                weight = tl.load(_tile(net, n, k, D, N, K))
                g = tl.dot(tl.load(_tile(slope, 0, n, U, B, N)), weight, g, input_precision=PRECISION)
            tl.store(_tile(to, 0, k, D, B, K), g)
        tl.debug_barrier()
    for n in range(0, U, N):
        for k in range(0, D, K):
            g = tl.load(_tile(slope, 0, n, U, B, N))
            g = tl.dot(tl.trans(g), tl.load(_tile(x, 0, k, D, B, K)), input_precision=PRECISION)
            _step(_tile(net, n, k, D, N, K), own, rates, lanes, g, OPTIMIZER, True, SIZE)
        if BIAS:
            g = tl.sum(tl.load(_tile(slope, 0, n, U, B, N)), 0)
            _step(net + U * D + n + tl.arange(0, N), own, rates, lanes, g, OPTIMIZER, DECAY_ALL, SIZE)


@triton.jit
def _step(at, own, rates, lanes, g, OPTIMIZER: tl.constexpr, DECAY: tl.constexpr, SIZE: tl.constexpr):
    """A step of an optimizer of `optimizers.py`, whose constants and columns are in its order there."""
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
def _normalised(x, vectors, own, lanes, count, B: tl.constexpr, U: tl.constexpr):
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
def _affine(normal, vectors, AFFINE: tl.constexpr, U: tl.constexpr):
    if AFFINE:
        normal = normal * tl.load(vectors + U)[None, :] + tl.load(vectors + 2 * U)[None, :]
    return normal


@triton.jit
def _normalised_back(g, normal, vectors, own, rates, lanes, count, AFFINE: tl.constexpr,
                     OPTIMIZER: tl.constexpr, DECAY_ALL: tl.constexpr, B: tl.constexpr, U: tl.constexpr,
                     SIZE: tl.constexpr):  # fmt: skip
    """The gradient of batch norm's input; see `layers._Normalised`. Steps its weight and bias."""
    along, whole, scale = tl.sum(g * normal, 0), tl.sum(g, 0), tl.load(vectors + 5 * U)
    if AFFINE:
        weight = tl.load(vectors + U)
        tl.debug_barrier()
        _step(vectors + U, own, rates, lanes, along, OPTIMIZER, DECAY_ALL, SIZE)
        _step(vectors + 2 * U, own, rates, lanes, whole, OPTIMIZER, DECAY_ALL, SIZE)
        scale *= weight
    g = (g - (whole / count)[None, :] - normal * (along / count)[None, :]) * scale[None, :]
    return tl.where((tl.arange(0, B) < count)[:, None], g, 0.0)


@triton.jit
def _activated(x, number, ACTIVATION: tl.constexpr):
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
    elif ACTIVATION == TANH:
        x = 2 * tl.sigmoid(2 * x) - 1
    else:
        x = tl.sigmoid(x)
    return x


@triton.jit
def _slope(x, number, ACTIVATION: tl.constexpr):
    if ACTIVATION == RELU:
        x = tl.where(x > 0, 1.0, 0.0)
    elif ACTIVATION == LEAKY_RELU:
        x = tl.where(x > 0, 1.0, number)
    elif ACTIVATION == ELU:
        x = tl.where(x > 0, 1.0, number * tl.exp(tl.where(x > 0, 0.0, x)))
    elif ACTIVATION == GELU:
        x = 0.5 * (1 + tl.erf(x * 0.7071067811865476)) + x * tl.exp(-0.5 * x * x) * 0.3989422804014327
    elif ACTIVATION == SILU:
        s = tl.sigmoid(x)
        x = s * (1 + x * (1 - s))
    elif ACTIVATION == TANH:
        t = 2 * tl.sigmoid(2 * x) - 1
        x = 1 - t * t
    else:
        s = tl.sigmoid(x)
        x = s * (1 - s)
    return x


@triton.jit(noinline=True)
def _classes(x, net, slope, y, rows, count, samples, smoothing, weights, classes, losses, BIAS: tl.constexpr,
             B: tl.constexpr, C: tl.constexpr, D: tl.constexpr, TILE: tl.constexpr,
             PRECISION: tl.constexpr):  # fmt: skip
    """The last layer and the loss, whose gradient goes to ``slope``; see `loss.cross_entropy`."""
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
    each = tl.where(b < count, tl.sum(tl.where(wanted == 0, 0.0, -wanted * chances), 1), 0.0)
    g = (powers / whole[:, None] * tl.sum(wanted, 1)[:, None] - wanted) / count
    tl.store(_tile(slope, 0, 0, C, B, C), tl.where((b < count)[:, None], g, 0.0))
    loss = tl.sum(each, 0) / count
    tl.store(losses, tl.load(losses) + loss)


@triton.jit
def _philox(keys, lanes, LAYER: tl.constexpr, step, start, B: tl.constexpr, U: tl.constexpr):
    """16-bit integers ``(B, U)`` of a step, from a block of each row on: Philox 4x64 in ten rounds, a block for 16 of them."""
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
    words = tl.join(tl.join(w0, w2), tl.join(w1, w3))  # the last but one: which of two; the last: of which
    words = tl.reshape(words, (B, U // 16, 4, 1))
    shift = (tl.arange(0, 4) * 16).to(tl.uint64)[None, None, None, :]
    return tl.reshape((words >> shift).to(tl.int16), (B, U))
