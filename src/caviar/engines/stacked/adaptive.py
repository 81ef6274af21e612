"""torch's NAdam, RAdam, Adagrad and Adadelta, for many lanes at once."""

from __future__ import annotations

import numpy as np
import torch

from caviar.engines.stacked.lane_optimizer import LaneOptimizer, add_decay


class NAdam(LaneOptimizer):
    """`torch.optim.NAdam`: Adam with Nesterov's momentum, which grows by a schedule of its own."""

    target = torch.optim.NAdam
    # Of the third, the first number alone is used: how far the product of all momenta is from 1.
    slots = ("mean", "square", "product_to_one")
    constants = ("beta2", "eps", "weight_decay", "rest1", "rest2", "momentum_decay")
    columns = ("lr", "momentum", "next_momentum", "root_correction")
    off = ("maximize", "decoupled_weight_decay")

    def steps(self, settings, lrs, done):  # type: ignore[no-untyped-def]
        count = done + np.arange(1, len(lrs) + 1)[:, None]
        now, after = (
            (1 - settings["rest1"]) * (1 - 0.5 * 0.96 ** (step * settings["momentum_decay"]))
            for step in (count, count + 1)
        )
        return np.stack([lrs, now, after, np.sqrt(1 - settings["beta2"] ** count)])

    def step(self, parameters, gradients, state, constants, columns, decayed) -> None:  # type: ignore[no-untyped-def]
        (mean, square, to_one), (lr, now, after, root_correction) = state, columns
        add_decay(parameters, gradients, constants["weight_decay"], decayed)
        product = (1 - to_one[:, :1]) * now
        to_one[:, :1] = 1 - product
        mean.lerp_(gradients, constants["rest1"])
        square.mul_(constants["beta2"])
        square.addcmul_(gradients * constants["rest2"], gradients)
        denominator = square.sqrt().div_(root_correction).add_(constants["eps"])
        update = gradients * (lr * (1 - now) / (1 - product))
        update.addcmul_(mean, lr * after / (1 - product * after))
        parameters.sub_(update.div_(denominator))


class RAdam(LaneOptimizer):
    """`torch.optim.RAdam`: Adam whose first steps have no denominator (arXiv:1908.03265)."""

    target = torch.optim.RAdam
    slots = ("mean", "square")
    constants = ("beta2", "eps", "weight_decay", "rest1", "rest2")
    columns = ("step_size", "rectified", "is_rectified")
    off = ("maximize", "decoupled_weight_decay")

    def steps(self, settings, lrs, done):  # type: ignore[no-untyped-def]
        count = done + np.arange(1, len(lrs) + 1)[:, None]
        left = settings["beta2"] ** count
        most = 2 / settings["rest2"] - 1  # of the length of the squares' average
        length = most - 2 * count * left / (1 - left)
        rectified = length > 5
        length = np.where(rectified, length, 6.0)
        most = np.where(rectified, most, 6.0)
        ratio = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
        step_size = lrs / (1 - (1 - settings["rest1"]) ** count)
        return np.stack([step_size, np.sqrt(ratio * (1 - left)), rectified.astype(float)])

    def step(self, parameters, gradients, state, constants, columns, decayed) -> None:  # type: ignore[no-untyped-def]
        (mean, square), (step_size, rectified, is_rectified) = state, columns
        add_decay(parameters, gradients, constants["weight_decay"], decayed)
        mean.lerp_(gradients, constants["rest1"])
        square.mul_(constants["beta2"])
        square.addcmul_(gradients * constants["rest2"], gradients)
        scale = square.sqrt().add_(constants["eps"]).reciprocal_().mul_(rectified)
        scale = torch.where(is_rectified > 0, scale, torch.ones_like(is_rectified))
        parameters.sub_((mean * step_size).mul_(scale))


class Adagrad(LaneOptimizer):
    """`torch.optim.Adagrad`: its rate falls with the sum of all squares."""

    target = torch.optim.Adagrad
    slots = ("sum",)
    constants = ("lr_decay", "eps", "weight_decay", "initial_accumulator_value")
    off = ("maximize",)

    def steps(self, settings, lrs, done):  # type: ignore[no-untyped-def]
        before = done + np.arange(len(lrs))[:, None]
        return (lrs / (1 + before * settings["lr_decay"]))[None]

    def step(self, parameters, gradients, state, constants, columns, decayed) -> None:  # type: ignore[no-untyped-def]
        (total,), (lr,) = state, columns
        add_decay(parameters, gradients, constants["weight_decay"], decayed)
        total.addcmul_(gradients, gradients)
        denominator = (total + constants["initial_accumulator_value"]).sqrt_()
        parameters.sub_((gradients * lr).div_(denominator.add_(constants["eps"])))


class Adadelta(LaneOptimizer):
    """`torch.optim.Adadelta`: a step is as large as those before it, for their gradients."""

    target = torch.optim.Adadelta
    slots = ("square", "steps")
    constants = ("rho", "eps", "weight_decay", "rest")
    off = ("maximize",)

    def step(self, parameters, gradients, state, constants, columns, decayed) -> None:  # type: ignore[no-untyped-def]
        (square, steps), (lr,) = state, columns
        add_decay(parameters, gradients, constants["weight_decay"], decayed)
        square.mul_(constants["rho"]).addcmul_(gradients * constants["rest"], gradients)
        update = (steps + constants["eps"]).sqrt_().div_((square + constants["eps"]).sqrt_())
        update.mul_(gradients)
        steps.mul_(constants["rho"]).addcmul_(update * constants["rest"], update)
        parameters.addcmul_(update, -lr)
