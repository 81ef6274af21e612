"""A saved run's network as a file that needs neither caviar nor its own code: torch.export's, or ONNX."""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from caviar.base.errors import UsageError, name_and_text, usage_error
from caviar.base.plain import echo
from caviar.lightning.quiet import quiet
from caviar.lightning.saved import open_run
from caviar.runs.files import write_atomic

Inputs = tuple[Tensor, ...]
Outputs = list[Tensor]
Exported = tuple[bytes, Callable[[Inputs], Outputs]]
"""A file's content, and what its network gives, read back from that."""

FILES = {"torch_export": "model.pt2", "onnx": "model.onnx"}
"""Kind -> the file's name in the run folder."""

_RTOL, _ATOL = 1e-3, 1e-5


def export(run: str | Path, to: str, out: str | None = None) -> Path:
    """Write the network of the run in folder ``run``, its module's ``forward``, and return the file.

    It takes batches of any size. What it gives for the validation part is held against what the module
    gives, and the file is written only where that is the same, but for rounding.

    Args:
        to: one of `FILES`.
        out: the file; else it is in the run folder.

    Raises:
        UsageError: the run cannot be read, its module cannot be exported, or gives something else then.
    """
    if to not in FILES:
        raise usage_error("--to", to, "no such kind", list(FILES))
    target = Path(out) if out else Path(run) / FILES[to]
    if out and target.exists():
        raise usage_error("--out", out, "exists already, and is not written over")
    if not target.parent.is_dir():
        raise usage_error("--out", out, "its folder does not exist")
    missing = [name for name in ("onnx", "onnxscript") if to == "onnx" and find_spec(name) is None]
    if missing:
        raise usage_error("--to", to, f"needs {missing[0]}: pip install 'caviar[export]'")
    saved = open_run(run, read_data=True)
    network = _Forward(saved.module)
    inputs = list(_inputs(saved.module, saved.data))
    if not inputs:
        raise UsageError(f"run={run}: its validation part has no samples to hold an export against")
    try:
        with quiet(), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the exporters' own future
            # Several samples: of one alone an exporter would take the batch for always 1.
            example = tuple(torch.cat([one, one])[:2].contiguous() for one in inputs[0])
            batch = {0: torch.export.Dim("batch", min=1)}
            by = {"torch_export": _by_torch, "onnx": _by_onnx}[to]
            content, exported = by(network, example, (tuple(batch for _ in example),))
            worst = _compare(network, exported, inputs)
    except UsageError:
        raise
    except Exception as error:  # whatever an exporter raises of a network
        why = f"{type(saved.module).__name__} cannot be exported to {to} ({name_and_text(error)})"
        raise UsageError(f"run={run}: {why}") from error
    write_atomic(target.parent.resolve() / target.name, content)  # the way there is the user's own
    samples = sum(len(batch[0]) for batch in inputs)
    echo(
        f"{target}: as the module on {samples} validation samples (largest difference {worst:.2g})"
    )
    return target


class _Forward(nn.Module):
    """A module's ``forward`` and nothing else of it."""

    def __init__(self, module: LightningModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Any:
        return self.module(*inputs)


def _by_torch(network: nn.Module, example: Inputs, free: Any) -> Exported:
    program = torch.export.export(network, example, dynamic_shapes=free)
    file = io.BytesIO()
    torch.export.save(program, file)
    content = file.getvalue()
    read = torch.export.load(io.BytesIO(content)).module()
    return content, lambda inputs: _tensors(read(*inputs))


def _by_onnx(network: nn.Module, example: Inputs, free: Any) -> Exported:
    program = torch.onnx.export(network, example, dynamo=True, dynamic_shapes=free, verbose=False)
    assert program is not None
    content = program.model_proto.SerializeToString()
    names = [one.name for one in program.model_proto.graph.input]
    run = _onnx_reader(content)

    def exported(inputs: Inputs) -> Outputs:
        given = {name: one.numpy() for name, one in zip(names, inputs, strict=True)}
        return [torch.as_tensor(one) for one in run(None, given)]

    return content, exported


def _onnx_reader(content: bytes) -> Callable[..., Any]:
    """What computes an ONNX file: onnxruntime where it is installed, else ONNX's own, which is slower."""
    if find_spec("onnxruntime") is not None:
        import onnxruntime  # type: ignore[import-not-found]

        return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run
    import onnx.reference  # type: ignore[import-not-found]

    return onnx.reference.ReferenceEvaluator(onnx.load_from_string(content)).run


def _inputs(module: LightningModule, data: Any) -> Iterator[Inputs]:
    """What ``forward`` takes of each batch of the validation part: its first entries, all tensors."""
    if type(module).forward is LightningModule.forward:
        raise UsageError(f"{type(module).__name__} has no forward, which is what is exported")
    parameters = inspect.signature(module.forward).parameters.values()
    taken = sum(
        one.default is one.empty and one.kind is not one.VAR_POSITIONAL for one in parameters
    )
    data.prepare_data()
    data.setup("fit")
    for batch in data.val_dataloader():
        entries = batch if isinstance(batch, list | tuple) else [batch]
        inputs = tuple(entries[:taken])
        if len(inputs) < taken or not all(isinstance(one, Tensor) and one.ndim for one in inputs):
            kind = "a mapping" if isinstance(batch, Mapping) else f"{len(entries)} entries"
            why = f"forward takes {taken} tensors, which are not the first of a batch ({kind})"
            raise UsageError(f"{type(module).__name__}: {why}")
        yield inputs


def _compare(
    network: nn.Module, exported: Callable[[Inputs], Outputs], inputs: list[Inputs]
) -> float:
    """The largest difference between the outputs of the two, which is one of rounding."""
    worst = 0.0
    for batch in inputs:
        wanted, got = _tensors(network(*batch)), exported(batch)
        if [one.shape for one in wanted] != [one.shape for one in got]:
            raise UsageError("an export gives other shapes than the module; nothing was written")
        for one, other in zip(wanted, got, strict=True):
            gap = (one.double() - other.double()).abs().nan_to_num()
            worst = max(worst, float(gap.max()) if gap.numel() else 0.0)
            if not torch.allclose(one, other.to(one.dtype), _RTOL, _ATOL, equal_nan=True):
                why = f"an export's outputs differ from the module's by up to {worst:.2g}"
                raise UsageError(f"{why}; nothing was written")
    return worst


def _tensors(outputs: Any) -> Outputs:
    return [one for one in pytree.tree_leaves(outputs) if isinstance(one, Tensor)]
