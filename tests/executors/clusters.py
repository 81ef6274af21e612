"""A Slurm and a Ray of a test's own, on this machine."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.sockets import free_ports
from tests.waiting import until

NEEDED = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


class Slurm:
    """slurmctld and some slurmd on 127.0.0.1, without munge; a node has four processors and two GPUs.

    The GPUs are plain files. Jobs of the partition ``high`` preempt those of ``main``.
    """

    def __init__(self, folder: Path, nodes: int = 2) -> None:
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.env = {**os.environ, "SLURM_CONF": str(self.conf), "PATH": PATH}
        for name in ("state", "log"):
            (folder / name).mkdir(parents=True)
        self.nodes = [f"n{n + 1}" for n in range(nodes)]
        port, *ports = free_ports(1 + nodes)
        lines = [
            *("ClusterName=test", "SlurmctldHost=localhost(127.0.0.1)", "SlurmUser=root"),
            *("SlurmdUser=root", f"SlurmctldPort={port}", "AuthType=auth/none"),
            *("CredType=cred/none", "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny"),
            *(f"StateSaveLocation={folder}/state", f"SlurmdSpoolDir={folder}/spool/%n"),
            *(f"SlurmctldPidFile={folder}/ctld.pid", f"SlurmdPidFile={folder}/%n.pid"),
            *(f"SlurmctldLogFile={folder}/log/ctld", f"SlurmdLogFile={folder}/log/%n"),
            *("ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none"),
            *("SwitchType=switch/none", "MpiDefault=none", "ReturnToService=2"),
            *("SchedulerType=sched/backfill", "SelectType=select/cons_tres"),
            "SchedulerParameters=sched_min_interval=100000,bf_interval=1,batch_sched_delay=0",
            *("SelectTypeParameters=CR_CPU", "PreemptType=preempt/partition_prio"),
            *("PreemptMode=REQUEUE", "KillWait=5", "InactiveLimit=0", "MinJobAge=300"),
            *("SlurmdTimeout=10", "SlurmctldTimeout=10", "MessageTimeout=10", "GresTypes=gpu"),
            *("JobRequeue=1", "SlurmdParameters=config_overrides"),
        ]
        files = []
        for node, its in zip(self.nodes, ports, strict=True):
            (folder / "spool" / node).mkdir(parents=True)
            gpus = [folder / f"gpu-{node}-{gpu}" for gpu in range(2)]
            for gpu in gpus:
                gpu.touch()
            where = f"NodeHostname=localhost NodeAddr=127.0.0.1 Port={its}"
            lines.append(f"NodeName={node} {where} CPUs=4 RealMemory=4000 Gres=gpu:2")
            files.append(
                f"NodeName={node} Name=gpu Flags=nvidia_gpu_env File={gpus[0].parent}/gpu-{node}-[0-1]"
            )
        partition = "Nodes=ALL MaxTime=INFINITE State=UP"
        lines.append(f"PartitionName=main {partition} Default=YES PriorityTier=1 GraceTime=3")
        lines.append(f"PartitionName=high {partition} PriorityTier=10 PreemptMode=OFF")
        self.conf.write_text("\n".join(lines) + "\n")
        (folder / "gres.conf").write_text("\n".join(files) + "\n")
        self._processes = [self._start("slurmctld", "ctld")]
        self._daemons = {node: self._start("slurmd", node, "-N", node) for node in self.nodes}
        until(
            lambda: self.run("sinfo", "-h", "-o", "%t %D").strip() == f"idle {nodes}",
            "nodes are up",
        )

    def _start(self, program: str, name: str, *words: str) -> subprocess.Popen:
        with (self.folder / "log" / f"{name}.out").open("w") as out:
            return subprocess.Popen(
                [shutil.which(program, path=PATH), "-f", self.conf, *words, "-D"],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.env,
            )

    def run(self, *words: str) -> str:
        """What one of Slurm's commands prints."""
        done = subprocess.run(words, env=self.env, capture_output=True, text=True, timeout=60)
        return done.stdout

    def jobs(self, state: str = "RUNNING") -> list[str]:
        """The jobs in a state; all that have not ended, without one."""
        only = ("-t", state) if state else ()
        return self.run("squeue", "-h", "-r", *only, "-o", "%i").split()

    def kill_node(self, node: str) -> None:
        """All that runs there ends at once, and Slurm is told nothing."""
        self._daemons[node].kill()
        self._daemons[node].wait()
        its = f"SLURMD_NODENAME={node}".encode()
        for process in Path("/proc").iterdir():
            with suppress(OSError):
                if its not in (process / "environ").read_bytes().split(b"\0"):
                    continue
                if os.fsencode(self.conf) in (process / "environ").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)

    def start_node(self, node: str) -> None:
        self._daemons[node] = self._start("slurmd", node, "-N", node)

    def close(self) -> None:
        self.run("scancel", "--user=root")
        until(lambda: not self.run("squeue", "-h").strip(), "all jobs end")
        for process in [*self._daemons.values(), *self._processes]:
            process.send_signal(signal.SIGTERM)
        for process in [*self._daemons.values(), *self._processes]:
            process.wait(30)


@contextmanager
def slurm(folder: Path, nodes: int = 2) -> Iterator[Slurm]:
    """A Slurm that is up, whose commands are found; skips the test where that cannot be."""
    missing = [name for name in NEEDED if shutil.which(name, path=PATH) is None]
    if missing or os.geteuid():
        pytest.skip(f"needs root and Slurm: no {', '.join(missing) or 'root'}")
    made = Slurm(folder, nodes)
    before = dict(os.environ)
    os.environ.update(made.env)
    try:
        yield made
    finally:
        made.close()
        os.environ.clear()
        os.environ.update(before)


RAY_ENV = {"RAY_AUTH_MODE": "disabled", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def ray_node(
    log: Path, ip: str, before: tuple[str, ...] = (), head: str = "", cpus: int = 1
) -> tuple[subprocess.Popen[bytes], str]:
    """Start a node of Ray, and wait until it is up: its process, and the head's address."""
    if " " in sys.executable:
        pytest.skip("Ray starts a part of itself by a shell, which a space in its path misleads")
    port, clients = free_ports(2)
    words = [*before, sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
    words += [f"--node-ip-address={ip}", f"--num-cpus={cpus}"]
    words += (
        [f"--address={head}"]
        if head
        else [
            *("--head", f"--port={port}", "--include-dashboard=0"),
            f"--ray-client-server-port={clients}",  # its own is one for all on a machine
        ]
    )
    with log.open("w") as out:
        process = subprocess.Popen(
            words,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **RAY_ENV},
        )

    def up() -> bool:
        assert process.poll() is None, log.read_text()
        return "Ray runtime started" in log.read_text()

    until(up, f"Ray is up on {ip}", 180)
    return process, head or f"{ip}:{port}"


@contextmanager
def ray(folder: Path, cpus: int = 4) -> Iterator[str]:
    """A Ray of one node, which ``auto`` finds; skips the test where Ray is not installed."""
    pytest.importorskip("ray")
    process, address = ray_node(folder / "out.txt", "127.0.0.1", cpus=cpus)
    before = dict(os.environ)
    os.environ.update(RAY_ENV, RAY_ADDRESS=address)
    try:
        yield address
    finally:
        os.environ.clear()
        os.environ.update(before)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
