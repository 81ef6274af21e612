"""``caviar`` as a person runs it: a process, on a terminal or off it."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from shlex import quote

import pytest

from tests.made_up import make_run, make_sweep

CAVIAR = str(Path(sysconfig.get_path("scripts")) / "caviar")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working directory with a sweep of 60 trials, one of them failed with control characters."""
    folder = tmp_path_factory.mktemp("work")
    sweep = make_sweep(folder / "outputs/sweeps/wide", n_trials=60, epochs=1, states={59: "FAIL"})
    result = sweep / "trials/0059/result.json"
    result.write_text(result.read_text().replace("is nan", "[bold]\\u001b[2J is nan"))
    return folder


def run(folder, *arguments, **options):
    return subprocess.run(
        [CAVIAR, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, **options
    )


def plain(shown):
    """What a terminal shows, without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


def on_terminal(folder, *arguments, columns=200):
    """What a terminal of so many columns shows."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [CAVIAR, *arguments], cwd=folder, stdout=theirs, stderr=subprocess.PIPE, env=env
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.stderr is not None
    err = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=60) == 0, err
    return shown.decode(), err


def test_data_goes_to_stdout_and_messages_to_stderr(folder):
    done = run(folder, "runs", "best", "--ckpt")
    assert done.returncode == 0
    assert done.stderr == ""
    assert Path(done.stdout.removesuffix("\n")).is_file()
    refused = run(folder, "runs", "best", "wied")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: sweep=wied")
    assert refused.stderr.count("\n") == 1


def test_the_best_checkpoint_fits_a_shell_substitution(folder):
    done = subprocess.run(
        ["sh", "-c", f'cat "$({quote(CAVIAR)} runs best --ckpt)"'], cwd=folder, capture_output=True
    )
    assert done.stdout == b"made up"


def test_minus_one_is_a_name_and_an_unknown_option_is_not(folder):
    assert run(folder, "runs", "show", "-1").stdout.startswith("part\tkey\tvalue\n")
    assert run(folder, "runs", "show", "-1/3").returncode == 0
    assert "no such option" in run(folder, "runs", "show", "--nosuch").stderr


def test_a_reader_that_goes_away_is_no_error(folder):
    done = subprocess.run(
        ["sh", "-c", f"{quote(CAVIAR)} runs list --all-columns | head -n 1"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("run\t")
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_a_terminal_gets_a_table_cut_at_fifty_that_a_run_cannot_steer(folder):
    shown, err = on_terminal(folder, "runs", "list", "wide")
    assert "wide/59" in shown
    assert "wide/9 " not in shown
    assert "activation" in shown
    assert "model.activation" not in shown
    assert "[bold]" in shown
    assert "\x1b[2J" not in shown
    assert err == "10 runs more; --limit 0 lists all\n"
    assert "\t" not in shown


def test_a_narrow_terminal_gets_whole_names_and_the_columns_that_fit(folder):
    shown, err = on_terminal(folder, "runs", "list", "wide", "--limit", "3", columns=40)
    assert max(map(len, plain(shown).splitlines())) <= 40
    assert "wide/59" in shown
    assert "…" not in shown
    assert "columns more: " in err
    assert err.endswith("--columns chooses\n")
    # What is a row otherwise is a column where that is too wide.
    shown, _ = on_terminal(folder, "status", "--all", columns=30)
    rows = [line.split() for line in plain(shown).splitlines()]
    assert ["sweep", "wide"] in rows
    assert ["done", "60/60"] in rows
    shown, _ = on_terminal(folder, "runs", "show", "wide/3", columns=40)
    assert "…" not in shown  # a path that is cut is of no use


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_encoding_without_the_characters_is_no_traceback(folder, encoding):
    run_folder = folder / "outputs/runs/chinese"
    if not run_folder.exists():
        make_run(run_folder, "FAIL", error="größer als 中文")
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    done = run(folder, "runs", "list", "--where", "run == 'chinese'", "--json", env=env)
    assert json.loads(done.stdout)["runs"][0]["error"] == "größer als 中文"
    done = subprocess.run(
        [CAVIAR, "runs", "show", "chinese"], cwd=folder, env=env, capture_output=True
    )
    assert done.returncode == 0
    assert b"\\u4e2d\\u6587" in done.stdout
    shutil.rmtree(run_folder)


def test_off_a_terminal_there_is_no_colour_and_no_limit(folder):
    lines = run(folder, "runs", "list", env={**os.environ, "TERM": "xterm-256color"}).stdout
    assert "\x1b" not in lines
    assert len(lines.splitlines()) == 61


def test_listing_imports_neither_torch_nor_lightning_nor_pandas(folder):
    code = (
        "import sys; from caviar.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'lightning', 'pandas', 'numpy', 'optuna', 'hydra', 'omegaconf', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    wanted = [
        ["--help"],
        ["runs", "list", "--sort", "best", "--where", "lr < 1"],
        ["runs", "best", "--ckpt"],
        ["status", "--all"],
    ]
    for arguments in wanted:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True
        )
        assert done.stderr == "[]\n", arguments


def test_names_are_completed_by_the_shell(folder):
    def completed(*words):
        env = {
            **os.environ,
            "_CAVIAR_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(["caviar", *words]),
            "COMP_CWORD": str(len(words)),
        }
        return run(folder, env=env).stdout.split()

    assert completed("runs", "best", "w") == ["wide"]
    assert completed("resume", "w") == ["wide"]
    make_run(folder / "outputs/runs/cub")
    assert completed("watch", "c") == completed("resume", "c") == ["cub"]
    shutil.rmtree(folder / "outputs/runs/cub")
    assert completed("runs", "show", "wide/1") == ["wide/1", *(f"wide/1{i}" for i in range(10))]
    assert "--where" in completed("runs", "list", "--w")
