"""``caviar report --follow``: the page renews itself while a sweep runs, and serves nothing else."""

from __future__ import annotations

import http.client
import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from caviar.reports import follow
from caviar.reports.follow import Server, Shown
from caviar.runs.folder import REPORT
from caviar.sweep.owner import Owner
from tests import copies
from tests.made_up import make_run, make_sweep
from tests.waiting import until


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Path]:
    """A sweep of 12 trials of which 4 have begun, held by this process as if it ran."""
    folder = make_sweep(
        tmp_path / "outputs/sweeps/made",
        n_trials=4,
        settings={"n_trials": 12},
        states={3: "RUNNING"},
    )
    owner = Owner(folder)
    yield folder
    owner.release()


class Followed:
    """The command, and what it has said."""

    def __init__(self, sweep: Path) -> None:
        self.sweep = sweep
        self.out = sweep / "out.txt"
        with self.out.open("w") as out:
            self.process = copies.Popen(
                [sys.executable, "-m", "caviar.cli", "report", "made", "--follow"],
                cwd=sweep.parents[2],
                stdout=out,
                stderr=out,
            )
        until(lambda: "http://" in self.out.read_text(), "an address", deadline=60)
        (self.address,) = re.findall(r"http://127\.0\.0\.1:\d+/", self.out.read_text())
        self.port = int(self.address.rpartition(":")[2].rstrip("/"))

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers


@pytest.fixture
def followed(sweep: Path) -> Iterator[Followed]:
    found = Followed(sweep)
    yield found
    found.process.kill()
    found.process.wait()


def test_an_open_page_shows_trials_as_they_end_and_keeps_what_was_typed(
    browser: Any, followed: Followed
) -> None:
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(followed.address)
    page.wait_for_selector("body[data-ready=true]")
    assert page.inner_text("#followed") == "under way"
    page.fill("#search", "state == 'COMPLETE'")
    page.evaluate("scrollTo(0, 400)")
    trials = followed.sweep / "trials"
    make_run(trials / "0004", number=4, value=0.99, params={"optimizer.lr": 0.05})
    page.locator("#trials tbody tr").nth(3).wait_for(timeout=60_000)
    assert page.input_value("#search") == "state == 'COMPLETE'"
    assert page.locator("#trials tbody button").first.inner_text() == "4"
    assert "0.99 (trial 4)" in page.inner_text("#summary")
    assert page.locator("#summary .copy").count() >= 1
    assert page.evaluate("scrollY") == 400
    page.close()
    assert not errors
    assert followed.process.poll() is None


def test_nothing_but_the_page_is_served_and_to_no_other_host(followed: Followed) -> None:
    status, body, headers = followed.get("/")
    assert status == 200
    assert b"connect-src 'self'" in body
    assert headers["Cache-Control"] == "no-store"
    status, body, headers = followed.get("/parts")
    assert (status, json.loads(body)["followed"]) == (200, True)
    assert followed.get("/parts", If_None_Match=headers["ETag"])[:2] == (304, b"")
    paths = ("/report.html", "/sweep.yaml", "/../sweep.yaml", "//etc/passwd", "/%2e%2e/", "/?x", "")
    for path in paths:
        assert followed.get(path or "*")[:2] == (404, b""), path
    local = f"127.0.0.1:{followed.port}"
    for host in ("evil.example", f"evil.example:{followed.port}", "127.0.0.1", f"{local}.evil", ""):
        assert followed.get("/", Host=host)[:2] == (403, b""), host
    assert followed.get("/", Host=f"localhost:{followed.port}")[0] == 200
    assert followed.get("/", method="HEAD")[:2] == (200, b"")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert followed.get("/", method=method)[0] == 501


def test_ctrl_c_ends_it_and_leaves_the_file(followed: Followed) -> None:
    followed.process.send_signal(signal.SIGINT)
    assert followed.process.wait(60) == 0
    said = followed.out.read_text()
    assert "no longer followed; it goes on" in said
    assert "Traceback" not in said
    text = (followed.sweep / REPORT).read_text()
    assert text.rstrip().endswith("</html>")
    assert "connect-src" not in text  # a file asks nobody


def test_it_ends_with_its_sweep_and_makes_a_page_only_where_a_file_has_changed(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "EVERY", 0.01)
    monkeypatch.setattr(follow, "LINGER", 0.0)
    made: list[bool] = []
    looks = 0

    def make(more: bool) -> Shown:
        made.append(more)
        return Shown(b"", b"", '"1"')

    def under_way() -> bool:
        nonlocal looks
        looks += 1
        if looks == 4:
            make_run(sweep / "trials/0004", number=4)
        return looks < 9

    follow.follow(sweep, make, under_way)
    assert made == [True, True, False]


def test_two_servers_have_a_port_each() -> None:
    one, two = Server(Shown(b"", b"", "")), Server(Shown(b"", b"", ""))
    assert one.address != two.address
    assert {one.server_address[0], two.server_address[0]} == {"127.0.0.1"}
    one.server_close()
    two.server_close()


@pytest.mark.parametrize(("words", "status"), [(["a"], 0), (["a", "b"], 2)])
def test_what_has_ended_is_written_and_several_are_refused(
    tmp_path: Path, words: list[str], status: int
) -> None:
    for name in words:
        make_sweep(tmp_path / "outputs/sweeps" / name)
    command = [sys.executable, "-m", "caviar.cli", "report", *words, "--follow"]
    done = copies.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == status, done.stderr
    if status:
        assert done.stderr == "error: --follow: takes one sweep, and there are 2\n"
    else:
        assert "a has ended: there is nothing to follow" in done.stderr
        assert (tmp_path / "outputs/sweeps/a" / REPORT).exists()
