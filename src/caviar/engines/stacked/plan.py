"""What a network computes, read off the network itself, so that a stack of them can compute it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from caviar.engines.dropout import numbers_of
from caviar.engines.experiment import NotFusibleError
from caviar.engines.stacked.layers import FUNCTIONS, LAYERS, VALUES, State
from caviar.engines.stacked.padding import (
    Shapes,
    chain_of,
    paddable,
    padded_shapes,
    power_of_two,
    units_before,
)


@dataclass(frozen=True)
class Plan:
    """A network as steps that its layers take, and the shapes of its tensors.

    Attributes:
        key: what two networks must share to be lanes of one stack.
        steps: what its layers do, in order.
        shapes: of each parameter and buffer, as this network has them.
        padded: the same, as the stack has them: hidden units rounded up.
        values: the numbers of `layers.VALUES`, by ``layer.name``.
        counters: batch norm's ``num_batches_tracked``, and how often a step counts there.
        dropouts: its dropout layers, and their units where a stack may have more.
        numbers: which of the network's dropout layers each of them is.
        layers: its layers by name, where it is a chain of them and nothing else; else none.
        embeds: whether it has an embedding.
    """

    key: Hashable
    steps: tuple[Step, ...]
    shapes: Shapes
    padded: Shapes
    parameters: tuple[str, ...]
    buffers: tuple[str, ...]
    values: dict[str, float]
    counters: dict[str, int]
    dropouts: dict[str, int | None]
    numbers: dict[str, int]
    layers: tuple[tuple[str, nn.Module], ...]
    embeds: bool

    def forward(self, state: State, x: Tensor) -> Tensor:
        """What the network gives for ``x`` of shape ``(lanes, batch, …)``, in every lane."""
        found = [x]
        for step in self.steps:
            found.append(step(state, found))
        return found[-1]


Step = Callable[[State, list[Tensor]], Tensor]


def _steps(graph: fx.Graph, modules: dict[str, nn.Module]) -> tuple[Step, ...]:
    """The graph's nodes in order, each a function of what those before it gave."""
    nodes = [node for node in graph.nodes if node.op != "output"]
    places = {node: index for index, node in enumerate(nodes)}
    (result,) = next(node for node in graph.nodes if node.op == "output").args
    steps = [_step(node, places, modules) for node in nodes[1:]]
    if result is not nodes[-1]:
        place = places[result]  # type: ignore[index]
        steps.append(lambda state, found: found[place])
    return tuple(steps)


def _step(node: fx.Node, places: dict[fx.Node, int], modules: dict[str, nn.Module]) -> Step:
    target: Any = node.target
    place = places[node.args[0]] if isinstance(node.args[0], fx.Node) else -1
    if node.op == "call_module":
        layer = modules[target]
        forward = LAYERS[type(layer)]
        return lambda state, found: forward(layer, target, state, found[place])
    if node.op == "call_method" or target is torch.flatten:
        return lambda state, found: found[place].flatten(2)

    def call(state: State, found: list[Tensor]) -> Tensor:
        arguments = map_arg(node.args, lambda n: found[places[n]])
        return target(*arguments, **map_arg(node.kwargs, lambda n: found[places[n]]))

    return call


_plans: dict[Hashable, Plan] = {}


def plan_of(network: nn.Module) -> Plan:
    """The plan of ``network``; remembered, because tracing is slow and trials are many.

    Raises:
        NotFusibleError: it has a layer that cannot be stacked; the message names it.
    """
    key = _signature(network)
    if key not in _plans:
        _plans[key] = _make(network)
    values = {
        f"{name}.{attribute}": getattr(layer, attribute)
        for name, layer in network.named_modules()
        for attribute in VALUES.get(type(layer), ())
    }
    return replace(_plans[key], values=values)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # All of torch's own layers, so that one that cannot be stacked is met, and named, as such.
        known = type(m).__module__.startswith("torch.nn") or type(m) in LAYERS
        return known and not isinstance(m, nn.Sequential)


