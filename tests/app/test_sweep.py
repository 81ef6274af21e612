"""A sweep from its start to its end, and what goes on beside it."""

from pathlib import Path

from tests.apps import CONFIG, make_app

WAITS = """
import hydra
from pathlib import Path
from time import monotonic, sleep

def judges():
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode().split(chr(0))
        except OSError:  # it has ended
            continue
        if "--when-told" in words and str(Path("sweep").absolute()) in words:
            return True
    return False

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    if config.hydra_job < 3:
        return 0.0
    deadline = monotonic() + 30
    while not judges() and monotonic() < deadline:
        sleep(0.02)
    return float(judges())

if __name__ == "__main__":
    main()
"""


def test_what_judges_a_sweep_is_loaded_while_its_last_trial_trains(tmp_path: Path) -> None:
    config = CONFIG.replace("x: 0.0\n", "x: 0.0\nhydra_job: ${hydra:job.num}\n")
    app = make_app(tmp_path / "app", WAITS, config)
    app.new = True
    done = app.sweep("hydra/sweeper/executor=inline", "hydra.sweeper.report=true")
    assert done.status == 0, done.err
    assert [one["value"] for one in app.results()] == [0, 0, 0, 1]
    assert (app.folder / "sweep/report.html").is_file()
