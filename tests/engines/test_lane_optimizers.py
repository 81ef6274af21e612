"""Each lane's optimizer takes the steps that torch's own takes, whatever its neighbours' settings."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from caviar.engines.called.epochs import DefaultType
from caviar.engines.called.layout import Layout
from caviar.engines.called.steppers import Stepper
from caviar.engines.experiment import NotFusibleError
from caviar.engines.stacked.optimizers import OPTIMIZERS, clip, optimizer_of

pytestmark = pytest.mark.fast

rates = st.floats(1e-4, 0.5)
shares = st.floats(0.0, 0.99)
decays = st.floats(0.0, 0.3)

SETTINGS = {
    "torch.optim.SGD": st.fixed_dictionaries(
        {"momentum": st.floats(0.1, 0.99), "nesterov": st.booleans(), "weight_decay": decays}
    )
    | st.fixed_dictionaries({"momentum": st.just(0.0), "weight_decay": decays}),
    "torch.optim.Adam": st.fixed_dictionaries(
        {"betas": st.tuples(shares, shares), "eps": st.floats(1e-8, 1e-2), "weight_decay": decays}
    ),
    "torch.optim.AdamW": st.fixed_dictionaries(
        {"betas": st.tuples(shares, shares), "weight_decay": decays}
    ),
    "torch.optim.NAdam": st.fixed_dictionaries(
        {
            "betas": st.tuples(shares, shares),
            "weight_decay": decays,
            "momentum_decay": st.floats(0.0, 0.1),
        }
    ),
    "torch.optim.RAdam": st.fixed_dictionaries(
        {"betas": st.tuples(shares, shares | st.just(0.999)), "weight_decay": decays}
    ),
    "torch.optim.Adagrad": st.fixed_dictionaries(
        {"lr_decay": shares, "initial_accumulator_value": shares, "weight_decay": decays}
    ),
    "torch.optim.Adadelta": st.fixed_dictionaries(
        {"rho": shares, "eps": st.floats(1e-6, 1e-2), "weight_decay": decays}
    ),
    "torch.optim.RMSprop": st.fixed_dictionaries(
        {"alpha": shares, "momentum": shares, "weight_decay": decays}
    ),
}


@pytest.mark.parametrize("target", SETTINGS)
@settings(max_examples=25)
@given(data=st.data())
def test_each_lane_steps_as_torch_does(target: str, data: st.DataObject) -> None:
    optimizer = optimizer_of(target)
    lanes = data.draw(st.lists(SETTINGS[target], min_size=1, max_size=3), "lanes")
    lrs = [data.draw(rates, "lr") for _ in lanes]
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99), "seed"))
    start = torch.randn(len(lanes), 6, generator=generator, dtype=torch.float64)
    gradients = torch.randn(12, len(lanes), 6, generator=generator, dtype=torch.float64)
    found = start.clone()
    states = [torch.zeros_like(start) for _ in optimizer.slots]
    chosen = [optimizer.settings(lane) for lane in lanes]
    constants = {
        name: torch.tensor([[one[name]] for one in chosen], dtype=torch.float64)
        for name in optimizer.constants
    }
    settings = {name: tensor[:, 0].numpy() for name, tensor in constants.items()}
    columns = optimizer.steps(settings, np.array([lrs] * 12), np.zeros(len(lanes)))
    for step in range(12):
        at = list(torch.from_numpy(columns[:, step, :, None]))
        optimizer.step(found, gradients[step].clone(), states, constants, at, decayed=4)
    for lane, (kwargs, lr) in enumerate(zip(lanes, lrs, strict=True)):
        with DefaultType(torch.float64):  # of NAdam's product of momenta, as a Trainer has it
            wanted = torch_steps(target, start[lane], gradients[:, lane], {**kwargs, "lr": lr})
        torch.testing.assert_close(found[lane], wanted, rtol=1e-11, atol=1e-12)


def torch_steps(
    target: str, start: torch.Tensor, gradients: torch.Tensor, kwargs: dict[str, Any]
) -> torch.Tensor:
    decayed, other = nn.Parameter(start[:4].clone()), nn.Parameter(start[4:].clone())
    kwargs = {**kwargs, "foreach": False}
    own = getattr(torch.optim, target.rpartition(".")[2])(
        [{"params": [decayed]}, {"params": [other], "weight_decay": 0.0}], **kwargs
    )
    for gradient in gradients:
        decayed.grad, other.grad = gradient[:4].clone(), gradient[4:].clone()
        own.step()
    return torch.cat([decayed.detach(), other.detach()])


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("numbers", [40, 3500])
def test_lanes_of_any_size_step_as_torch_does_and_go_on_elsewhere(
    kind: type[torch.optim.Optimizer], numbers: int
) -> None:
    """The longer ones by a kernel for each lane, with groups, a schedule and a move to other lanes."""
    modules = [nn.ParameterList([torch.zeros(n, dtype=torch.float64) for n in (numbers, numbers)])]
    modules += [nn.ParameterList([p.detach().clone() for p in modules[0]]) for _ in range(2)]
    own = [optimizer_with_groups(kind, module, lane) for lane, module in enumerate(modules)]
    torchs = [nn.ParameterList([p.detach().clone() for p in module]) for module in modules]
    alone = [optimizer_with_groups(kind, module, lane) for lane, module in enumerate(torchs)]
    names = {id(p): name for name, p in modules[0].named_parameters()}
    layout = Layout.of(names, own[0])
    stepper, rows = Stepper(own, layout, torch.float64), torch.zeros(3, 2 * numbers).double()
    for step in range(8):
        if step == 3:
            for optimizer in (*own, *alone):
                optimizer.param_groups[1]["lr"] *= 0.3
        if step == 5:  # the last lane is the first now
            saved = stepper.save(2)
            stepper, rows = Stepper(own[2:], layout, torch.float64), rows[2:].clone()
            stepper.load(0, saved)
            alone, torchs = alone[2:], torchs[2:]
        gradients = torch.randn(len(rows), 2 * numbers).double()
        for module, gradient, optimizer in zip(torchs, gradients, alone, strict=True):
            for parameter, part in zip(module, gradient.split(numbers), strict=True):
                parameter.grad = part.clone()
            optimizer.step()
        stepper.prepare()
        stepper.step(rows, gradients)
        stepper.stepped()
        wanted = torch.stack([torch.cat(list(module)).detach() for module in torchs])
        torch.testing.assert_close(rows, wanted, rtol=1e-11, atol=1e-12)


def optimizer_with_groups(
    kind: type[torch.optim.Optimizer], module: nn.ParameterList, lane: int
) -> torch.optim.Optimizer:
    first, second = module
    settings: dict[str, Any] = {"betas": (0.8 + 0.05 * lane, 0.99 - 0.1 * lane), "eps": 1e-3}
    groups = [{"params": [first], "weight_decay": 0.1 * lane}, {"params": [second], "lr": 0.1}]
    return kind(groups, lr=0.01 * (lane + 1), foreach=False, **settings)  # type: ignore[call-arg]


@given(most=st.lists(st.floats(1e-3, 10) | st.just(float("inf")), min_size=3, max_size=3))
def test_each_lane_is_clipped_by_its_own_limit(most: list[float]) -> None:
    gradients = torch.randn(3, 5, dtype=torch.float64)
    by_norm, by_value = gradients.clone(), gradients.clone()
    limits = torch.tensor(most, dtype=torch.float64)[:, None]
    clip(by_norm, limits, None)
    clip(by_value, None, limits)
    for lane, limit in enumerate(most):
        one = nn.Parameter(torch.zeros(5, dtype=torch.float64))
        one.grad = gradients[lane].clone()
        nn.utils.clip_grad_norm_([one], limit)
        torch.testing.assert_close(by_norm[lane], one.grad)
        one.grad = gradients[lane].clone()
        nn.utils.clip_grad_value_([one], limit)
        torch.testing.assert_close(by_value[lane], one.grad)


def test_an_optimizer_that_lanes_do_not_know_is_named() -> None:
    with pytest.raises(NotFusibleError, match=r"optimizer._target_=torch.optim.LBFGS"):
        optimizer_of("torch.optim.LBFGS")


@pytest.mark.parametrize(
    ("target", "setting"),
    [
        ("SGD", "dampening"),
        ("Adam", "amsgrad"),
        ("RMSprop", "centered"),
        ("AdamW", "unheard_of"),
        ("NAdam", "decoupled_weight_decay"),
        ("RAdam", "decoupled_weight_decay"),
        ("Adagrad", "maximize"),
    ],
)
def test_a_setting_that_lanes_do_not_know_is_named(target: str, setting: str) -> None:
    with pytest.raises(NotFusibleError, match=f"optimizer.{setting}=1"):
        OPTIMIZERS[f"torch.optim.{target}"].settings({setting: 1})