def _make(network: nn.Module) -> Plan:
    try:
        graph = _Tracer().trace(network)
    except NotFusibleError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NotFusibleError(
            f"{type(network).__name__}.forward cannot be traced: {reason}"
        ) from None
    modules = dict(network.named_modules())
    _check(network, graph, modules)
    called = [node.target for node in graph.nodes if node.op == "call_module"]
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    layers = chain_of(graph, modules)
    chain = layers if paddable(layers) else []
    padded = padded_shapes(chain, shapes, lambda units: -(-units // 8) * 8)
    counters = {
        name: called.count(name.rpartition(".")[0])
        for name in shapes
        if name.endswith("num_batches_tracked")
    }
    dropouts: dict[str, int | None] = {}
    for name in called:
        if isinstance(modules[name], nn.Dropout):
            if name in dropouts:
                raise NotFusibleError(f"the layer {name} is a Dropout that is used twice")
            dropouts[name] = units_before(chain, name)
    return Plan(
        key=(
            tuple(padded_shapes(chain, shapes, power_of_two).items()),
            _signature(network, shapes=False),
        ),
        steps=_steps(graph, modules),
        shapes=shapes,
        padded=padded,
        parameters=tuple(name for name, _ in network.named_parameters()),
        buffers=tuple(n for n, _ in network.named_buffers() if n not in counters),
        values={},
        counters=counters,
        dropouts=dropouts,
        numbers=numbers_of(network),
        layers=tuple(layers),
        embeds=any(isinstance(layer, nn.Embedding) for layer in modules.values()),
    )


def _check(network: nn.Module, graph: fx.Graph, modules: dict[str, nn.Module]) -> None:
    every = list(network.named_parameters(remove_duplicate=False))
    for name, parameter in every:
        if not parameter.requires_grad:
            raise NotFusibleError(f"{name} is frozen")
    if len(every) > len(list(network.parameters())):
        raise NotFusibleError("two layers share a parameter")
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise NotFusibleError(f"{type(network).__name__}.forward takes more than one input")
    for node in graph.nodes:
        if node.op == "call_module":
            _check_layer(node.target, modules[node.target])
        elif node.op == "call_function" and node.target not in FUNCTIONS:
            if node.target is not torch.flatten or node.args[1:] != (1,):
                name = getattr(node.target, "__name__", node.target)
                raise NotFusibleError(f"the function {name} in its forward")
        elif node.op == "call_method" and (node.target, node.args[1:]) != ("flatten", (1,)):
            raise NotFusibleError(f"the method {node.target} in its forward")
        elif node.op == "get_attr":
            raise NotFusibleError(f"{node.target}, a tensor of its own, used in its forward")


def _check_layer(name: str, layer: nn.Module) -> None:
    kind = type(layer).__name__
    if type(layer) not in LAYERS:
        raise NotFusibleError(f"the layer {name} is a {kind}")
    if isinstance(layer, nn.BatchNorm1d) and (
        layer.momentum is None or not layer.track_running_stats
    ):
        raise NotFusibleError(f"the layer {name} is a {kind} without a running mean")
    if isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim) != (1, -1):
        raise NotFusibleError(f"the layer {name} is a {kind} that leaves some dimensions")
    if isinstance(layer, nn.Embedding) and (
        layer.padding_idx is not None or layer.max_norm is not None or layer.scale_grad_by_freq
        or layer.sparse
    ):  # fmt: skip
        raise NotFusibleError(f"the layer {name} is a {kind} with more than a table")


_UNSIGNED = {"training", "in_features", "out_features", "num_features", "num_embeddings",
             "embedding_dim"}  # fmt: skip


def _signature(network: nn.Module, shapes: bool = True) -> Hashable:
    """What the network is made of, without its weights; ``shapes`` or not."""
    return tuple(
        (
            name,
            type(layer),
            tuple(
                (key, value if isinstance(value, Hashable) else repr(value))
                for key, value in vars(layer).items()
                if not key.startswith("_")
                and key not in _UNSIGNED
                and key not in VALUES.get(type(layer), ())
            ),
            tuple(
                (key, tuple(tensor.shape) if shapes else None)
                for key, tensor in (*layer._parameters.items(), *layer._buffers.items())
                if tensor is not None
            ),
        )
        for name, layer in network.named_modules()
    )


def widest(plans: Iterable[Plan]) -> Shapes:
    """The shapes that hold networks of all these plans."""
    found: Shapes = {}
    for plan in plans:
        for name, shape in plan.padded.items():
            found[name] = tuple(map(max, shape, found.get(name, shape)))
    return found
