"""A run's network as a file for other programs gives what the run's module gives, or is not written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from caviar import UsageError
from caviar.base.security import allow
from caviar.lightning.exporting import export
from caviar.lightning.saved import open_run

Train = Callable[..., Any]

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.*:DeprecationWarning", "ignore:Attribute 'net' is an instance"
)
MINE = (
    *("allow=[tests.lightning.]", f"hydra.searchpath=[file://{Path(__file__).parent}/configs]"),
    *("data=numbers", "model=mine", "metric=error", "direction=minimize", "space=none"),
    "trainer.max_epochs=1",
)


def mine(train: Train, *words: str) -> Path:
    allow(["tests.lightning."])
    return train(*MINE, *words).folder


def test_a_torch_export_gives_what_the_module_gives_for_batches_of_any_size(
    train: Train, short: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(*short, "model.batch_norm=before", "model.dropout=0.3")
    capsys.readouterr()
    file = export(run.folder, "torch_export")
    assert file == run.folder / "model.pt2"
    assert "model.pt2: as the module on 18 validation samples" in capsys.readouterr().out
    code = (
        "import sys, torch\n"
        f"read = torch.export.load({str(file)!r}).module()\n"
        "x = torch.load(sys.argv[1])\n"
        "torch.save([read(x[:n]) for n in (1, 2, 7)], sys.argv[2])\n"
        "assert not {'caviar', 'project', 'lightning'} & set(sys.modules)\n"
    )
    saved = open_run(run.folder, read_data=True)
    x = saved.data.parts.train[0]
    torch.save(x, tmp_path / "x.pt")
    line = [sys.executable, "-c", code, str(tmp_path / "x.pt"), str(tmp_path / "y.pt")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for n, got in zip((1, 2, 7), torch.load(tmp_path / "y.pt"), strict=True):
        torch.testing.assert_close(got, saved.module(x[:n]))


def test_an_onnx_file_gives_what_the_module_gives_for_batches_of_any_size(
    train: Train, short: tuple[str, ...], tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    from onnx.reference import ReferenceEvaluator

    run = train(*short, "model.batch_norm=before", "model.activation=gelu")
    file = export(run.folder, "onnx", str(tmp_path / "net.onnx"))
    assert not (run.folder / "model.onnx").exists()
    evaluator = ReferenceEvaluator(onnx.load(file))
    saved = open_run(run.folder, read_data=True)
    x = saved.data.parts.train[0]
    (name,) = evaluator.input_names
    for n in (1, 2, 7):
        (got,) = evaluator.run(None, {name: x[:n].numpy()})
        torch.testing.assert_close(torch.as_tensor(got), saved.module(x[:n]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Mine has no forward, which is what is exported"),
        (["noisy=false"], r"Forward cannot be exported to torch_export \("),
        (["noisy=true"], "an export's outputs differ from the module's by up to"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(
    train: Train, words: list[str], told: str
) -> None:
    forward = ["model._target_=tests.lightning.modules.Forward"] if words else []
    folder = mine(train, *forward, *(f"+model.{word}" for word in words))
    with pytest.raises(UsageError, match=told) as refused:
        export(folder, "torch_export")
    assert "\n" not in str(refused.value)
    assert not (folder / "model.pt2").exists()


def test_bad_words_are_told_before_a_run_is_opened(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    for to, out, told in (
        ("onxx", None, "--to=onxx: no such kind; did you mean onnx"),
        ("torch_export", str(tmp_path / "there"), "exists already"),
        ("torch_export", str(tmp_path / "no/such.pt2"), "its folder does not exist"),
    ):
        with pytest.raises(UsageError, match=told):
            export(tmp_path, to, out)
