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
    SIZE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Take ``steps`` steps of the lane that ``keys`` names for this program.

    Args:
        parameters, running, first_slot, second_slot: `LaneTensors`' matrices, a row a lane.
        work: ``(lanes, 3 * SIZE + 4 * B * (U + V))``, where a program has its lane's numbers while it trains:
            parameters, both slots, and what the way back needs.
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
    TWO: tl.constexpr = U * D + 6 * U if DEPTH > 0 else 0
    LAST: tl.constexpr = TWO + V * U + 6 * V if DEPTH > 1 else TWO
    lane = tl.load(keys + tl.program_id(0))
    net = work + lane * (3 * SIZE + 4 * B * (U + V))
    rows = (
        parameters + lane * parameter_row, first_slot + lane * parameter_row,
        second_slot + lane * parameter_row, running + lane * running_row,
    )  # fmt: skip
    width = two[0] if DEPTH > 1 else (one[0] if DEPTH > 0 else features)
    if DEPTH > 0:
        _move(rows, net, one, features, True, OPTIMIZER, HIDDEN_BIAS, NORM, AFFINE, U, D, SIZE)
    if DEPTH > 1:
        _move(rows, net + TWO, two, one[0], True, OPTIMIZER, HIDDEN_BIAS, NORM, AFFINE, V, U, SIZE)
    _move(rows, net + LAST, last, width, True, OPTIMIZER, LAST_BIAS, NO_NORM, False, C, W, SIZE)
    tl.debug_barrier()

    total = 0.0
    for step in range(steps):
        total += _one_step(
            net, x, y, order, columns, keys, numbers, smoothing, weights, lane, step,
            lanes, order_row, column_count, samples, classes, batch, seen, activation_number,
            DEPTH, OPTIMIZER, DECAY_ALL, ACTIVATION, NORM, AFFINE, DROPOUT, HIDDEN_BIAS, LAST_BIAS,
            B, D, U, V, C, SIZE, PRECISION,
        )  # fmt: skip
    tl.store(losses + lane, tl.load(losses + lane) + total)
    if DEPTH > 0:
        _move(rows, net, one, features, False, OPTIMIZER, HIDDEN_BIAS, NORM, AFFINE, U, D, SIZE)
    if DEPTH > 1:
        _move(rows, net + TWO, two, one[0], False, OPTIMIZER, HIDDEN_BIAS, NORM, AFFINE, V, U, SIZE)
    _move(rows, net + LAST, last, width, False, OPTIMIZER, LAST_BIAS, NO_NORM, False, C, W, SIZE)


