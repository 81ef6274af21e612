"""Agents on other machines: what is let in, what is lost, and what is not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from caviar.base.errors import UsageError
from caviar.executors import token as tokens
from caviar.executors.channel import ANSWER, GREETING, Guest, RefusedError, connect
from caviar.executors.mirror import Mirror, Piece, write
from caviar.executors.scratch import Scratch
from tests import copies
from tests.apps import App, make_app
from tests.sweep.test_faults import GATED, check_whole, open_the_gate, pids
from tests.waiting import gone, until

LISTEN = ("hydra/sweeper/executor=listen", "hydra.sweeper.executor.host=127.0.0.1")


@pytest.fixture
def app(tmp_path: Path) -> App:
    return make_app(tmp_path / "app", GATED)


def sweep(app: App, n_trials: int) -> subprocess.Popen[str]:
    process = app.start(*LISTEN, f"hydra.sweeper.n_trials={n_trials}")
    until(lambda: "waiting for agents" in app.out, "it waits for agents")
    return process


def agent(app: App, token: Path | None = None, **popen) -> subprocess.Popen[str]:
    """An agent with this machine's cores, as a person starts it."""
    words = [sys.executable, "-m", "caviar.cli", "join", str(token or app.folder / "sweep")]
    with (app.folder / "agents.txt").open("a") as out:
        return copies.Popen(
            words, cwd=app.folder, stdout=out, stderr=subprocess.STDOUT, text=True, **popen
        )


def address(app: App) -> tuple[str, int]:
    return tokens.split(tokens.read(app.folder / "sweep")[1])


def test_who_does_not_know_the_token_is_dropped_and_told_and_the_sweep_goes_on(app: App):
    process = sweep(app, 4)
    scanner = socket.create_connection(address(app))
    scanner.sendall(b"GET / HTTP/1.1\r\n\r\n")
    until(lambda: "was dropped: no agent" in app.out, "a scanner is dropped")
    assert len(scanner.recv(1000)) == GREETING  # nothing that it could use
    assert scanner.recv(1000) == b""
    scanner.close()
    with pytest.raises(RefusedError, match="another token"):
        connect(*address(app), b"x" * 32)
    until(lambda: "was dropped: it does not know the token" in app.out, "a wrong token is dropped")
    copy = app.folder / "wrong.token"
    copy.touch(0o600)
    copy.write_text("00" * 32 + f"\n{':'.join(map(str, address(app)))}\n")
    assert agent(app, copy).wait(60) == 2
    joined = agent(app)
    open_the_gate(app)
    assert process.wait(90) == 0, app.out
    assert joined.wait(30) == 0
    check_whole(app, 4)


def test_no_agent_unpickles_what_a_stranger_says(tmp_path: Path):
    witness = tmp_path / "witness"

    class Evil:
        def __reduce__(self):
            return Path.touch, (witness,)

    server = socket.create_server(("127.0.0.1", 0))
    ours, theirs = socket.socketpair()
    with server, ours, theirs:
        guest = Guest(ours, "here")
        theirs.sendall(b"caviar-1" + b"x" * (ANSWER - 8))
        with pytest.raises(RefusedError, match="does not know the token"):
            guest.hear(b"token")
    a, b = _pair(b"one")
    import pickle

    payload = pickle.dumps(Evil())
    b._connection.send(len(payload).to_bytes(8, "big") + b"x" * 32 + payload)
    with pytest.raises(RefusedError, match="did not sign"):
        until(a.receive, "it is heard")
    assert a.closed
    assert not witness.exists()
    for end in (a, b):
        end.close()


def _pair(token: bytes):
    from threading import Thread

    server = socket.create_server(("127.0.0.1", 0))
    found = []
    thread = Thread(target=lambda: found.append(connect(*server.getsockname(), token)))
    thread.start()
    connection, _ = server.accept()
    guest = Guest(connection, "here")
    channel = until(lambda: guest.hear(token), "the agent proves itself")
    thread.join()
    server.close()
    return channel, found[0]


def test_messages_arrive_whole_and_in_order_however_large(tmp_path: Path):
    a, b = _pair(b"one")
    sent = [os.urandom(n) for n in (0, 1, 1000, 3_000_000, 5)]
    for one in sent:
        a.send(one)
    got: list[bytes] = []
    until(lambda: a.flush() or got.extend(b.receive()) or len(got) == 5, "all have arrived")
    assert got == sent
    a.close()
    until(lambda: b.receive() == [] and b.closed, "the end is seen")
    b.close()


def test_a_token_that_others_may_read_is_refused(tmp_path: Path):
    tokens.write(tmp_path, "here:1")
    path = tmp_path / tokens.TOKEN
    assert path.stat().st_mode & 0o777 == 0o600
    kept = tokens.read(tmp_path)
    assert tokens.write(tmp_path, "there:2") == kept[0]  # agents of an earlier session have it
    assert tokens.read(path) == (kept[0], "there:2")
    path.chmod(0o644)
    with pytest.raises(UsageError, match="others may read it"):
        tokens.read(tmp_path)
    path.chmod(0o600)
    path.write_text("no token")
    with pytest.raises(UsageError, match="holds no token"):
        tokens.read(tmp_path)


@pytest.mark.parametrize("name", ["../x", "/x", ".x", "a/../../x", "a/.b/x", ""])
def test_no_file_of_an_agent_leads_out_of_its_run_folder(tmp_path: Path, name: str):
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(UsageError):
        write(run, Piece(0, name, 0, b"x", last=True))
    assert not (tmp_path / "x").exists()


