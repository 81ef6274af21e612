"""``python -m project.lessons NAME | all``: run lessons, write their figures, print what came of it."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from time import perf_counter

from caviar import UsageError, usage_error
from caviar.lightning.arguments import parse

LESSONS = (
    "random_beats_grid",
    "scale",
    "coarse_to_fine",
    "caviar_panda",
    "batch_norm",
    "bias_before_norm",
    "norm_noise",
    "softmax_regression",
    "forward_only",
)

USAGE = f"""python -m project.lessons NAME | all  [repeats=N] [out=FOLDER]

NAME      one of: {", ".join(LESSONS)}
repeats   of each experiment; a lesson has its own number where this is not given
out       where the figures go: outputs/lessons"""


def main(words: list[str]) -> None:
    """Run what the command line asks for.

    Raises:
        UsageError: no such lesson, or a bad setting.
    """
    names = [word for word in words if "=" not in word]
    outputs = os.environ.get("CAVIAR_OUTPUTS", "outputs")
    defaults = {"repeats": "0", "out": f"{outputs}/lessons"}
    settings = parse([word for word in words if "=" in word], USAGE, defaults)
    if not names:
        raise UsageError(f"name a lesson, or all (one of: {', '.join(LESSONS)})")
    for name in names:
        if name not in (*LESSONS, "all"):
            raise usage_error("lesson", name, "no such lesson", (*LESSONS, "all"))
    if not settings["repeats"].isdigit() or settings["repeats"] == "1":
        raise usage_error("repeats", settings["repeats"], "must be a whole number, 2 or more")
    teach(LESSONS if "all" in names else names, int(settings["repeats"]), Path(settings["out"]))


def teach(names: list[str] | tuple[str, ...], repeats: int, out: Path) -> None:
    """Run lessons; each leaves ``NAME.svg`` and ``NAME.json`` in ``out`` and a row a claim on stdout."""
    import torch

    torch.set_num_threads(1)  # these matrices are too small to share
    out.mkdir(parents=True, exist_ok=True)
    print("| claim | verdict | number | figure |\n|---|---|---|---|", flush=True)
    for name in names:
        start = perf_counter()
        run = import_module(f"project.lessons.{name}").run
        torch.manual_seed(0)  # the same figures every time
        lesson = run(repeats) if repeats else run()
        figure = out / f"{name}.svg"
        figure.write_text(lesson.figure, encoding="utf-8")
        rows = [{"claim": c.text, "verdict": c.verdict, "number": c.number} for c in lesson.claims]
        text = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
        (out / f"{name}.json").write_text(text, encoding="utf-8")
        for row in rows:
            print(f"| {' | '.join(row.values())} | {figure} |", flush=True)
        print(f"{name}: {perf_counter() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(USAGE)
        raise SystemExit
    try:
        main(sys.argv[1:])
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