@triton.jit(noinline=True)
def _one_step(
    net, x, y, order, columns, keys, numbers, smoothing, weights, lane, step,
    lanes, order_row, column_count, samples, classes, batch, seen, activation_number,
    DEPTH: tl.constexpr, OPTIMIZER: tl.constexpr, DECAY_ALL: tl.constexpr, ACTIVATION: tl.constexpr,
    NORM: tl.constexpr, AFFINE: tl.constexpr, DROPOUT: tl.constexpr,
    HIDDEN_BIAS: tl.constexpr, LAST_BIAS: tl.constexpr,
    B: tl.constexpr, D: tl.constexpr, U: tl.constexpr, V: tl.constexpr, C: tl.constexpr,
    SIZE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Take a step; its loss, before it. Not inlined: addresses that are the same in each step would be spilled."""
    W: tl.constexpr = V if DEPTH > 1 else (U if DEPTH > 0 else D)
    TWO: tl.constexpr = U * D + 6 * U if DEPTH > 0 else 0
    LAST: tl.constexpr = TWO + V * U + 6 * V if DEPTH > 1 else TWO
    seed = tl.load(keys + lanes + lane).to(tl.uint64, bitcast=True)
    epoch = tl.load(keys + 2 * lanes + lane).to(tl.uint64, bitcast=True)
    blocks, its_blocks = tl.load(keys + 3 * lanes + lane), tl.load(keys + 4 * lanes + lane)
    own, rates = numbers + lane, columns + step * column_count * lanes + lane
    b, c = tl.arange(0, B), tl.arange(0, C)
    count = tl.minimum(batch, seen - step * batch)
    real = b < count
    row = tl.load(order + lane * order_row + step * batch + b, mask=real, other=0)
    there = (row >= 0) & (row < samples)
    inputs = _samples(x, row, there, real, D)
    target = tl.load(y + row, mask=real & there, other=0)
    saved = net + 3 * SIZE
    its = saved + 4 * B * U

    h = inputs
    if DEPTH > 0:
        h = _hidden(
            h, net, saved, own + CONSTANTS * lanes, lanes, real, count, seed, epoch, 0, step, blocks,
            activation_number, ACTIVATION, NORM, AFFINE, HIDDEN_BIAS, DROPOUT, B, U, D, PRECISION,
        )  # fmt: skip
    g = h
    if DEPTH > 1:
        g = _hidden(
            h, net + TWO, its, own + (CONSTANTS + OWN) * lanes, lanes, real, count, seed, epoch, 1, step,
            its_blocks, activation_number, ACTIVATION, NORM, AFFINE, HIDDEN_BIAS, DROPOUT, B, V, U, PRECISION,
        )  # fmt: skip
    logits = _linear(g, net + LAST, LAST_BIAS, C, W, PRECISION)
    smooth = tl.load(smoothing + lane)
    share = tl.load(weights + lane * classes + c, mask=c < classes, other=0.0)
    loss, slope = _cross_entropy(logits, target, real, count, smooth, share, classes, C)

    tl.debug_barrier()
    if DEPTH > 1:
        g = _matrix(its + 3 * B * V, B, V)
    elif DEPTH > 0:
        g = _matrix(saved + 3 * B * U, B, U)
    g = _step_linear(
        slope, g, net + LAST, own, rates, lanes, LAST_BIAS, OPTIMIZER, DECAY_ALL, DEPTH > 0, C, W, SIZE,
        PRECISION,
    )  # fmt: skip
    if DEPTH > 1:
        g = _hidden_back(
            g, net + TWO, its, own, rates, lanes, real, count, activation_number, ACTIVATION, NORM, AFFINE,
            DROPOUT, OPTIMIZER, DECAY_ALL, B, V, U, SIZE,
        )  # fmt: skip
        g = _step_linear(
            g, _matrix(saved + 3 * B * U, B, U), net + TWO, own, rates, lanes, HIDDEN_BIAS, OPTIMIZER,
            DECAY_ALL, True, V, U, SIZE, PRECISION,
        )  # fmt: skip
    if DEPTH > 0:
        g = _hidden_back(
            g, net, saved, own, rates, lanes, real, count, activation_number, ACTIVATION, NORM, AFFINE,
            DROPOUT, OPTIMIZER, DECAY_ALL, B, U, D, SIZE,
        )  # fmt: skip
        _step_linear(
            g, _samples(x, row, there, real, D), net, own, rates, lanes, HIDDEN_BIAS, OPTIMIZER, DECAY_ALL,
            False, U, D, SIZE, PRECISION,
        )  # fmt: skip
    tl.debug_barrier()
    return loss


@triton.jit
def _samples(x, row, there, real, D: tl.constexpr):
    """A batch, ``(B, D)``. A sample that there is not is no number: its lane fails."""
    at = x + row[:, None] * D + tl.arange(0, D)[None, :]
    found = tl.load(at, mask=(real & there)[:, None], other=0.0)
    return tl.where(there[:, None], found, float("nan"))


@triton.jit
def _move(rows, net, places, columns, IN: tl.constexpr, OPTIMIZER: tl.constexpr, BIAS: tl.constexpr,
          NORM: tl.constexpr, AFFINE: tl.constexpr, U: tl.constexpr, D: tl.constexpr,
          SIZE: tl.constexpr):  # fmt: skip
    """A layer's numbers from the lane's rows to ``net``, or back: there they are U rows of D, and then
    vectors of U: bias, batch norm's weight and bias, mean, variance and scale. A slot is SIZE behind the other."""
    u, d = tl.arange(0, U), tl.arange(0, D)
    held = (u < places[0])[:, None] & (d < columns)[None, :]
    for bank in tl.static_range(3):
        if bank < 2 or OPTIMIZER != SGD:
            at, to = rows[bank], net + bank * SIZE
            _copy(at + places[1] + u[:, None] * columns + d[None, :], to + u[:, None] * D + d[None, :],
                  held, IN)  # fmt: skip
            to += U * D + u
            if BIAS:
                _copy(at + places[2] + u, to, u < places[0], IN)
            if AFFINE:
                _copy(at + places[3] + u, to + U, u < places[0], IN)
                _copy(at + places[4] + u, to + 2 * U, u < places[0], IN)
    if NORM != NO_NORM:
        _copy(rows[3] + places[5] + u, net + U * D + 3 * U + u, u < places[0], IN)
        _copy(rows[3] + places[6] + u, net + U * D + 4 * U + u, u < places[0], IN)


@triton.jit
def _copy(at, to, held, IN: tl.constexpr):
    """What is not held is 0 there."""
    if IN:
        tl.store(to, tl.load(at, mask=held, other=0.0))
    else:
        tl.store(at, tl.load(to), mask=held)


@triton.jit
def _matrix(net, U: tl.constexpr, D: tl.constexpr):
    return tl.load(net + tl.arange(0, U)[:, None] * D + tl.arange(0, D)[None, :])


@triton.jit
def _linear(x, net, BIAS: tl.constexpr, U: tl.constexpr, D: tl.constexpr, PRECISION: tl.constexpr):
    """``x`` of shape ``(B, D)``; ``(B, U)``."""
    out = tl.dot(x, tl.trans(_matrix(net, U, D)), input_precision=PRECISION)
    if BIAS:
        out += tl.load(net + U * D + tl.arange(0, U))[None, :]
    return out


@triton.jit
def _hidden(x, net, saved, own, lanes, real, count, seed, epoch, layer, step, blocks, number,
            ACTIVATION: tl.constexpr, NORM: tl.constexpr, AFFINE: tl.constexpr, BIAS: tl.constexpr,
            DROPOUT: tl.constexpr, B: tl.constexpr, U: tl.constexpr, D: tl.constexpr,
            PRECISION: tl.constexpr):  # fmt: skip
    """What a hidden layer gives; ``saved`` is what the way back needs: four matrices ``(B, U)``."""
    at = saved + tl.arange(0, B)[:, None] * U + tl.arange(0, U)[None, :]
    out = _linear(x, net, BIAS, U, D, PRECISION)
    if NORM == NORM_BEFORE:
        out = _normalised(out, net + U * D, own, lanes, real, count, U)
    tl.store(at, out)
    if NORM == NORM_BEFORE:
        out = _affine(out, net + U * D, AFFINE, U)
    out = _activated(out, number, ACTIVATION)
    if NORM == NORM_AFTER:
        out = _normalised(out, net + U * D, own, lanes, real, count, U)
        tl.store(at + B * U, out)
        out = _affine(out, net + U * D, AFFINE, U)
    if DROPOUT:
        limit, scale = tl.load(own + 2 * lanes), tl.load(own + 3 * lanes)
        bits = _philox(seed, epoch, layer, step, blocks, B, U)
        factors = tl.where(bits.to(tl.float32) >= limit, scale, 0.0)
        tl.store(at + 2 * B * U, factors)
        out *= factors
    tl.store(at + 3 * B * U, out)
    return out


@triton.jit
def _hidden_back(g, net, saved, own, rates, lanes, real, count, number,
                 ACTIVATION: tl.constexpr, NORM: tl.constexpr, AFFINE: tl.constexpr, DROPOUT: tl.constexpr,
                 OPTIMIZER: tl.constexpr, DECAY_ALL: tl.constexpr, B: tl.constexpr, U: tl.constexpr,
                 D: tl.constexpr, SIZE: tl.constexpr):  # fmt: skip
    """The gradient of what a hidden layer's linear one gave, from that of its output; steps its batch norm."""
    vectors = net + U * D
    if DROPOUT:
        g *= _matrix(saved + 2 * B * U, B, U)
    if NORM == NORM_AFTER:
        g = _normalised_back(g, _matrix(saved + B * U, B, U), vectors, own, rates, lanes, real, count, AFFINE,
                             OPTIMIZER, DECAY_ALL, U, SIZE)  # fmt: skip
    before = _matrix(saved, B, U)
    if NORM == NORM_BEFORE:
        g *= _slope(_affine(before, vectors, AFFINE, U), number, ACTIVATION)
        g = _normalised_back(g, before, vectors, own, rates, lanes, real, count, AFFINE, OPTIMIZER,
                             DECAY_ALL, U, SIZE)  # fmt: skip
    else:
        g *= _slope(before, number, ACTIVATION)
    return g


@triton.jit
def _step_linear(g, x, net, own, rates, lanes, BIAS: tl.constexpr, OPTIMIZER: tl.constexpr,
                 DECAY_ALL: tl.constexpr, BACK: tl.constexpr, U: tl.constexpr, D: tl.constexpr,
                 SIZE: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """Step a linear layer, given what it took and the gradient of what it gave; gives that of what it took."""
    u = tl.arange(0, U)
    at = net + u[:, None] * D + tl.arange(0, D)[None, :]
    back = g
    if BACK:
        back = tl.dot(g, tl.load(at), input_precision=PRECISION)
    of_weight = tl.dot(tl.trans(g), x, input_precision=PRECISION)
    tl.debug_barrier()
    _step(at, own, rates, lanes, of_weight, OPTIMIZER, True, SIZE)
    if BIAS:
        _step(net + U * D + u, own, rates, lanes, tl.sum(g, 0), OPTIMIZER, DECAY_ALL, SIZE)
    return back


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
def _normalised(x, vectors, own, lanes, real, count, U: tl.constexpr):
    """``x`` with mean 0 and variance 1 over the batch, and by what it was scaled, saved; see `layers.batch_norm`."""
    eps, share = tl.load(own), tl.load(own + lanes)
    centre = tl.sum(tl.where(real[:, None], x, 0.0), 0) / count
    normal = tl.where(real[:, None], x - centre[None, :], 0.0)
    spread = tl.sum(normal * normal, 0) / count
    mean = vectors + 3 * U + tl.arange(0, U)
    tl.store(mean, tl.load(mean) * (1 - share) + share * centre)
    unbiased = spread * (count / (count - 1.0))
    tl.store(mean + U, tl.load(mean + U) * (1 - share) + share * unbiased)
    scale = tl.rsqrt(spread + eps)
    tl.store(mean + 2 * U, scale)
    return normal * scale[None, :]


@triton.jit
def _affine(normal, vectors, AFFINE: tl.constexpr, U: tl.constexpr):
    if AFFINE:
        u = tl.arange(0, U)
        normal = normal * tl.load(vectors + U + u)[None, :] + tl.load(vectors + 2 * U + u)[None, :]
    return normal


@triton.jit
def _normalised_back(g, normal, vectors, own, rates, lanes, real, count, AFFINE: tl.constexpr,
                     OPTIMIZER: tl.constexpr, DECAY_ALL: tl.constexpr, U: tl.constexpr,
                     SIZE: tl.constexpr):  # fmt: skip
    """The gradient of batch norm's input; see `layers._Normalised`. Steps its weight and bias."""
    u = tl.arange(0, U)
    along, whole, scale = tl.sum(g * normal, 0), tl.sum(g, 0), tl.load(vectors + 5 * U + u)
    if AFFINE:
        weight = tl.load(vectors + U + u)
        tl.debug_barrier()
        _step(vectors + U + u, own, rates, lanes, along, OPTIMIZER, DECAY_ALL, SIZE)
        _step(vectors + 2 * U + u, own, rates, lanes, whole, OPTIMIZER, DECAY_ALL, SIZE)
        scale *= weight
    g = (g - (whole / count)[None, :] - normal * (along / count)[None, :]) * scale[None, :]
    return tl.where(real[:, None], g, 0.0)


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


@triton.jit
def _cross_entropy(logits, target, real, count, smooth, share, classes, C: tl.constexpr):
    """The mean loss of a batch and its gradient; see `loss.cross_entropy`."""
    c = tl.arange(0, C)
    logits = tl.where((c < classes)[None, :], logits, float("-inf"))
    shifted = logits - tl.max(logits, 1)[:, None]
    powers = tl.exp(shifted)
    whole = tl.sum(powers, 1)
    chances = tl.where((c < classes)[None, :], shifted - tl.log(whole)[:, None], 0.0)
    hit = tl.where(c[None, :] == target[:, None], 1 - smooth, 0.0)
    wanted = (hit + smooth / classes) * share[None, :]
    losses = tl.sum(tl.where(wanted == 0, 0.0, -wanted * chances), 1)
    slope = (powers / whole[:, None] * tl.sum(wanted, 1)[:, None] - wanted) / count
    losses = tl.where(real, losses, 0.0)
    return tl.sum(losses, 0) / count, tl.where(real[:, None], slope, 0.0)


@triton.jit
def _philox(seed, epoch, layer, step, blocks, B: tl.constexpr, U: tl.constexpr):
    """16-bit integers ``(B, U)`` of a step: Philox 4x64 in ten rounds, a block for 16 of them."""
    row, block = tl.arange(0, B)[:, None], tl.arange(0, U // 16)[None, :]
    first = row * blocks + block + 1  # whose type is that of blocks, 64 bits
    first += (first * 0 + step) * 4294967296
    w0 = first.to(tl.uint64, bitcast=True)
    zero = w0 ^ w0
    w1, w2, w3 = zero + layer, zero, zero
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
