"""A task whose config says what it does: what the contract suites run."""

import atexit
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import caviar


def main(config) -> float:
    """Do ``config.what``; the score is ``config.x``."""
    print("output of the trial")
    if config.what == "fail":
        raise KeyError("no such thing")
    if config.what == "exit":
        sys.exit(3)
    if config.what == "leave work for the exit":
        folder = caviar.run_dir()
        assert folder is not None
        atexit.register((folder / "at exit").touch)
        main_thread = threading.main_thread()
        threading.Thread(
            target=lambda: (main_thread.join(), (folder / "in a thread").touch())
        ).start()
    if config.what == "report":
        for step in range(3):
            caviar.report(config.x + step, step)
    if config.what == "report until ended":
        deadline = time.monotonic() + 60
        step = 0
        while time.monotonic() < deadline:
            caviar.report(config.x, step)
            step += 1
    if config.what == "hang":
        child = subprocess.Popen(["sleep", "600"])
        pids = Path(caviar.run_dir(), "pids.partial")
        pids.write_text(f"{os.getpid()} {child.pid}")
        pids.rename(pids.with_name("pids"))
        child.wait()
    caviar.record(pid=os.getpid())
    return config.x
