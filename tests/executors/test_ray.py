"""A Ray of two machines: the second has a network of its own, no shared disk, and loses its power."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.apps import App, make_app
from tests.executors import clusters
from tests.sweep.test_faults import GATED
from tests.waiting import until

HERE, THERE = "10.99.7.1", "10.99.7.2"
RAY = ("hydra/sweeper/executor=ray", "hydra.sweeper.executor.workers=2")


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True)


@pytest.fixture
def networks() -> Iterator[tuple[str, str]]:
    """Two networks with a cable between them; their names."""
    if os.geteuid() or not shutil.which("ip") or not shutil.which("unshare"):
        pytest.skip("needs root, ip and unshare, for machines on a machine")
    a, b = f"caviar-a{os.getpid()}", f"caviar-b{os.getpid()}"
    with ExitStack() as stack:
        for name in (a, b):
            ip(f"netns add {name}")
            stack.callback(ip, f"netns del {name}")
            ip(f"-n {name} link set lo up")
        ip(f"link add cva netns {a} type veth peer name cvb netns {b}")
        for name, end, address in ((a, "cva", HERE), (b, "cvb", THERE)):
            ip(f"-n {name} address add {address}/24 dev {end}")
            ip(f"-n {name} link set {end} up")
        yield a, b


def test_a_machine_that_loses_its_power_in_mid_sweep_costs_its_trials_work_alone(
    tmp_path: Path, networks: tuple[str, str]
):
    pytest.importorskip("ray")
    a, b = networks
    code = GATED.replace('Path("', f'Path("{tmp_path}/app/').replace(
        'open("done.txt"', f'open("{tmp_path}/app/done.txt"'
    )
    app = make_app(tmp_path / "app", code)
    (app.folder / "talk").touch()
    out = app.folder / "out"
    out.mkdir()
    hidden = f"mkdir -p /tmp/ray; mount -t tmpfs tmpfs /tmp/ray; mount -t tmpfs tmpfs {out}; "
    head, address = clusters.ray_node(tmp_path / "head.txt", HERE, ("ip", "netns", "exec", a))
    own = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc")
    shell = ("sh", "-c", f'{hidden}hostname there; exec "$@"', "sh")
    second = ("ip", "netns", "exec", b, *own, *shell)
    node, _ = clusters.ray_node(tmp_path / "node.txt", THERE, second, address)
    try:
        words = [sys.executable, "app.py", "-m", *RAY, "hydra.sweep.dir=out/sweep"]
        with (app.folder / "out.txt").open("w") as file:
            process = subprocess.Popen(
                ["ip", "netns", "exec", a, *words, "hydra.sweeper.n_trials=5"],
                cwd=app.folder,
                env={**os.environ, **clusters.RAY_ENV, "RAY_ADDRESS": address},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        trials = out / "sweep" / "trials"

        def under_way() -> int:
            assert process.poll() is None, app.out
            return len(list(trials.glob("*/pid")))

        until(lambda: under_way() == 2, "a trial is under way on each", 240)
        assert "agent there has joined: 1 worker; no shared disk" in app.out
        assert "1 worker\n" in app.out  # the other one has the disk
        ip(f"-n {b} link set cvb down")
        node.kill()
        until(lambda: "AgentLost: the agent there" in app.out, "it is missed")
        (app.folder / "go").touch()
        assert process.wait(120) == 0, app.out
    finally:
        node.kill()
        node.wait()
        head.send_signal(signal.SIGTERM)
        head.wait(60)
    results = [result["state"] for result in App(out).results()]
    assert results == ["COMPLETE"] * 5
    done = (app.folder / "done.txt").read_text().split()
    assert len(done) == len(set(done)) == 5
    for folder in trials.iterdir():
        files = {file.name for file in folder.iterdir()}
        assert {"config.yaml", "overrides.yaml", "result.json", "log.txt"} <= files
        assert not [name for name in files if name.endswith(".partial")]


def test_a_ray_that_ends_the_process_that_connects_is_told_in_one_line(tmp_path: Path):
    app = make_app(tmp_path / "app")
    # As Ray's own code does where a node's daemon has died: no exception is raised.
    (app.folder / "ray.py").write_text(
        "import os, sys\n"
        "is_initialized, shutdown = (lambda: False), (lambda: None)\n"
        "def init(**settings):\n"
        "    print('[now E 1 1] core.cc:1: its raylet is dead', file=sys.stderr, flush=True)\n"
        "    os._exit(1)\n"
    )
    done = app.sweep(*RAY, env={"PYTHONPATH": str(app.folder)})
    assert (done.status, done.err.count("\n")) == (2, 1), done.out + done.err
    assert "error: executor.address=auto: core.cc:1: its raylet is dead; ray start" in done.err
    assert not (app.folder / "sweep").exists()
