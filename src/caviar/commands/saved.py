"""``caviar test | predict | export``: a run that has ended is judged, asked, or given away as a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from caviar.base.errors import UsageError, usage_error
from caviar.commands.names import complete_run, without_options
from caviar.commands.runs.arguments import OneRun


def test_command(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="A run or a trial; with --ckpt: overrides of the program's config, as experiment=NAME.",
            autocompletion=complete_run,
        ),
    ],
    ckpt: Annotated[
        str | None, typer.Option("--ckpt", help="Evaluate this checkpoint, of any run or project.")
    ] = None,  # noqa: PT028
    program: Annotated[
        str | None,
        typer.Option("--program", help="With --ckpt: the module that trains, as project.train."),
    ] = None,  # noqa: PT028
) -> None:
    """Evaluate a run's best checkpoint on the test part, and record that it was.

    Examples:

      caviar test latest

      caviar test --ckpt outputs/some.ckpt experiment=spirals_mlp
    """
    if ckpt is not None:
        raise typer.Exit(_evaluate(ckpt, program or _program(), words))
    from caviar.lightning.testing import test as evaluate
    from caviar.reading.find import find_run

    without_options(words)
    if len(words) > 1:
        raise usage_error("test", words[1], "one run at a time; overrides are for --ckpt")
    evaluate(str(find_run(words[0])))


def predict(
    run: OneRun,
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="data=NEW.csv, out=predictions.csv (or .parquet), and how data is written: sep, "
            "encoding, decimal, thousands, na_values, words.",
        ),
    ] = None,
) -> None:
    """Write a run's predictions for new rows into a table.

    Example: caviar predict latest data=new.csv
    """
    from caviar.lightning.arguments import parse
    from caviar.lightning.predict import DEFAULTS
    from caviar.lightning.predict import predict as write
    from caviar.reading.find import find_run

    usage = "caviar predict RUN data=NEW.csv [out=predictions.csv] [SETTING=VALUE …]"
    write(str(find_run(run)), **parse(settings or [], usage, DEFAULTS))


def export(
    run: OneRun,
    to: Annotated[str, typer.Option("--to", help="torch_export or onnx.")],
    out: Annotated[
        str | None, typer.Option("--out", help="The file; else model.pt2 or model.onnx of the run.")
    ] = None,
) -> None:
    """Write a run's network as a file for other programs, held against it on the validation part.

    Example: caviar export latest --to onnx
    """
    from caviar.lightning.exporting import export as write
    from caviar.reading.find import find_run

    write(find_run(run), to, out)


def _evaluate(ckpt: str, program: str, words: list[str]) -> int:
    """The exit status of the program that trains, told to train nothing and test a checkpoint."""
    path = Path(ckpt)
    if not path.is_file():
        raise usage_error("--ckpt", ckpt, "no such file")
    from caviar.space.grammar import as_override

    line = [as_override("ckpt_path", str(path.absolute())), "train=false", "test=true"]
    return subprocess.run([sys.executable, "-m", program, *words, *line], check=False).returncode


def _program() -> str:
    """The one package beside caviar in ``src`` that has a ``train.py``.

    Raises:
        UsageError: there is none here, or more than one.
    """
    found = [file.parent.name for file in sorted(Path("src").glob("*/train.py"))]
    if len(found) != 1:
        raise UsageError("--program: has to be given here, as in --program project.train")
    return f"{found[0]}.train"
