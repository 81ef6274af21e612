"""The live panel, in a real pseudo-terminal; and plain lines everywhere else."""

import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from rich.console import Console

from caviar.base.messages import Failed, Finished, Gone, Pruned, Ready, Reported, Started, Starting
from caviar.base.plain import printable
from caviar.base.words import duration, short
from caviar.reports.live import LivePanel
from caviar.reports.progress import Lines
from caviar.reports.tally import Tally
from caviar.sweep.asking import Asked
from tests import copies
from tests.apps import App, make_app

CODE = """
import hydra, time
from pathlib import Path
import caviar

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    end = time.monotonic() + 60
    step = 0
    while not Path("go").exists() and time.monotonic() < end:
        caviar.report(config.x, step)
        step += 1
        time.sleep(0.05)
    if config.x > 0:
        raise ValueError("\\x1b[2J\\x07 no \\x1b]0;title\\x07good")
    return config.x

if __name__ == "__main__":
    main()
"""


class Terminal:
    """A sweep in a pseudo-terminal of its own, and all that it has written there."""

    def __init__(self, app: App, columns: int = 80, rows: int = 24) -> None:
        self.shown = ""
        self._end, theirs = pty.openpty()
        self.resize(columns, rows)
        self.process = copies.Popen(
            [sys.executable, "app.py", "-m", "hydra.sweeper.sampler.seed=0"],
            cwd=app.folder,
            # Where these are set, as in a parallel test run, they hide the terminal's own size.
            env={k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
            | {"TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    @property
    def modes(self) -> list:
        """How the terminal treats what is typed and written (echo, line ends, …)."""
        return termios.tcgetattr(self._end)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, happened, what: str) -> str:
        """Read until ``happened(text since now)``; gives that text without styles."""
        end, since = monotonic() + 60, ""
        while not happened(plain(since)):
            assert monotonic() < end, f"waited in vain for {what}:\n{plain(since)[-2000:]}"
            if select.select([self._end], [], [], 0.2)[0]:
                try:
                    since += os.read(self._end, 65536).decode(errors="replace")
                except OSError:  # the other end is closed
                    assert happened(plain(since)), f"{what}:\n{plain(since)[-2000:]}"
            self.shown, since = self.shown, since
        self.shown += since
        return plain(since)

    def rest(self) -> str:
        """All that is written until the process ends, with its control sequences."""
        text = ""
        while True:
            try:
                read = os.read(self._end, 65536)
            except OSError:
                break
            if not read:
                break
            text += read.decode(errors="replace")
        self.process.wait(60)
        os.close(self._end)
        self.shown += text
        return text


def cursor_is_shown(text: str) -> bool:
    return text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text)


@pytest.fixture
def app(tmp_path: Path) -> App:
    return make_app(tmp_path / "app", CODE)


@pytest.fixture
def terminal(app: App) -> Iterator[Terminal]:
    terminal = Terminal(app)
    yield terminal
    if terminal.process.poll() is None:
        terminal.process.kill()
        terminal.process.wait()


def test_a_terminal_shows_one_panel_that_is_drawn_anew_and_goes_at_the_end(
    app: App, terminal: Terminal
):
    shown = terminal.read_until(
        lambda text: all(re.search(rf"cpu:{n} +\d+ +[1-9]\d* +-?\d", text) for n in (0, 1)),
        "both lanes with an epoch",
    )
    assert "sweep sweep" in shown
    assert "running of 4" in shown
    assert "heard" in shown
    terminal.resize(50, 15)
    os.kill(terminal.process.pid, signal.SIGWINCH)
    terminal.read_until(lambda text: re.search("╭[^╯]{10,700}╰─{48}╯", text), "a narrow panel")
    (app.folder / "go").touch()
    rest = terminal.rest()
    assert terminal.process.returncode == 3
    text = plain(rest)
    failed = [result for result in app.results() if result["state"] == "FAIL"]
    for result in failed:
        assert f"trial {result['number']} FAILED: ValueError:  no good" in text
    assert "best trials" in text
    assert rest.rstrip().endswith("result.json") or "caviar runs" in rest
    # What a trial says cannot clear the screen or set the title.
    assert "\x1b[2J" not in terminal.shown
    assert "\x1b]0" not in terminal.shown
    assert "\x07" not in terminal.shown
    assert cursor_is_shown(terminal.shown)


def test_ctrl_c_on_the_terminal_gives_it_back_as_it_was(terminal: Terminal):
    terminal.read_until(lambda text: re.search(r"cpu:0 +\d+", text), "a trial under way")
    os.kill(terminal.process.pid, signal.SIGINT)
    terminal.read_until(lambda text: "stopping after" in text, "what it waits for")
    os.kill(terminal.process.pid, signal.SIGINT)
    rest = terminal.rest()
    assert terminal.process.returncode == 130
    assert "caviar resume" in plain(rest)
    assert cursor_is_shown(terminal.shown)


BROKEN_SAMPLER = """
from caviar.sweep.samplers import RandomSampler

class Broken(RandomSampler):
    def propose(self, name):
        if self.place == 2:
            raise RuntimeError("out of ideas")
        return super().propose(name)
"""


def test_a_controller_that_an_exception_ends_takes_its_panel_away_and_shows_the_error(app: App):
    (app.folder / "ideas.py").write_text(BROKEN_SAMPLER)
    config = app.folder / "conf" / "config.yaml"
    text = config.read_text().replace("x: 0.0", "x: -1.0\nallow: [ideas.]")
    text = text.replace("interval(-5, 5)", "interval(-5, -1)")
    config.write_text(
        f"{text}\n".replace("n_trials: 4", "n_trials: 4\n    sampler: {_target_: ideas.Broken}")
    )
    terminal = Terminal(app)
    try:
        terminal.read_until(lambda text: re.search(r"cpu:0 +\d+ +[1-9]", text), "a lane")
        (app.folder / "go").touch()  # the trials end, and the sampler is asked for a third
        rest = terminal.rest()
    finally:
        terminal.process.kill()
        terminal.process.wait()
    assert terminal.process.returncode == 1
    assert "RuntimeError: out of ideas" in rest
    error = rest.index("out of ideas")
    last_line_of_the_panel = rest.rindex("╰")
    assert last_line_of_the_panel < rest.rindex("\x1b[2K", 0, error), "the panel was wiped away"
    assert "╭" not in rest[error:]
    assert cursor_is_shown(terminal.shown)


def test_a_controller_that_is_killed_leaves_the_terminal_fit_for_use(app: App):
    terminal = Terminal(app)
    before = terminal.modes
    terminal.read_until(lambda text: re.search(r"cpu:0 +\d+ +[1-9]", text), "a lane")
    os.kill(terminal.process.pid, signal.SIGKILL)
    assert terminal.process.wait(60) == -signal.SIGKILL
    assert cursor_is_shown(terminal.shown)
    assert terminal.modes == before, "what is typed is still shown, and lines end where they should"
    terminal.rest()
    assert cursor_is_shown(terminal.shown)


def test_off_a_terminal_there_are_no_control_characters(app: App):
    (app.folder / "go").touch()
    done = app.sweep("hydra.sweeper.sampler.seed=0", env={"TERM": "xterm-256color"})
    assert done.status == 3
    assert "FAILED: ValueError:  no good" in done.out
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", done.out + done.err)


def panel(lanes: int, width: int = 80, height: int = 24) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=height, color_system=None)
    tally = Tally(1000, ["minimize"], ["val/loss"])
    view = LivePanel(Path("sweeps/a"), tally, console)
    view.happened(Ready("cpu:0"))
    for number in range(lanes):
        view.asked(Asked(number, {"optimizer.lr": 0.001}))
        view.happened(Started(number, f"gpu:{number % 8}"))
        view.happened(Reported(number, 0.5, 3))
    out.truncate(0)
    out.seek(0)
    view.tick()
    text = out.getvalue()
    view.close()
    return plain(text)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 24), (120, 50), (80, 10)])
