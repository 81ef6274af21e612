"""A report that renews itself: served to browsers on this machine while the sweep is under way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from caviar.base.plain import echo
from caviar.runs import folder as names
from caviar.runs.places import SWEEP_FILE

EVERY = 1.0
"""Seconds between two looks at the sweep's files."""
SHARE = 5
"""So many times as long as a page took to make is the next one waited for: workers want the processor."""
LINGER = 6.0
"""Seconds for which the last page is still served: an open one asks each two."""

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class Shown:
    """What is served: the page, what an open page takes to renew itself, and a mark of both."""

    page: bytes
    parts: bytes
    mark: str


class Server(ThreadingHTTPServer):
    """Serves the page at ``/`` and its parts at ``/parts`` to this machine, and nothing else.

    A request that names another host is refused: a page from elsewhere that had its own name lead here (DNS
    rebinding) could read the report else.
    """

    daemon_threads = True

    def __init__(self, shown: Shown) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.shown = shown

    @property
    def hosts(self) -> list[str]:
        """What this server is called by whom it is meant for."""
        return [f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost")]

    @property
    def address(self) -> str:
        return f"http://{self.hosts[0]}/"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "caviar", ""
    timeout = 30

    def do_GET(self) -> None:
        shown = self.server.shown
        if self.headers.get_all("Host") not in [[host] for host in self.server.hosts]:
            self._answer(HTTPStatus.FORBIDDEN)
        elif self.path == "/":
            self._answer(HTTPStatus.OK, shown.page, "text/html; charset=utf-8")
        elif self.path != "/parts":
            self._answer(HTTPStatus.NOT_FOUND)
        elif self.headers.get("If-None-Match") == shown.mark:
            self._answer(HTTPStatus.NOT_MODIFIED)
        else:
            self._answer(HTTPStatus.OK, shown.parts, "application/json", shown.mark)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(
        self, status: HTTPStatus, body: bytes = b"", kind: str = "text/plain", mark: str = ""
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **_HEADERS}.items():
            self.send_header(name, value)
        if mark:
            self.send_header("ETag", mark)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not told: there is one each two seconds."""


def follow(folder: Path, make: Callable[[bool], Shown], under_way: Callable[[], bool]) -> None:
    """Serve the report on what is in ``folder`` until its training has ended, or Ctrl-C.

    It is made anew when a file of it has changed, and once more at the end.

    Args:
        make: makes it, of the folder as it is now; told whether more will come.
        under_way: whether more will come.
    """
    seen = _stamp(folder)
    server = Server(make(True))
    Thread(target=server.serve_forever, daemon=True).start()
    echo(f"following {folder.name}: {server.address} (Ctrl-C ends)")
    try:
        took = EVERY
        while under_way():
            time.sleep(max(EVERY, SHARE * took))
            now = _stamp(folder)
            if now != seen:
                seen, began = now, time.monotonic()
                server.shown = make(True)
                took = time.monotonic() - began
        server.shown = make(False)
        echo("it has ended")
        time.sleep(LINGER)
    except KeyboardInterrupt:
        echo("no longer followed; it goes on")
    finally:
        server.shutdown()
        server.server_close()


def _stamp(folder: Path) -> int:
    """A mark of the files that a report is made of: another one, when one of them was written."""
    files = [folder / SWEEP_FILE, folder / names.CONFIRMED]
    for run in (folder, *folder.glob(f"{names.TRIALS}/*")):
        files += [run / names.RESULT, run / names.METRICS, *run.glob(f"fold-*/{names.METRICS}")]
    marks = []
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            continue
        marks.append((str(file), stat.st_mtime_ns, stat.st_size))
    return hash(tuple(marks))
