"""The steps of a lane as one Triton program: a multiprocessor of a GPU has a lane until its epoch is over.

One launch trains all lanes. A program has its lane's numbers in a place of its own while it trains, so
small that it stays in the multiprocessor's cache. Its stages go from there to there; what one thread
writes and another reads, a barrier is between.

Sizes in capitals are powers of two that the real ones are rounded up to: what is beyond is 0, and stays it.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import triton
import triton.language as tl

from caviar.engines.kernel.parts import BY_NORM, CONSTANTS, NO_NORM, OWN
from caviar.engines.kernel.stages import (
    add_squares,
    gather,
    hidden,
    hidden_back,
    layer_step,
    linear_back,
    loss_of_classes,
    move_layer,
)


@triton.jit
def train(
    parameters, running, first_slot, second_slot, work,
    x, y, order, columns, keys, numbers, smoothing, weights, losses,
    lanes, parameter_row, running_row, order_row, column_count,
    samples, features, classes, batch, steps, seen, training,
    one, two, last,
    activation_number,
    DEPTH: tl.constexpr, OPTIMIZER: tl.constexpr, DECAY_ALL: tl.constexpr, ACTIVATION: tl.constexpr,
    NORM: tl.constexpr, AFFINE: tl.constexpr, DROPOUT: tl.constexpr,
    HIDDEN_BIAS: tl.constexpr, LAST_BIAS: tl.constexpr, CLIP: tl.constexpr,
    B: tl.constexpr, D: tl.constexpr, U: tl.constexpr, V: tl.constexpr, C: tl.constexpr,
    TILE: tl.constexpr, SIZE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Take ``steps`` steps of ``training`` lanes, of which each program takes one after the other.

    Args:
        parameters, running, first_slot, second_slot: `LaneTensors`' matrices, a row a lane.
        work: ``(programs, 3 * SIZE + B * (D + 5 * U + 5 * V + C))``, where a lane is while it is trained:
            its parameters and slots, SIZE each; a batch; five matrices a hidden layer; a gradient.
        x, y: ``(samples, D)`` and ``(samples,)``; order: a row a lane, ``seen`` of it count.
        columns: the optimizer's, ``(steps, column_count, lanes)``.
        keys: ``(5, lanes)``: which lanes are to be trained; of each lane the seed, the epoch, and the
            blocks that a row of each dropout layer takes.
        numbers: ``(CONSTANTS + OWN * DEPTH, lanes)``.
        losses: ``(lanes,)``: the mean loss of each step is added.
        one, two, last: of each layer units, and where its weight, bias, batch norm's weight and bias
            lie in a row of ``parameters``, and its mean and variance in a row of ``running``.
        activation_number: LeakyReLU's slope, or ELU's alpha.
    """
    W: tl.constexpr = V if DEPTH > 1 else (U if DEPTH > 0 else D)
    TWO: tl.constexpr = U * (D + 6) if DEPTH > 0 else 0
    LAST: tl.constexpr = TWO + V * (U + 6) if DEPTH > 1 else TWO
    net = work + tl.program_id(0) * (3 * SIZE + B * (D + 5 * U + 5 * V + C))
    inputs = net + 3 * SIZE
    first = inputs + B * D
    second = first + 5 * B * U
    slope = second + 5 * B * V
    squares = net + LAST + C * W + C  # where batch norm of the last layer would be: there is none
    before = second + 3 * B * V if DEPTH > 1 else (first + 3 * B * U if DEPTH > 0 else inputs)
    for number in range(tl.program_id(0), training, tl.num_programs(0)):
        lane = tl.load(keys + number)
        p, s = parameters + lane * parameter_row, running + lane * running_row
        q, r = first_slot + lane * parameter_row, second_slot + lane * parameter_row
        _move(
            p, q, r, s, net, one, two, last, features, True, OPTIMIZER, HIDDEN_BIAS, LAST_BIAS, NORM,
            AFFINE, DEPTH, D, U, V, C, SIZE,
        )  # fmt: skip
        tl.debug_barrier()
        own, of_first = numbers + lane, numbers + lane + CONSTANTS * lanes
        of_second = of_first + OWN * lanes
        for step in range(steps):
            count = tl.minimum(batch, seen - step * batch)
            rates = columns + step * column_count * lanes + lane
            rows = order + lane * order_row + step * batch
            gather(x, inputs, rows, count, samples, B, D, TILE)
            tl.debug_barrier()
            if DEPTH > 0:
                hidden(
                    inputs, net, first, of_first, lanes, count, keys + lane, step, activation_number, 0,
                    ACTIVATION, NORM, AFFINE, HIDDEN_BIAS, DROPOUT, B, U, D, TILE, PRECISION,
                )  # fmt: skip
                tl.debug_barrier()
            if DEPTH > 1:
                hidden(
                    first + 3 * B * U, net + TWO, second, of_second, lanes, count, keys + lane, step,
                    activation_number, 1, ACTIVATION, NORM, AFFINE, HIDDEN_BIAS, DROPOUT, B, V, U, TILE,
                    PRECISION,
                )  # fmt: skip
                tl.debug_barrier()
            loss_of_classes(
                before, net + LAST, slope, y, rows, count, samples, smoothing + lane,
                weights + lane * classes, classes, losses + lane, LAST_BIAS, B, C, W, TILE, PRECISION,
            )  # fmt: skip
            tl.debug_barrier()
            if DEPTH > 0:
                linear_back(slope, before + B * W, net + LAST, B, C, W, TILE, PRECISION)
                tl.debug_barrier()
            if DEPTH > 1:
                hidden_back(
                    second, net + TWO, count, activation_number, ACTIVATION, NORM, AFFINE, DROPOUT, B, V,
                    U, TILE, SIZE,
                )  # fmt: skip
                tl.debug_barrier()
                linear_back(
                    second + 4 * B * V, first + 4 * B * U, net + TWO, B, V, U, TILE, PRECISION
                )
                tl.debug_barrier()
            if DEPTH > 0:
                hidden_back(
                    first, net, count, activation_number, ACTIVATION, NORM, AFFINE, DROPOUT, B, U, D,
                    TILE, SIZE,
                )  # fmt: skip
                tl.debug_barrier()
            if CLIP == BY_NORM:
                tl.store(squares, 0.0)
                tl.debug_barrier()
                add_squares(
                    slope, before, net + LAST, squares, LAST_BIAS, False, B, C, W, TILE, SIZE, PRECISION
                )  # fmt: skip
                tl.debug_barrier()
                if DEPTH > 1:
                    add_squares(
                        second + 4 * B * V, first + 3 * B * U, net + TWO, squares, HIDDEN_BIAS, AFFINE,
                        B, V, U, TILE, SIZE, PRECISION,
                    )  # fmt: skip
                    tl.debug_barrier()
                if DEPTH > 0:
                    add_squares(
                        first + 4 * B * U, inputs, net, squares, HIDDEN_BIAS, AFFINE, B, U, D, TILE,
                        SIZE, PRECISION,
                    )  # fmt: skip
                    tl.debug_barrier()
            layer_step(
                slope, before, net + LAST, own, rates, lanes, squares, CLIP, LAST_BIAS, False, OPTIMIZER,
                DECAY_ALL, B, C, W, TILE, SIZE, PRECISION,
            )  # fmt: skip
            if DEPTH > 1:
                layer_step(
                    second + 4 * B * V, first + 3 * B * U, net + TWO, own, rates, lanes, squares, CLIP,
                    HIDDEN_BIAS, AFFINE, OPTIMIZER, DECAY_ALL, B, V, U, TILE, SIZE, PRECISION,
                )  # fmt: skip
            if DEPTH > 0:
                layer_step(
                    first + 4 * B * U, inputs, net, own, rates, lanes, squares, CLIP, HIDDEN_BIAS, AFFINE,
                    OPTIMIZER, DECAY_ALL, B, U, D, TILE, SIZE, PRECISION,
                )  # fmt: skip
            tl.debug_barrier()
        _move(
            p, q, r, s, net, one, two, last, features, False, OPTIMIZER, HIDDEN_BIAS, LAST_BIAS, NORM,
            AFFINE, DEPTH, D, U, V, C, SIZE,
        )  # fmt: skip
        tl.debug_barrier()