@pytest.mark.parametrize("lanes", [0, 1, 64, 500])
def test_the_panel_fits_its_screen_whatever_the_number_of_lanes(lanes, width, height):
    lines = panel(lanes, width, height).splitlines()
    assert len(lines) <= max(height, 12)
    assert all(len(line) <= width for line in lines)
    if lanes > 50 and height < 60:
        assert any(re.search(r"and \d+ more", line) for line in lines)


def test_states_stand_in_words_and_not_in_colour_alone():
    text = panel(2)
    for word in ("complete", "pruned", "failed", "running"):
        assert word in text


def test_every_worker_has_a_row_one_without_a_trial_too():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24, color_system=None)
    view = LivePanel(Path("a"), Tally(9, ["minimize"], ["loss"]), console)

    def rows() -> dict[str, str]:
        out.truncate(0)
        out.seek(0)
        view._drawn = 0.0  # draw now, whenever it last did
        view.tick()
        found = re.findall(r"│ ((?:cpu|gpu):\S+) +(\S+)", plain(out.getvalue()))
        return dict(found)

    for worker in ("cpu:0", "cpu:1", "cpu:2"):
        view.happened(Starting(worker))
    assert rows() == dict.fromkeys(["cpu:0", "cpu:1", "cpu:2"], "starting")
    view.happened(Ready("cpu:1"))
    view.happened(Ready("cpu:0"))
    for number in (0, 1):
        view.asked(Asked(number, {"x": 1.0}))
        view.happened(Started(number, f"cpu:{number}"))
    assert rows() == {"cpu:0": "0", "cpu:1": "1", "cpu:2": "starting"}
    view.happened(Finished(1, [0.5], 0.1))
    assert rows() == {"cpu:0": "0", "cpu:1": "idle", "cpu:2": "starting"}
    view.happened(Starting("cpu:3"))
    view.happened(Gone("cpu:3"))
    assert "cpu:3" not in rows()
    view.again(0, "its worker was lost")  # the executor brings up another
    view.happened(Starting("cpu:0"))
    assert rows() == {"cpu:0": "starting", "cpu:1": "idle", "cpu:2": "starting"}
    view.close()


