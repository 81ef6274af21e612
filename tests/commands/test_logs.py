"""``caviar logs``: a run's output, also while it is written."""

import subprocess

import pytest

from caviar.commands import logs
from caviar.runs.folder import Result
from caviar.runs.program import hold
from caviar.sweep.owner import Owner
from tests.commands.test_process import CAVIAR
from tests.made_up import make_run
from tests.waiting import until


def test_logs_print_what_the_run_wrote(caviar, wide):
    assert caviar("logs", "wide/2").out == (wide / "trials/0002/log.txt").read_text()
    assert "Traceback" in caviar("logs", "2").out


@pytest.mark.parametrize("ends", ["", "\n"])
@pytest.mark.parametrize("count", [0, 1, 2, 9, 10, 11, 5000])
def test_the_last_lines_are_the_last(caviar, single, count, ends):
    lines = [f"line {i} {'x' * 50}" for i in range(3000)]
    (single / "log.txt").write_text("\n".join(lines) + ends)
    expected = "\n".join(lines[-count:]) + ends if count else ""
    assert caviar("logs", "single", "--lines", count).out == expected


def test_the_last_line_of_a_file_that_no_memory_holds_is_not_looked_for_without_end(
    caviar, single, monkeypatch
):
    monkeypatch.setattr(logs, "LONGEST", 1 << 20)
    with (single / "log.txt").open("wb") as file:
        file.truncate(8 << 30)
        file.seek(0, 2)
        file.write(b"end\n")
    assert caviar("logs", "single", "--lines", 2).out == "end\n"


def test_no_log_is_told(caviar, single):
    (single / "log.txt").unlink()
    done = caviar("logs", "single")
    assert (done.status, done.out) == (2, "")
    assert "it has no log.txt" in done.err


def test_following_one_that_has_ended_ends(caviar, wide):
    done = caviar("logs", "wide/2", "-f")
    assert done.out == (wide / "trials/0002/log.txt").read_text()
    assert done.err == "0002: FAIL\n"
    # It says RUNNING, but its sweep has no controller any more.
    assert caviar("logs", "wide/3", "-f").err == "0003: RUNNING\n"


def test_following_a_single_run_that_was_killed_ends(caviar, outputs):
    folder = make_run(outputs / "runs/cut", "RUNNING")
    assert caviar("logs", "cut", "-f").out == (folder / "log.txt").read_text()
    process = subprocess.Popen(
        [CAVIAR, "logs", "cut", "-f"], stdout=subprocess.PIPE, cwd=outputs / ".."
    )
    with process, hold(folder):
        assert process.stdout is not None
        assert process.stdout.readline() == b"training cut\n"
    assert process.returncode == 0


def test_following_a_killed_run_whose_log_is_no_file_ends(caviar, outputs):
    make_run(outputs / "runs" / "killed", state="RUNNING")
    log = outputs / "runs" / "killed" / "log.txt"
    log.unlink(missing_ok=True)
    log.symlink_to("/dev/null")
    done = caviar("logs", "killed", "-f")
    assert (done.status, done.out) == (2, "")
    assert "it has no log.txt" in done.err


def test_following_shows_every_byte_until_the_run_ends(wide, tmp_path):
    folder = wide / "trials/0003"
    log = folder / "log.txt"
    owner = Owner(wide)
    seen = tmp_path / "seen"
    with seen.open("wb") as out:
        process = subprocess.Popen([CAVIAR, "logs", "wide/3", "-f"], stdout=out, cwd=tmp_path)
        try:
            until(lambda: seen.read_text() == log.read_text(), "the lines that were there")
            with log.open("a") as file:
                file.write("half a li")
                file.flush()
                until(lambda: seen.read_text().endswith("half a li"), "what was added")
                file.write("ne\nlast words\n")
            result = Result.read(folder)
            result.state = "COMPLETE"
            result.write(folder)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
            process.wait()
            owner.release()
    assert seen.read_text() == log.read_text()


def test_following_waits_for_a_run_that_has_written_nothing_yet(outputs, tmp_path):
    folder = make_run(outputs / "runs/new", "RUNNING")
    (folder / "log.txt").unlink()
    process = subprocess.Popen(
        [CAVIAR, "logs", "new", "--follow"], stdout=subprocess.PIPE, cwd=tmp_path, text=True
    )
    (folder / "log.txt").write_text("here I am\n")
    result = Result.read(folder)
    result.state = "FAIL"
    result.write(folder)
    assert process.communicate(timeout=60)[0] == "here I am\n"