@triton.jit
def _move(
    p, q, r, s, net, one, two, last, features, IN: tl.constexpr, OPTIMIZER: tl.constexpr,
    HIDDEN_BIAS: tl.constexpr, LAST_BIAS: tl.constexpr, NORM: tl.constexpr, AFFINE: tl.constexpr,
    DEPTH: tl.constexpr, D: tl.constexpr, U: tl.constexpr, V: tl.constexpr, C: tl.constexpr,
    SIZE: tl.constexpr,
):  # fmt: skip
    """A lane's numbers from its rows to ``net``, or back."""
    W: tl.constexpr = V if DEPTH > 1 else (U if DEPTH > 0 else D)
    width = two[0] if DEPTH > 1 else (one[0] if DEPTH > 0 else features)
    if DEPTH > 0:
        move_layer(
            p, q, r, s, net, one[0], features, one[1], one[2], one[3], one[4], one[5], one[6], IN,
            OPTIMIZER, HIDDEN_BIAS, NORM, AFFINE, U, D, SIZE,
        )  # fmt: skip
        net += U * (D + 6)
    if DEPTH > 1:
        move_layer(
            p, q, r, s, net, two[0], one[0], two[1], two[2], two[3], two[4], two[5], two[6], IN,
            OPTIMIZER, HIDDEN_BIAS, NORM, AFFINE, V, U, SIZE,
        )  # fmt: skip
        net += V * (U + 6)
    move_layer(
        p, q, r, s, net, last[0], width, last[1], last[2], 0, 0, 0, 0, IN,
        OPTIMIZER, LAST_BIAS, NO_NORM, False, C, W, SIZE,
    )  # fmt: skip
