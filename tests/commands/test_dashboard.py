"""``caviar dashboard``: real servers, on 127.0.0.1 alone, that end with the command."""

import json
import os
import re
import signal
import socket
import subprocess
import urllib.request

import pytest

from tests.apps import make_app
from tests.commands.test_process import CAVIAR
from tests.waiting import gone, until


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs /proc")
def test_both_servers_show_the_sweep_here_alone_and_end_on_ctrl_c(tmp_path):
    app = make_app(tmp_path / "app")
    assert app.sweep("hydra.sweep.dir=outputs/sweeps/first", "hydra.sweeper.n_trials=3").status == 0
    out = tmp_path / "out"
    with out.open("wb") as file:
        process = subprocess.Popen(
            [CAVIAR, "dashboard", "first"], cwd=app.folder, stdout=file, stderr=subprocess.PIPE
        )
    assert process.stderr is not None
    servers = []
    try:
        until(
            lambda: out.read_text().count("\n") == 2 or process.poll() is not None, "both servers"
        )
        addresses = dict(re.findall(r"(\S+): (http://127\.0\.0\.1:\d+/)\n", out.read_text()))
        assert set(addresses) == {"optuna-dashboard", "TensorBoard"}
        servers = children(process.pid)
        assert len(servers) == 2
        with urllib.request.urlopen(addresses["optuna-dashboard"] + "api/studies") as answer:
            (study,) = json.load(answer)["study_summaries"]
        assert study["study_name"] == "first"
        port = int(addresses["TensorBoard"].rpartition(":")[2].strip("/"))
        with socket.socket() as elsewhere, pytest.raises(OSError, match="refused"):
            elsewhere.connect(("127.0.0.2", port))
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        for server in servers:
            until(lambda pid=server: gone(pid), "a server ends with the command")
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def test_what_is_missing_or_taken_is_told(caviar, wide):
    done = caviar("dashboard", "wide")
    assert done.status == 2
    assert "it has no study study.journal" in done.err
    (wide / "study.journal").write_text("")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = caviar("dashboard", "wide", "--port", taken.getsockname()[1])
    assert done.status == 2
    assert "taken on 127.0.0.1" in done.err
    text = (wide / "sweep.yaml").read_text()
    (wide / "sweep.yaml").write_text(text.replace("study.journal", "postgresql://me:***@db/optuna"))
    done = caviar("dashboard", "wide")
    assert done.status == 2
    assert "give the URL with --storage" in done.err
