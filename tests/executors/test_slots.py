"""Slots: what each worker process sees of a machine whose GPUs are made up.

No GPU is needed: a stub of the driver's Python module lists devices, and what counts is which of them
the environment of each real worker names, before torch could have been imported.
"""

# ruff: noqa: N802 - NVML has its own names
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from caviar.base.errors import UsageError
from caviar.base.machine import TENANTS
from caviar.executors import gpus, slots
from caviar.executors.gpus import visible_gpus
from caviar.executors.slots import plan, usable_cores
from tests.apps import App, make_app

DRIVER = """
import os

class NVMLError(Exception):
    pass

def nvmlInit():
    if "FAKE_GPUS" not in os.environ:
        raise NVMLError("driver not loaded")

def nvmlDeviceGetCount():
    return int(os.environ["FAKE_GPUS"])

def nvmlDeviceGetHandleByIndex(index):
    return index

def nvmlDeviceGetMigMode(card):
    raise NVMLError("not supported")

def nvmlShutdown():
    pass
"""


class Driver:
    """NVML, of a card with 10 GiB free, one cut into two MIG instances, and a full one."""

    class NVMLError(Exception):
        pass

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken

    def nvmlInit(self) -> None:
        if self.broken:
            raise self.NVMLError("driver not loaded")

    def nvmlShutdown(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return 3

    def nvmlDeviceGetHandleByIndex(self, index: int) -> object:
        return index

    def nvmlDeviceGetMigMode(self, card: object) -> tuple[int, int]:
        if card == 2:
            raise self.NVMLError("not supported")
        return int(card == 1), 0

    def nvmlDeviceGetMaxMigDeviceCount(self, card: object) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: object, number: int) -> object:
        if number not in (0, 4):
            raise self.NVMLError("not found")
        return f"MIG-{number}"

    def nvmlDeviceGetUUID(self, handle: object) -> object:
        return handle

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> object:
        return uuid

    def nvmlDeviceGetMemoryInfo(self, handle: object) -> object:
        free = {0: 10, "MIG-0": 5, "MIG-4": 1, 2: 0.5}[handle]  # type: ignore[index]
        return SimpleNamespace(free=int(free * 2**30))


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    made = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", made)  # type: ignore[arg-type]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return made