def test_a_link_in_a_run_folder_is_not_written_through(tmp_path: Path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "out").symlink_to(tmp_path)
    with pytest.raises(UsageError):
        write(run, Piece(0, "out/x", 0, b"x", last=True))
    assert not (tmp_path / "x").exists()


def test_a_mirror_sends_what_changed_and_result_json_last(tmp_path: Path):
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "checkpoints").mkdir(parents=True)
    there.mkdir()
    mirror = Mirror(0, here)

    def passed_on(checkpoints: bool = True) -> list[str]:
        pieces = list(mirror.changes(checkpoints))
        for piece in pieces:
            write(there, piece)
        return [piece.name for piece in pieces if piece.last]

    big = os.urandom(700_000)
    (here / "result.json").write_text("{}")
    (here / "log.txt").write_text("one\n")
    (here / "metrics.csv").write_text("epoch\n0\n")
    (here / "checkpoints" / "last.ckpt").write_bytes(big)
    (here / ".half.partial").write_text("x")
    (here / "link").symlink_to("/etc/passwd")
    assert passed_on(checkpoints=False) == ["log.txt", "metrics.csv", "result.json"]
    assert passed_on() == ["checkpoints/last.ckpt"]
    assert (there / "checkpoints" / "last.ckpt").read_bytes() == big
    assert passed_on() == []
    with (here / "log.txt").open("a") as log:
        log.write("two\n")
    (here / "metrics.csv").write_text("epoch,loss\n0,1\n1,1\n")
    (here / "checkpoints" / "last.ckpt").unlink()
    assert passed_on() == ["log.txt", "metrics.csv", "checkpoints/last.ckpt"]
    files = {f.name: f.read_text() for f in there.rglob("*") if f.is_file()}
    same = ("result.json", "log.txt", "metrics.csv")
    assert files == {name: (here / name).read_text() for name in same}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_agent_that_ends_in_mid_sweep_costs_its_trials_work_alone(app: App, number: int):
    process = sweep(app, 6)
    first = agent(app)
    until(lambda: len(pids(app)) >= 1, "a trial is under way")
    (app.folder / "talk").touch()
    workers = pids(app)
    first.send_signal(number)
    assert first.wait(60) == (0 if number == signal.SIGTERM else -number)
    for pid in workers:
        until(lambda pid=pid: gone(pid), "its workers end")
    told = "AgentLost" if number == signal.SIGKILL else "again: TrialInterrupted"
    until(lambda: told in app.out, "its trials are lost")
    second = agent(app)
    open_the_gate(app)
    assert process.wait(90) == 0, app.out
    assert second.wait(30) == 0
    done = (app.folder / "done.txt").read_text().split()
    assert len(done) == len(set(done)) == 6
    assert "on 0 lanes" not in app.out
    check_whole(app, 6)


def test_a_killed_sweep_is_resumed_with_the_agents_that_wait_for_it(app: App):
    process = sweep(app, 4)
    joined = agent(app)
    until(lambda: len(pids(app)) >= 1, "a trial is under way")
    process.kill()
    process.wait()
    until(lambda: "the controller is gone" in (app.folder / "agents.txt").read_text(), "it waits")
    for pid in pids(app):
        until(lambda pid=pid: gone(pid), "its workers end")
    open_the_gate(app)
    done = app.resume()
    assert done.status == 0, done.out + done.err
    assert joined.wait(30) == 0
    check_whole(app, 4)


def test_a_sweep_that_began_here_goes_on_elsewhere_and_back(app: App):
    process = app.start("hydra.sweeper.executor.workers=2", "hydra.sweeper.n_trials=6")
    until(lambda: len(pids(app)) == 2, "trials are under way")
    process.send_signal(signal.SIGINT)
    until(lambda: "stopping after 2 trials" in app.out, "it stops")
    open_the_gate(app)
    assert process.wait(60) == 130
    (app.folder / "go").unlink()
    away = app.start_resume("n_trials=5", *LISTEN)
    until(lambda: "waiting for agents" in app.out, "it waits for agents")
    joined = agent(app)
    until(lambda: len(pids(app)) > 2, "a trial is under way")
    away.send_signal(signal.SIGINT)
    until(lambda: app.out.count("stopping after") == 2, "it stops")
    open_the_gate(app)
    assert away.wait(60) == 130
    assert joined.wait(30) == 0
    done = app.resume("hydra/sweeper/executor=inline", "n_trials=6")
    assert done.status == 0, done.out + done.err
    check_whole(app, 6)


def test_what_a_killed_agent_left_is_removed_by_the_next_one(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    code = (
        "from caviar.executors.scratch import Scratch; import signal; "
        "scratch = Scratch(); "
        "print(scratch.path, flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", code]
    agents = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        killed, alive = (Path(agent.stdout.readline().strip()) for agent in agents)  # type: ignore[union-attr]
        foreign = tmp_path / "caviar-agent-of-nobody"
        foreign.mkdir()
        agents[0].kill()
        agents[0].wait()
        (killed / "trials").mkdir()
        scratch = Scratch()
        assert sorted(tmp_path.iterdir()) == sorted([alive, foreign, scratch.path])
        scratch.close()
        assert sorted(tmp_path.iterdir()) == sorted([alive, foreign])
    finally:
        for agent in agents:
            agent.kill()
            agent.communicate()