def test_drawing_does_not_cost_more_with_more_events():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24)
    view = LivePanel(Path("a"), Tally(10**6, ["minimize"], ["loss"]), console)
    view.tick()
    drawn = out.getvalue().count("running of")
    for number in range(5000):
        view.asked(Asked(number, {"x": 1.0}))
        view.happened(Started(number, "cpu:0"))
        view.happened(Finished(number, [1.0], 0.1))
    assert out.getvalue().count("running of") == drawn, "an event draws nothing"
    view.close()


def test_lines_sum_up_once_a_minute(monkeypatch):
    out, now = io.StringIO(), [0.0]
    monkeypatch.setattr("caviar.reports.progress.monotonic", lambda: now[0])
    tally = Tally(10, ["maximize"], ["val/acc"])
    view = Lines(Path("a"), tally, 2, out)
    view.happened(Started(0, "cpu:0"))
    view.happened(Finished(0, [0.5], 1.0))
    view.happened(Started(1, "cpu:0"))
    view.happened(Pruned(1, 0.25, 1.0))
    view.happened(Failed(2, "ValueError: bad", "Traceback\n" * 30 + "ValueError: bad"))
    for second in range(125):
        now[0] = float(second)
        view.tick()
    lines = out.getvalue().splitlines()
    summary = "1 complete, 1 pruned, 1 failed, 0 running of 10; best 0.5 (trial 0)"
    assert lines.count(summary) == 2
    assert lines.count("    Traceback") == 19
    assert "[2/10] trial 1 pruned at val/acc=0.25, 0 s left" in lines


def test_no_value_just_below_one_is_told_as_one():
    values = (0.99997, 0.9814126, 0.9990004, 0.5, -0.99997, 1.0, 1.00001, 1e-5, float("nan"))
    told = ["0.99997", "0.9814", "0.999", "0.5", "-0.99997", "1", "1", "1e-05", "nan"]
    assert [short(value) for value in values] == told


def test_control_characters_are_taken_out_and_words_of_any_language_stay():
    assert printable("a\x1b[31mb\x1b[0m\rc\x00\x9b中文\té\nö") == "abc中文\té\nö"
    assert printable("\x1b]8;;http://x\x1b\\link") == "link"


def test_durations_read_well():
    texts = [duration(s) for s in (0.4, 42, 89, 91, 600, 3600, 7500)]
    assert texts == ["0 s", "42 s", "89 s", "2 min", "10 min", "1 h 0 min", "2 h 5 min"]


NAMES = ["optimizer.lr", "optimizer.weight_decay", "model.width", "model.depth", "model.dropout"]


def full_panel(width: int) -> str:
    """A panel with a long metric, many hyperparameters and a best trial."""
    out = io.StringIO()
    console = Console(
        file=out,
        force_terminal=True,
        width=width,
        height=24,
        color_system=None,
        legacy_windows=False,
    )
    view = LivePanel(Path("a"), Tally(256, ["maximize"], ["val/accuracy_macro"]), console)
    for worker in range(2):
        view.happened(Ready(f"cpu:{worker}"))
    for number in range(14):
        view.asked(Asked(number, dict.fromkeys(NAMES, 0.1234 + number)))
        view.happened(Started(number, f"cpu:{number % 2}"))
        view.happened(Reported(number, 0.9123 + number / 1e4, 30 + number))
    view.happened(Finished(3, [0.9777], 3.0))
    out.truncate(0)
    out.seek(0)
    view._drawn = 0.0
    view.tick()
    text = plain(out.getvalue())
    view.close()
    return text


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_worker_trial_epoch_and_score_are_never_cut(width: int):
    text = full_panel(width)
    for number in {*range(8)} - {3}:
        row = rf"cpu:{number % 2} +{number} +{30 + number} +{short(0.9123 + number / 1e4)} +0 s"
        assert re.search(row, text), text
    assert re.search("worker +trial +epoch +.*macro +heard", text)


def test_the_panel_names_the_best_trials_hyperparameters_and_the_time_left():
    text = full_panel(120)
    assert "best 0.9777 (trial 3), 0 s left" in text
    assert "lr=3.123 weight_decay=3.123 width=3.123 depth=3.123 dropout=3.123" in text


def test_off_a_terminal_improvements_and_every_twentieth_are_told():
    out = io.StringIO()
    view = Lines(Path("a"), Tally(200, ["maximize"], ["val/acc"]), 1, out)
    scores = {5: 0.9, 37: 0.95, 38: 0.94}
    for number in range(200):
        view.asked(Asked(number, {"x": 1.0}))
        view.happened(Started(number, "cpu:0"))
        if number % 7 == 3:
            view.happened(Pruned(number, 0.1, 1.0))
        else:
            view.happened(Finished(number, [scores.get(number, 0.5)], 1.0))
    told = [int(n) for n in re.findall(r"^\[(\d+)/200\]", out.getvalue(), re.MULTILINE)]
    assert told == sorted({1, 6, 38, *range(10, 201, 10)})
    assert "trial 37 val/acc=0.95 in 1.0 s, best 0.95 (trial 37), 0 s left  x=1" in out.getvalue()