# Every trial waits until all workers have one, so that each worker's share is seen.
CODE = """
import hydra, os, sys, time
from pathlib import Path
SEEN = {
    "devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
    "order": os.environ.get("CUDA_DEVICE_ORDER"),
    "threads": os.environ.get("OMP_NUM_THREADS"),
    "torch": "torch" in sys.modules,
    "pid": os.getpid(),
}
import caviar

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    caviar.record(**SEEN)
    (Path("here") / str(os.getpid())).touch()
    end = time.monotonic() + 60
    while len(list(Path("here").iterdir())) < config.workers and time.monotonic() < end:
        time.sleep(0.01)
    return 1.0

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def app(tmp_path: Path) -> App:
    app = make_app(tmp_path / "app", CODE)
    (app.folder / "here").mkdir()
    (app.folder / "driver").mkdir()
    (app.folder / "driver" / "pynvml.py").write_text(DRIVER)
    return app


def seen(app: App, workers: int, *overrides: str, **env: str) -> list[dict]:
    """What each of so many workers saw."""
    done = app.sweep(
        f"+workers={workers}",
        f"hydra.sweeper.n_trials={workers}",
        *(f"hydra.sweeper.executor.{override}" for override in overrides),
        env={"PYTHONPATH": str(app.folder / "driver"), **env},
        timeout=120,
    )
    assert done.status == 0, done.out + done.err
    assert f"on {workers} lanes" in done.out
    facts = [result["facts"] for result in app.results()]
    assert len({fact["pid"] for fact in facts}) == workers
    assert not any(fact["torch"] for fact in facts)
    return facts


def test_each_worker_has_a_gpu_of_its_own(app: App):
    facts = seen(app, 3, FAKE_GPUS="3")
    assert sorted(fact["devices"] for fact in facts) == ["0", "1", "2"]
    assert {fact["order"] for fact in facts} == {"PCI_BUS_ID"}  # as the driver counts


def test_a_gpu_is_shared_by_no_more_workers_than_its_shares(app: App):
    facts = seen(app, 4, "gpus_per_trial=0.5", FAKE_GPUS="2")
    assert Counter(fact["devices"] for fact in facts) == {"0": 2, "1": 2}


def test_a_trial_may_hold_several_gpus(app: App):
    facts = seen(app, 2, "gpus_per_trial=2", FAKE_GPUS="5")
    assert sorted(fact["devices"] for fact in facts) == ["0,1", "2,3"]


def test_what_the_environment_hides_stays_hidden(app: App):
    facts = seen(app, 2, CUDA_VISIBLE_DEVICES="5,GPU-8932f937", FAKE_GPUS="8")
    assert sorted(fact["devices"] for fact in facts) == ["5", "GPU-8932f937"]
    assert {fact["order"] for fact in facts} == {
        None
    }  # 5 is the card that it is to whoever listed it


def test_without_a_driver_workers_share_the_cores_and_see_no_gpu(app: App):
    facts = seen(app, 2, "workers=2", "fork=false")  # copies: tests/executors/test_fork.py
    assert {fact["devices"] for fact in facts} == {""}
    assert {fact["threads"] for fact in facts} == {str(max(usable_cores() // 2, 1))}


def test_a_worker_with_a_gpu_is_never_a_copy(app: App):
    driver = {"PYTHONPATH": str(app.folder / "driver"), "FAKE_GPUS": "2"}
    done = app.sweep("+workers=2", "hydra.sweeper.executor.fork=true", env=driver)
    assert done.status == 2
    assert done.err.startswith("error: executor.fork=True: a worker must know its GPUs before")
    assert not (app.folder / "sweep").exists()


def test_gpus_can_be_left_alone_and_threads_be_said(app: App):
    facts = seen(app, 2, "gpus_per_trial=0", "workers=2", "threads=1", FAKE_GPUS="4")
    assert {(fact["devices"], fact["threads"]) for fact in facts} == {("", "1")}


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        ("0,1", ["0", "1"]),
        (" 2 , 0 ", ["2", "0"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),
        ("1,1,0", ["1", "0"]),
        ("GPU-8932f937-d72c,MIG-GPU-8932/1/0", ["GPU-8932f937-d72c", "MIG-GPU-8932/1/0"]),
    ],
)
def test_the_list_of_visible_devices_is_read_as_cuda_reads_it(monkeypatch, listed, names):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert visible_gpus() == names


def test_a_card_cut_into_instances_is_its_instances(driver: Driver):
    assert visible_gpus() == ["0", "MIG-0", "MIG-4", "2"]
    slots = [slot.env["CUDA_VISIBLE_DEVICES"] for slot in plan(None)]
    assert slots == ["0", "MIG-0", "MIG-4", "2"]
    with pytest.raises(UsageError, match="gpus_per_trial=2: a process can have one MIG instance"):
        plan(None, 2)
    driver.broken = True
    assert visible_gpus() == []


def test_a_gpu_that_others_fill_is_left_out_and_that_is_told(driver: Driver, caplog):
    assert [slot.label for slot in plan(None, 1, gpu_memory=4)] == ["gpu:0", "gpu:MIG-0"]
    told = "GPUs left out, executor.gpu_memory=4: MIG-4 (1.0 GiB free), 2 (0.5 GiB free)"
    assert caplog.messages == [told]
    with pytest.raises(
        UsageError, match=r"gpu_memory=20: no GPU has so much free: 0 \(10.0 GiB free\)"
    ):
        plan(None, 1, gpu_memory=20)
    for wrong in (0, -1, "much", True, float("nan")):
        with pytest.raises(
            UsageError, match=r"executor\.gpu_memory=.*: must be GiB, a number above 0"
        ):
            plan(None, 1, gpu_memory=wrong)  # type: ignore[arg-type]
    driver.broken = True
    with pytest.raises(UsageError, match="the driver does not say what is free: driver not loaded"):
        gpus.with_room(["0"], 1)


def test_a_driver_that_does_not_answer_is_told_in_a_line(driver: Driver, monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr(driver, "nvmlInit", answered.wait)
    monkeypatch.setattr(gpus, "_PATIENCE", 0.01)
    told = (
        "NVIDIA's driver has not answered for 0.01 s (does nvidia-smi?); "
        "executor.gpus_per_trial=0 leaves it alone"
    )
    for asked in (lambda: plan(None), lambda: gpus.with_room(["0"], 1)):
        with pytest.raises(UsageError) as error:
            asked()
        assert str(error.value) == told
    assert len(plan(1, 0)) == 1  # nobody asks
    answered.set()


def test_how_a_gpu_is_shared_is_told_once(driver: Driver, monkeypatch, tmp_path: Path, caplog):
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    pid = tmp_path / "nvidia-cuda-mps-control.pid"
    turns = (
        "workers share a GPU in turns, for NVIDIA's MPS daemon is not seen "
        "(`nvidia-cuda-mps-control -d` starts it)"
    )
    together = "workers share a GPU by NVIDIA's MPS daemon: side by side"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with caplog.at_level("INFO"):
        for text, line in (("", turns), (str(ended.pid), turns), (str(os.getpid()), together)):
            pid.write_text(text)
            (tmp_path / "control").touch()
            caplog.clear()
            plan(None, 0.5)
            assert caplog.messages == [line]
        caplog.clear()
        plan(None, 1)
    assert caplog.messages == []


def test_a_gpu_that_is_not_nvidias_is_told_and_what_takes_it(monkeypatch, tmp_path: Path, caplog):
    monkeypatch.setattr(slots, "visible_gpus", lambda: [])
    monkeypatch.setattr(gpus, "_KFD", tmp_path / "kfd")
    with caplog.at_level("INFO"):
        plan(1)
        assert caplog.messages == []
        (tmp_path / "kfd").touch()
        plan(1)
        plan(1, 0)
        monkeypatch.setattr(sys, "platform", "darwin")
        monkeypatch.setattr(gpus.platform, "machine", lambda: "arm64")
        plan(1)
    assert caplog.messages == [
        "AMD's GPUs are shared out where they are named (CUDA_VISIBLE_DEVICES=0,1, which HIP reads too); "
        "tried on none yet",
        "Apple's GPU is for a Trainer (engine=solo trainer=mps): lanes compute on the CPU",
    ]


def test_a_worker_knows_how_many_share_its_gpu(driver: Driver):
    assert {slot.env.get(TENANTS) for slot in plan(None, 0.25)} == {"4"}
    assert {slot.env.get(TENANTS) for slot in plan(None, 1)} == {None}


@pytest.mark.parametrize("share", [1, 0.5, 0.25, 1 / 3, 2, 3])
@pytest.mark.parametrize("gpus", range(1, 6))
def test_no_gpu_is_ever_shared_beyond_its_declared_share(monkeypatch, gpus, share):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus))))
    if share > gpus:
        with pytest.raises(UsageError, match=f"there are only {gpus} GPUs"):
            plan(None, share)
        return
    slots = plan(None, share)
    held = Counter(d for s in slots for d in s.env["CUDA_VISIBLE_DEVICES"].split(","))
    assert max(held.values()) <= round(1 / min(share, 1))
    assert {slot.shared for slot in slots} == {share < 1}
    for workers in range(1, len(slots) + 1):
        assert len(plan(workers, share)) == workers
    with pytest.raises(UsageError, match=f"only {len(slots)} fit"):
        plan(len(slots) + 1, share)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["gpus_per_trial=0.3"], "gpus_per_trial=0.3: a fraction must be 1/n"),
        (["gpus_per_trial=1.5"], "gpus_per_trial=1.5: must be 0, 1/n or a whole number"),
        (["gpus_per_trial=-1"], "gpus_per_trial=-1: must be 0, 1/n or a whole number"),
        (["gpus_per_trial=3"], "gpus_per_trial=3: there are only 2 GPUs"),
        (["workers=3"], "workers=3: only 2 fit on 2 GPUs"),
        (["devices=[7]"], "devices=7: no such GPU is visible (one of: 0, 1)"),
        (["threads=0"], "threads=0: must be at least 1"),
        (["+worker=2"], "executor.worker=2: no such setting; did you mean workers?"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_starts(app: App, overrides, words):
    done = app.sweep(
        *(
            f"{'+' * override.startswith('+')}hydra.sweeper.executor.{override.lstrip('+')}"
            for override in overrides
        ),
        env={"CUDA_VISIBLE_DEVICES": "0,1"},
    )
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert words in done.err
    assert not (app.folder / "sweep").exists()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("threads", 1.5, "must be a whole number"),
        ("workers", "two", "must be a whole number"),
        ("workers", True, "must be a whole number"),
        ("gpus_per_trial", "half", "must be 0, 1/n or a whole number"),
        ("gpus_per_trial", float("inf"), "must be 0, 1/n or a whole number"),
        ("gpus_per_trial", float("nan"), "must be 0, 1/n or a whole number"),
        ("gpus_per_trial", 1e-9, "must be at least 1/1000"),
        ("devices", 0, r"must be a list, as in \[0,1\]"),
        ("devices", "0,1", r"must be a list, as in \[0,1\]"),
    ],
)
def test_a_setting_of_another_kind_is_refused(monkeypatch, name, value, words):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(UsageError, match=rf"executor\.{name}={value}: {words}"):
        plan(**{"workers": None, name: value})


def test_a_gpu_that_is_asked_for_and_not_there_is_told(app: App):
    done = app.sweep("hydra.sweeper.executor.gpus_per_trial=1", env={"CUDA_VISIBLE_DEVICES": ""})
    assert done.status == 2
    assert "gpus_per_trial=1: no GPU is visible here" in done.err


@pytest.mark.gpu
def test_two_trials_share_one_real_gpu_and_give_its_memory_back(tmp_path: Path):
    import torch

    code = CODE.replace(
        "return 1.0",
        "import torch; held = torch.ones(2**26, device='cuda'); return float(held[0])",
    )
    app = make_app(tmp_path / "app", code)
    (app.folder / "here").mkdir()
    free, _ = torch.cuda.mem_get_info()
    done = app.sweep(
        "+workers=2", "hydra.sweeper.n_trials=2", "hydra.sweeper.executor.gpus_per_trial=0.5"
    )
    assert done.status == 0, done.out
    facts = [result["facts"] for result in app.results()]
    assert len({fact["pid"] for fact in facts}) == 2
    assert len({fact["devices"] for fact in facts}) == 1
    assert torch.cuda.mem_get_info()[0] >= free - 2**20
    assert os.environ.get("CUDA_VISIBLE_DEVICES") is None or facts[0]["devices"]


def test_every_worker_has_a_label_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    shared = [slot.label for slot in plan(4, gpus_per_trial=0.5)]
    assert sorted(shared) == ["gpu:0#1", "gpu:0#2", "gpu:1#1", "gpu:1#2"]
    assert [slot.label for slot in plan(2, gpus_per_trial=1)] == ["gpu:0", "gpu:1"]
    assert [slot.label for slot in plan(2, gpus_per_trial=0)] == ["cpu:0", "cpu:1"]
