"""What a step does beside its loss: its logs, and its calls of metrics, done after it, lane by lane."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from caviar.engines.called.results import Meta, meta_of
from caviar.engines.experiment import NotFusibleError


@dataclass(frozen=True)
class Out:
    """A tensor that leaves the step, by its number."""

    number: int


@dataclass(frozen=True)
class Call:
    """A call of a metric: ``arguments`` holds an `Out` for each tensor."""

    metric: str
    what: str
    arguments: tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Log:
    """A call of `self.log`; ``value`` is an `Out`, a number, a `Given` or a metric's name."""

    meta: Meta
    value: Any
    batch_size: int


@dataclass
class Record:
    """One step's.

    Attributes:
        outs: the tensors that leave it; ``told``: how many of them calls and logs are of, the first.
    """

    outs: list[Tensor] = field(default_factory=list)
    told: int = 0
    calls: list[Call] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)

    def out(self, tensor: Tensor) -> Out:
        """Have a tensor leave the step."""
        self.outs.append(tensor.detach() if tensor.requires_grad else tensor)
        return Out(len(self.outs) - 1)

    def call(self, metric: str, what: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Given:
        """Note a call of a metric; what it would have returned."""
        held = pytree.tree_map(
            lambda one: self.out(one) if isinstance(one, Tensor) else one, (args, kwargs)
        )
        self.calls.append(Call(metric, what, held))
        return Given(len(self.calls) - 1)

    def log(
        self,
        hook: str,
        name: str,
        value: Any,
        batch_size: Callable[[], int],
        given: Mapping[str, Any],
    ) -> None:
        """Note a call of `self.log`."""
        meta = meta_of(hook, name, given)
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise NotFusibleError(f"self.log({name!r}, …) of {value.numel()} numbers, not one")
            value = self.out(value.reshape(()))
        elif isinstance(value, MetricStandIn):
            value = value.name
        elif not isinstance(value, Given | int | float):
            raise NotFusibleError(f"self.log({name!r}, …) of a {type(value).__name__}")
        size = given.get("batch_size")
        weighted = meta.on_epoch and meta.reduce == "mean" and not isinstance(value, str)
        size = size if size is not None else batch_size() if weighted else 1
        self.logs.append(Log(meta, value, size))


class Given:
    """What a metric returns is known after the step: it may be logged, and no more.

    Args:
        call: the number of the call; ``key``: which of a collection's values.
    """

    def __init__(self, call: int, key: str | None = None) -> None:
        self.call = call
        self.key = key

    def __getitem__(self, key: str) -> Given:
        return Given(self.call, key)

    def __repr__(self) -> str:
        return f"Given({self.call}, {self.key!r})"

    def detach(self) -> Given:
        """Itself: it is no tensor."""
        return self

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse()

    @classmethod
    def __torch_function__(cls, *_: Any) -> NoReturn:
        _refuse()


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise NotFusibleError(
        "it computes with what a metric returned: of a metric in a step, lanes can log that, and no more"
    )


_OPERATIONS = (
    "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "neg", "pow", "rpow",
    "float", "int", "bool", "lt", "le", "gt", "ge", "iter", "len",
)  # fmt: skip

for _name in _OPERATIONS:
    setattr(Given, f"__{_name}__", _refuse)


class MetricStandIn(nn.Module):
    """Stands where a module has a metric, or a collection of some, and notes what is done with it.

    Args:
        name: of the metric in the module.
        metric: it.
        record: gives the record of the step under way.
    """

    def __init__(self, name: str, metric: Any, record: Callable[[], Record]) -> None:
        super().__init__()
        self.name = name
        self._record = record
        # Not a part of this module: its states are nobody's here.
        self.__dict__["_own"] = metric

    def forward(self, *args: Any, **kwargs: Any) -> Given:
        """Note a call of the metric, whose value may be logged."""
        return self._record().call(self.name, "forward", args, kwargs)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Note an update."""
        self._record().call(self.name, "update", args, kwargs)

    def compute(self) -> Given:
        """Note a call of ``compute``, whose value may be logged."""
        return self._record().call(self.name, "compute", (), {})

    def reset(self) -> None:
        """Note a reset."""
        self._record().call(self.name, "reset", (), {})

    def members(self) -> dict[str, MetricStandIn]:
        """Of a collection: what it calls each metric -> that one's stand-in."""
        own = self.__dict__["_own"]
        names = {id(metric): name for name, metric in own.named_children()}
        return {
            key: MetricStandIn(f"{self.name}.{names[id(metric)]}", metric, self._record)
            for key, metric in own.items(keep_base=False, copy_state=False)
        }

    def __getitem__(self, key: str) -> MetricStandIn:
        return MetricStandIn(f"{self.name}.{key}", self.__dict__["_own"][key], self._record)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.__dict__["_own"], name)
        if isinstance(found, bool | int | float | str):
            return found
        raise NotFusibleError(f"it asks the metric {self.name} for {name}")


def of_lane(held: Any, outs: list[Tensor], lane: int) -> Any:
    """Arguments of a call, as one lane's."""
    return pytree.tree_map(
        lambda one: outs[one.number][lane] if isinstance(one, Out) else one,
        held,
        is_leaf=lambda one: isinstance(one, Out),
    )
