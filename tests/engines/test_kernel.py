"""The kernel that trains a lane in a multiprocessor: its numbers interpreted, and what ptxas says of it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("triton", reason="Triton is not installed")

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

from caviar.base.messages import Finished
from caviar.engines.kernel import backend
from caviar.engines.kernel.backend import ByKernel
from caviar.engines.kernel.chain import Chain, chain_of
from caviar.engines.kernel.parts import activated, clipped, slope_of
from caviar.engines.lanes import calibration, groups
from caviar.engines.lanes.backends import BACKENDS
from caviar.engines.lanes.calibration import choose
from caviar.engines.lanes.groups import Group
from caviar.engines.lanes.stack import Stack
from caviar.engines.lanes.training import Training
from caviar.engines.native.loop import activation_of
from caviar.engines.stacked.backend import ByTorch, Steps
from caviar.engines.stacked.optimizers import clip
from tests.engines.lanes import Result, assert_same, by_solo, csv_rows, training
from tests.engines.test_engine import Jobs, jobs, rates, result, serve  # noqa: F401 - a fixture
from tests.pretended_gpu import OnGpu, pretended_gpu

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") != "1", reason="Triton's interpreter is not switched on"
)

FEW = ("trainer.limit_train_batches=2", "trainer.max_epochs=2")

CASES = {
    "as it ships": (),
    "dropout in two layers, a last batch that is not full": (
        "model.dropout=0.3", "data.drop_last=false", "trainer.limit_train_batches=1.0",
        "data.batch_size=40",
    ),
    "sgd by nesterov, no batch norm": (
        "model.batch_norm=none", "optimizer=sgd", "optimizer.nesterov=true", "optimizer.weight_decay=0.1",
    ),
    "adamw, batch norm after silu, dropout": (
        "model.batch_norm=after", "model.activation=silu", "model.dropout=0.5", "optimizer=adamw",
        "optimizer.decay_all=true", "optimizer.weight_decay=0.1",
    ),
    "rmsprop, elu, weights and smoothing": (
        "optimizer=rmsprop", "optimizer.momentum=0.5", "model.activation=elu",
        "model.loss.class_weights=[1.0,2.0,0.5]", "model.loss.label_smoothing=0.2",
    ),
    "one hidden layer of gelu": ("model.depth=1", "model.activation=gelu"),
    "tanh, layers of two sizes and of several tiles": (
        "model.hidden=[33,40]", "model.activation=tanh", "model.dropout=0.3",
    ),
    "leaky relu": ("model.activation=leaky_relu", "model.depth=1"),
    "softmax regression": ("model.depth=0",),
    "clipped by norm, dropout in layers of several tiles": (
        "model.hidden=[33,40]", "model.dropout=0.3", "trainer.gradient_clip_val=0.05",
    ),
    "clipped by norm, no batch norm, one hidden layer, sgd": (
        "model.depth=1", "model.batch_norm=none", "optimizer=sgd", "trainer.gradient_clip_val=0.2",
        "optimizer.weight_decay=0.1",
    ),
    "clipped by norm, batch norm after, rmsprop": (
        "model.batch_norm=after", "optimizer=rmsprop", "optimizer.eps=0.01",
        "trainer.gradient_clip_val=0.2",
    ),
    "clipped by value, adamw": (
        "optimizer=adamw", "trainer.gradient_clip_val=0.001", "+trainer.gradient_clip_algorithm=value",
    ),
}  # fmt: skip


NUMPY_WARNS = pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
"""The interpreter computes by numpy."""

ONE = ("trainer.limit_train_batches=1", "trainer.max_epochs=2")


def trained(kind: type[ByTorch], some: list[Training], lanes: list[int], ticks: int = 2) -> Stack:
    """A stack after some epochs, each training on a lane of those named."""
    stack = Stack(some, max(lanes) + 1)
    assert stack.use(kind) is None
    for one, lane in zip(some, lanes, strict=True):
        stack.admit(one, lane)
    for _ in range(ticks):
        assert [one.error for one in stack.tick()] == [None] * len(some)
    return stack


def close(mine: dict[str, torch.Tensor], its: dict[str, torch.Tensor]) -> None:
    assert list(mine) == list(its)
    for name, own in its.items():
        if own.is_floating_point():
            assert (mine[name] - own).norm() <= 1e-4 * own.norm(), name
        else:
            assert torch.equal(mine[name], own), name


@pytest.mark.parametrize("overrides", CASES.values(), ids=CASES)
def test_lanes_by_the_kernel_are_those_of_the_stacked_layers(overrides: tuple[str, ...]) -> None:
    """Parameters, both slots, running statistics and losses, by two programs that share three lanes."""
    found = []
    for kind in (ByTorch, ByKernel):
        wide = {} if "hidden" in str(overrides) else {"model__width": 9}
        some = [
            training(*FEW, *overrides, seed=n, optimizer__lr=0.001 * 2**n, **wide) for n in range(3)
        ]
        if "clip" in str(overrides):  # of one all gradients are clipped, of another few
            some[1:] = [
                training(*FEW, *overrides, seed=8 + n, trainer__gradient_clip_val=10.0**n, **wide)
                for n in (-4, 1)
            ]
        stack = trained(kind, some, [0, 1, 3])
        found.append([(stack.save(lane)["tensors"], stack.on(lane).rows) for lane in (0, 1, 3)])
    for (mine, rows), (its, its_rows) in zip(*reversed(found), strict=True):
        for part, tensors in its.items():
            close(mine[part], tensors)
        for row, its_row in zip(rows, its_rows, strict=True):
            for name in ("train/loss", "val/loss"):
                assert row[name] == pytest.approx(its_row[name], rel=1e-5)


@pytest.mark.parametrize(
    "overrides",
    [(), ("model.dropout=0.3", "optimizer=sgd"), ("trainer.gradient_clip_val=0.05",)],
    ids=["plain", "dropout", "clipped"],
)
def test_a_lane_by_the_kernel_is_the_trial_that_solo_runs(overrides: tuple[str, ...]) -> None:
    own = (*FEW, *overrides)
    one = training(*own)
    stack = trained(ByKernel, [training(*own, seed=5), one], [0, 1])
    found = Result(
        stack.last_weights(1),
        csv_rows(one),
        one.scoring.value,
        one.scoring.epoch,
        stack.best_weights(1),
    )
    assert_same(found, by_solo(*own), 1e-4)


@NUMPY_WARNS
def test_a_lane_that_is_no_number_any_more_fails_alone() -> None:
    found = []
    for rate in (0.01, 1e30):
        # The program that has the first has the third after it.
        some = [training(*ONE, optimizer__lr=rate), training(*ONE, seed=1), training(*ONE, seed=2)]
        stack = Stack(some, 3)
        assert stack.use(ByKernel) is None
        for one in some:
            stack.admit(one)
        errors = [type(one.error) for one in [stack.tick(), stack.tick()][-1]]
        found.append((errors, stack.last_weights(1), stack.last_weights(2)))
    (_, *clean), (errors, *beside) = found
    assert errors == [FloatingPointError, type(None), type(None)]
    for mine, its in zip(beside, clean, strict=True):
        assert all(torch.equal(mine[name], its[name]) for name in its)


@NUMPY_WARNS
def test_a_sample_that_there_is_not_is_read_from_nowhere() -> None:
    some = [training(*FEW, seed=n) for n in range(2)]
    stack = Stack(some, 2)
    assert stack.use(ByKernel) is None
    for one in some:
        stack.admit(one)
    steps = stack._steps(1, stack._prepare(), torch.zeros(2))
    steps.order[1, 3] = 10**6
    stack.backend.steps(steps)
    assert torch.isfinite(steps.losses).tolist() == [True, False]


ODD = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, -0.0, 1e-40, 1.5, -1.5, 1e30, -1e30,
                    30.0, -30.0, 1e-8, -1e-8, 7.0, -7.0])  # fmt: skip


@triton.jit
def _activated(x, found, number, kind: tl.constexpr):
    at = tl.arange(0, 16)
    its = tl.load(x + at)
    tl.store(found + at, activated(its, number, kind))
    tl.store(found + 16 + at, slope_of(its, number, kind))


@NUMPY_WARNS
@pytest.mark.parametrize("layer", [
    nn.ReLU(), nn.LeakyReLU(0.1), nn.ELU(0.7), nn.GELU(), nn.SiLU(), nn.Tanh(),
], ids=repr)  # fmt: skip
def test_an_activation_and_its_slope_are_torchs_where_numbers_end(layer: nn.Module) -> None:
    known = activation_of(layer)
    assert known is not None
    found = torch.zeros(2, 16)
    kernel: Any = _activated
    kernel[(1,)](ODD, found, known[1], known[0])
    x = ODD.clone().requires_grad_()
    # One by one: of many at once torch's GELU of infinity is no number on some processors, and infinity on
    # others; and of NaN, it has one slope or another of ELU.
    wanted = torch.cat([layer(one) for one in x.split(1)])
    wanted.sum().backward()
    assert x.grad is not None
    for mine, its in ((found[0], wanted.detach()), (found[1, 1:], x.grad[1:])):
        torch.testing.assert_close(mine, its, rtol=1e-5, atol=1e-6, equal_nan=True)


@triton.jit
def _clipped(g, own, squares, found, way: tl.constexpr):
    at = tl.arange(0, 16)
    tl.store(found + at, clipped(tl.load(g + at), own, squares, 1, way))


@NUMPY_WARNS
@pytest.mark.parametrize("limit", [0.5, torch.inf])
@pytest.mark.parametrize("sizes", [1.0, 1e-3, 1e25, torch.inf, torch.nan])
@pytest.mark.parametrize("way", ["norm", "value"])
def test_gradients_are_clipped_as_torch_clips_them_where_numbers_end(
    way: str, sizes: float, limit: float
) -> None:
    draw = torch.Generator().manual_seed(0)
    g = torch.randn(16, generator=draw) if sizes < torch.inf else ODD.nan_to_num(0.3)
    g = g * sizes if sizes < torch.inf else g.where(g != 7, torch.tensor(sizes))
    own = torch.tensor([0.0] * 5 + [limit])
    found, most = torch.zeros(16), torch.tensor([[limit]])
    kernel: Any = _clipped
    kernel[(1,)](g, own, (g * g).sum()[None], found, 1 if way == "norm" else 2)
    wanted = g.clone()[None]
    clip(wanted, *((most, None) if way == "norm" else (None, most)))
    torch.testing.assert_close(found, wanted[0], rtol=1e-5, atol=1e-30, equal_nan=True)


@NUMPY_WARNS
def test_a_sample_that_is_no_number_ends_its_lane_though_its_class_weighs_nothing() -> None:
    found = []
    for kind in (ByTorch, ByKernel):
        some = [
            training(*FEW, "model.depth=0", "model.loss.class_weights=[0.0,1.0,2.0]", seed=n)
            for n in range(2)
        ]
        stack = Stack(some, 2)
        x, y = stack.tensors.train
        x = x.clone()  # the data are those of all other tests
        stack.tensors.train = x, y
        sample = int((y == 0).nonzero()[0])
        x[sample] = torch.nan
        assert stack.use(kind) is None
        for one in some:
            stack.admit(one)
        steps = stack._steps(1, stack._prepare(), torch.zeros(2))
        steps.order[0][steps.order[0] == sample] = sample - 1 if sample else sample + 1
        steps.order[1, 0] = sample
        stack.backend.steps(steps)
        found.append(steps.losses.isnan().tolist())
    assert found == [[False, True]] * 2


def test_where_adam_has_no_eps_torch_takes_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Steps] = []
    monkeypatch.setattr(ByTorch, "steps", lambda self, steps: taken.append(steps))
    one = training(*FEW, optimizer__eps=0.0)
    stack = Stack([one], 1)
    assert stack.use(ByKernel) is None
    stack.admit(one)
    stack.tick()
    assert len(taken) == 1


@pytest.mark.parametrize(("overrides", "why"), [
    (("trainer.precision=64-true",), "its data are torch.float64, its layers torch.float64"),
    (("trainer.precision=bf16-mixed",), "its data are torch.float32, its layers bf16"),
    (("trainer.gradient_clip_val=0.1",), None),
    (("model.depth=3",), "it has 3 hidden layers, and 2 are the most"),
    (("model.width=129",), "it has 136 units, and 128 are the most"),
    (("data.features=200",), "it has 200 features, and 128 are the most"),
    (("data.batch_size=80", "data.samples=200"), None),
    (("data.batch_size=140", "data.samples=300"), "it has 140 samples a batch, and 128 are the most"),
    (("model.activation=sigmoid",), "its layer layers.3 is a Sigmoid"),
    (("model.activation=mish",), "its layer layers.3 is a Mish"),
])  # fmt: skip
def test_it_says_in_a_line_what_it_does_not_know(
    overrides: tuple[str, ...], why: str | None
) -> None:
    assert Stack([training(*overrides)], 1).use(ByKernel) == why


def test_hidden_layers_must_be_alike() -> None:
    def why(*layers: nn.Module) -> Chain | str:
        return chain_of([(str(place), layer) for place, layer in enumerate(layers)])

    linear = nn.Linear(3, 3)
    alike = "its hidden layers are not Linear, batch norm, activation and Dropout, all alike"
    assert why(linear, nn.ReLU(), linear, nn.Tanh(), linear) == alike
    assert why(linear, nn.ReLU(), linear, nn.ReLU(), nn.Dropout(), linear) == alike
    assert why(linear, linear) == alike
    assert why(linear, nn.Dropout(), nn.ReLU(), linear) == alike
    assert why(nn.ReLU(), linear) == "its layer 0 is not where it is known"
    assert why(linear, nn.ReLU(), nn.ReLU(), linear) == "its layer 2 is not where it is known"
    assert why(linear, nn.LayerNorm(3), linear) == "its layer 1 is a LayerNorm"
    assert why(linear, nn.ReLU()) == "it is no chain of layers that ends in a Linear"
    found = why(nn.Flatten(), linear, nn.ReLU(), nn.Dropout(), linear)
    assert isinstance(found, Chain)
    assert (found.hidden, found.last, found.norm) == ((("1", "", "3"),), "4", 0)


def test_it_is_for_a_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_interpreted", lambda: False)
    assert Stack([training()], 1).use(ByKernel) == "it is on cpu, and the kernel is for a GPU"
    monkeypatch.setattr(backend, "find_spec", lambda name: None)
    assert Stack([training()], 1).use(ByKernel) == "Triton is not installed"


ON_GPU = {"trainer__accelerator": "auto", "trainer__deterministic": True}


def launched_on_the_pretended_gpu(patched: pytest.MonkeyPatch) -> None:
    own = backend.launch

    def launch(programs: int, *tensors: Any, **others: Any) -> None:
        assert all(isinstance(one, OnGpu) for one in tensors)
        own(programs, *(one.inner for one in tensors), **others)

    patched.setattr(backend, "launch", launch)


def test_a_tick_on_a_gpu_is_one_launch_and_the_numbers_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    for device in ("cuda", "cpu"):
        with monkeypatch.context() as patched, pretended_gpu() as notes:
            if device == "cuda":
                launched_on_the_pretended_gpu(patched)
            some = [training(*ONE, "model.dropout=0.3", **ON_GPU, seed=n) for n in range(3)]
            stack = Stack(some, 4, device)
            assert stack.use(ByKernel) is None
            for one in some:
                stack.admit(one)
            stack.tick()
            notes.clear()
            stack.tick()
            if device == "cuda":
                assert notes.waits.total() == 1, str(notes)
                # Columns, order, keys, and whose weights are the best.
                assert notes.copies.total() <= 4, str(notes)
                assert notes.kernels.total() <= 30, str(notes)  # its validation is a graph
            stack.fetch([0, 1, 2])
            found.append([(one.rows, stack.last_weights(lane)) for lane, one in enumerate(some)])
    for (rows, weights), (its_rows, its) in zip(*found, strict=True):
        assert rows == its_rows
        assert all(torch.equal(weights[name], own) for name, own in its.items())


def breaks(self: ByKernel, steps: Steps) -> None:
    raise RuntimeError("Failed to find C compiler")


def comes_elsewhere(self: ByKernel, steps: Steps) -> None:
    ByTorch.steps(self, steps)
    self._tensors.net.flat.detach().mul_(1.1)


@pytest.mark.parametrize(("kernel", "why"), [
    (ByTorch.steps, None),
    (breaks, "not by a kernel, each in a multiprocessor: RuntimeError: Failed to find C compiler"),
    (comes_elsewhere, "not by a kernel, each in a multiprocessor: it comes "),
], ids=["it runs", "it does not compile", "it is wrong"])  # fmt: skip
def test_it_is_chosen_on_a_gpu_where_it_is_fastest_and_right(
    kernel: Callable[..., None],
    why: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    times = {name: 4.0 - place for place, name in enumerate(BACKENDS)}

    def rehearse(self: Stack) -> float:
        name = next(name for name, (kind, _) in BACKENDS.items() if type(self.backend) is kind)
        return self.lanes * times[name]

    monkeypatch.setattr(calibration, "_crowded", lambda: True)
    monkeypatch.setattr(calibration, "_solo_step", lambda *_: 10.0)
    monkeypatch.setattr(Stack, "rehearse", rehearse)
    monkeypatch.setattr(BACKENDS["graph"][0], "steps", ByTorch.steps)
    monkeypatch.setattr(ByKernel, "steps", kernel)
    with pretended_gpu(), caplog.at_level("INFO"):
        choice = choose(training(**ON_GPU), 4, "cuda")
    assert choice.by == ("graph" if why else "kernel")
    words = "by a CUDA graph" if why else "by a kernel, each in a multiprocessor"
    assert words in str(choice)
    assert (why is not None) is ("not by a" in caplog.text)
    assert (why or "") in caplog.text
    assert choose(training(), 4, "cpu").by in ("torch", "native")


def test_a_sweep_by_the_kernel_comes_to_the_scores_of_a_sweep_by_torch(
    jobs: Jobs,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values, overrides = rates(3), (*ONE, "model.dropout=0.2")
    mine, its = jobs(values, *overrides, to="kernel"), jobs(values, *overrides, to="torch")
    made: list[str] = []
    new: Callable[..., Any] = Group._new

    def by_kernel(self: Group, *arguments: Any) -> Any:
        self.by = "kernel"
        stack = new(self, *arguments)
        made.append(self.by)
        return stack

    with monkeypatch.context() as patched:
        patched.setattr(groups.Group, "_new", by_kernel)
        ends = serve(mine, compile=False).ends()
    serve(its, compile=False)
    assert set(made) == {"kernel"}
    for one, other in zip(mine, its, strict=True):
        assert isinstance(ends[one.number], Finished)
        scores = [result(job.folder)["value"] for job in (one, other)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_compiled_for_an_h100_it_spills_no_register(tmp_path: Path) -> None:
    """What the largest takes is what `MOST` allows; ptxas is in Triton's wheel."""
    names = [
        "the same, dropout, clipped by value",
        "the largest: 128-128-128-64, batch 128, dropout, clipped",
    ]
    command = [sys.executable, "-P", str(ROOT / "scripts/bench.d/kernel.py"), "--json"]
    command += [word for name in names for word in ("--only", name)]
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for found in map(json.loads(done.stdout).get, names):
        assert found["spilled"] == 0
        assert found["shared"] < 227 * 1024
        # The interpreter's `tl.maximum` keeps NaN, the compiled one does not. A softmax needs the largest
        # logit alone: one that is no number makes all chances so.
        assert found["drops_nan"] == ["loss_of_classes"]
        assert found["registers"] * 32 * found["warps"] * (8 // found["warps"]) <= 65536
