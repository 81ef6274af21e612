"""The fused engine serves jobs as solo does: the same folders, events and faults."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from caviar.base import hydra_versions
from caviar.base.messages import (
    Base,
    Event,
    Failed,
    Finished,
    Job,
    Pruned,
    Ready,
    Reported,
    Started,
)
from caviar.engines.hydra_job import HydraJobs
from caviar.engines.lanes.configs import PlainConfigs
from caviar.engines.lanes.engine import Fused
from caviar.engines.lanes.stack import Stack
from caviar.engines.solo import Solo
from caviar.runs.cost import wall_seconds
from project.classifier import Classifier
from project.recipe import recipe
from project.train import CONFIGS, main
from tests.engines.lanes import TINY, around_steps


class Memory:
    """An inbox whose jobs are all there from the start, and what was sent."""

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = list(jobs)
        self.sent: list[Event] = []
        self.interrupted = False
        self.when: Callable[[Event], Any] = lambda event: None
        self.unwanted: set[int] = set()
        self.stops: dict[int, str] = {}

    @property
    def closed(self) -> bool:
        return not self.jobs

    def take(self, timeout: float | None) -> Job | None:
        return self.jobs.pop(0) if self.jobs else None

    def pruned(self, number: int) -> bool:
        return number in self.unwanted

    def stopped(self, number: int) -> str | None:
        return self.stops.get(number)

    def send(self, *events: Event) -> None:
        for event in events:
            self.sent.append(event)
            self.when(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.sent if isinstance(event, kind)]

    def ends(self) -> dict[int, Event]:
        ends = self.of(Finished) + self.of(Pruned) + self.of(Failed)
        assert len({end.number for end in ends}) == len(ends), "a trial ended twice"
        return {end.number: end for end in ends}


Jobs = Callable[..., list[Job]]


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    """Makes jobs over one base config: a dict of values each."""

    def made(
        values: list[dict[str, Any]], *overrides: str, to: str = "trials", **more: Any
    ) -> list[Job]:
        with initialize_config_dir(str(CONFIGS), **hydra_versions.BASE):
            config = compose("train", ["name=it", *TINY, *overrides], return_hydra_config=True)
        with_folder(config, tmp_path)
        base = pickle.dumps(config)
        return [
            Job(
                number=number,
                base=Base(0, base if number == 0 else None),
                values=one,
                overrides=[f"{key}={value}" for key, value in one.items()],
                params=one,
                folder=str(tmp_path / to / f"{number:04}"),
                metric="val/acc",
                **more,
            )
            for number, one in enumerate(values)
        ]

    return made


def with_folder(config: DictConfig, folder: Path) -> None:
    OmegaConf.set_readonly(config.hydra, False)
    config.hydra.runtime.output_dir = str(folder)
    config.hydra.job.num, config.hydra.job.id = 0, "0"


def serve(jobs: list[Job], engine: Any = None, **options: Any) -> Memory:
    inbox = Memory(jobs)
    (engine or fused(**options)).serve(inbox, inbox.send)
    return inbox


def fused(**options: Any) -> Fused:
    return Fused(main, recipe, **{"lanes": 4, "keep": None, **options})


def rates(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"optimizer.lr": 0.002 * (1 + n), **more} for n in range(count)]


def result(folder: str | Path) -> dict[str, Any]:
    return json.loads((Path(folder) / "result.json").read_text())


def test_a_run_folder_is_that_of_solo(jobs: Jobs) -> None:
    mine, its = jobs(rates(3)), jobs(rates(3), to="solo")
    serve(mine)
    serve(its, Solo(main))
    for one, other in zip(mine, its, strict=True):
        files = [
            {str(path.relative_to(job.folder)) for path in Path(job.folder).rglob("*")}
            for job in (one, other)
        ]
        assert files[0] == files[1] - {"checkpoints/last.ckpt"}
        for name in ("config.yaml", "overrides.yaml", "preprocessing.json"):
            assert (Path(one.folder) / name).read_text() == (Path(other.folder) / name).read_text()
        results = [result(job.folder) for job in (one, other)]
        assert list(results[0]) == list(results[1])
        for key in set(results[0]) - {"seconds", "started", "facts"}:
            assert results[0][key] == results[1][key], key
        assert [found["facts"].pop("engine") for found in results] == ["fused", "solo"]
        assert results[0]["facts"].pop("worker_seconds") <= results[0]["seconds"]
        metrics = [found["facts"].pop("metrics") for found in results]
        assert list(metrics[0]) == list(metrics[1])
        assert metrics[0] == pytest.approx(metrics[1], rel=1e-4)
        assert results[0]["facts"] == results[1]["facts"]


@pytest.mark.parametrize("more", [{}, {"data.folds": 2}])
def test_trials_on_lanes_share_the_seconds_of_their_worker(jobs: Jobs, more: Any) -> None:
    many = jobs(rates(8, **more))
    serve(many, lanes=8)
    results = [result(job.folder) for job in many]
    shares = [found["facts"]["worker_seconds"] for found in results]
    assert all(0 < share < found["seconds"] for share, found in zip(shares, results, strict=True))
    # They were under way at once: what they waited, summed, is more than there was.
    took = wall_seconds((found["started"], found["seconds"]) for found in results)
    assert sum(shares) < took + 0.01 < sum(found["seconds"] for found in results)


def test_a_checkpoint_predicts_what_the_lane_did(jobs: Jobs) -> None:
    (one, other) = jobs([{"seed": 3}]), jobs([{"seed": 3}], to="solo")
    serve(one)
    serve(other, Solo(main))
    x = torch.randn(20, 4)
    logits = []
    for job in (*one, *other):
        path = Path(job.folder) / "checkpoints/best.ckpt"
        module = Classifier.load_from_checkpoint(path, weights_only=True).eval()
        logits.append(module(x))
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-3, atol=1e-4)


def test_every_job_starts_reports_each_epoch_and_ends_once_on_lanes_refilled(jobs: Jobs) -> None:
    values = [{**one, "trainer.max_epochs": 1 + n % 4} for n, one in enumerate(rates(23))]
    engine = fused()
    inbox = serve(jobs(values), engine)
    assert sorted(inbox.ends()) == list(range(23))
    assert all(isinstance(end, Finished) for end in inbox.ends().values())
    assert sorted(event.number for event in inbox.of(Started)) == list(range(23))
    for number, one in enumerate(values):
        steps = [report.step for report in inbox.of(Reported) if report.number == number]
        assert steps == list(range(one["trainer.max_epochs"]))
    # The very last trials leave some lanes free for a few ticks, before the stack shrinks.
    assert engine.occupancy.busy / engine.occupancy.lanes >= 0.9


def test_other_architectures_make_stacks_of_their_own(jobs: Jobs) -> None:
    values = [
        {"model.depth": n % 3, "model.activation": ["relu", "tanh"][n % 2]} for n in range(12)
    ]
    inbox = serve(jobs(values))
    assert sorted(inbox.ends()) == list(range(12))
    assert all(isinstance(end, Finished) for end in inbox.ends().values())
    assert inbox.of(Ready)[-1].lanes > 4


def test_widths_share_a_stack_and_keep_their_own_shapes(jobs: Jobs) -> None:
    mine = jobs([{"model.width": 9 + n} for n in range(8)])
    engine = fused()
    serve(mine, engine)
    for n, job in enumerate(mine):
        state = torch.load(Path(job.folder) / "checkpoints/best.ckpt", weights_only=True)[
            "state_dict"
        ]
        assert state["network.layers.1.weight"].shape == (9 + n, 4)
    assert len(engine._kinds) == 1


def test_what_lanes_cannot_do_is_done_by_solo_and_said_once(
    jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    mine = jobs(rates(2), "+trainer.min_epochs=2")
    inbox = serve(mine)
    assert all(isinstance(end, Finished) for end in inbox.ends().values())
    assert len(inbox.ends()) == 2
    said = [record.message for record in caplog.records if "not on lanes" in record.message]
    assert said == ["not on lanes, each by its own Trainer: trainer.min_epochs=2"]
    assert (Path(mine[1].folder) / "checkpoints/last.ckpt").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, which lanes would use")
def test_a_trial_that_asks_for_a_gpu_is_not_trained_without_one(jobs: Jobs) -> None:
    inbox = serve(jobs(rates(1), "trainer.accelerator=gpu"))
    (end,) = inbox.ends().values()
    assert isinstance(end, Failed)
    assert end.error == "UsageError: trainer: No supported gpu backend found!"


def test_a_pruned_trial_ends_at_its_next_tick_with_the_last_value(jobs: Jobs) -> None:
    mine = jobs(rates(3, **{"trainer.max_epochs": 6}))
    inbox = Memory(mine)

    def prune(event: Event) -> None:
        if isinstance(event, Reported) and (event.number, event.step) == (1, 1):
            inbox.unwanted.add(1)

    inbox.when = prune
    fused().serve(inbox, inbox.send)
    ends = inbox.ends()
    assert isinstance(ends[1], Pruned)
    reports = [report for report in inbox.of(Reported) if report.number == 1]
    assert [report.step for report in reports] == [0, 1]
    assert ends[1].value == reports[-1].value == result(mine[1].folder)["value"]
    assert result(mine[1].folder)["state"] == "PRUNED"
    assert isinstance(ends[0], Finished)


def test_a_trial_that_is_stopped_fails_alone_on_a_lane_or_before_it_has_one(jobs: Jobs) -> None:
    mine = jobs(rates(9, **{"trainer.max_epochs": 6}))
    inbox = Memory(mine)

    def stop(event: Event) -> None:
        if isinstance(event, Reported) and (event.number, event.step) == (1, 1):
            inbox.stops = {1: "Timeout: enough", 5: "Timeout: enough of this too"}

    inbox.when = stop
    fused().serve(inbox, inbox.send)
    ends = inbox.ends()
    assert {number for number, end in ends.items() if isinstance(end, Failed)} == {1, 5}
    assert len(ends) == 9
    assert result(mine[1].folder)["error"] == "Timeout: enough"
    assert "Timeout: enough" in (Path(mine[1].folder) / "log.txt").read_text()
    assert [report.step for report in inbox.of(Reported) if report.number == 5] == []
    assert sorted(event.number for event in inbox.of(Started)) == list(range(9))


def test_a_trial_that_diverges_fails_alone_and_its_log_says_how(jobs: Jobs) -> None:
    mine = jobs([{"optimizer.lr": lr} for lr in (0.01, 1e30, 0.02)], "optimizer.weight_decay=1")
    inbox = serve(mine)
    states = [result(job.folder)["state"] for job in mine]
    assert states == ["COMPLETE", "FAIL", "COMPLETE"]
    failed = inbox.ends()[1]
    assert isinstance(failed, Failed)
    assert failed.error.startswith("FloatingPointError: train/loss is nan at epoch 0")
    assert "Traceback" in (Path(mine[1].folder) / "log.txt").read_text()


def test_a_setting_that_cannot_work_fails_its_trial_alone(jobs: Jobs) -> None:
    mine = jobs([{"optimizer.beta1": 0.9}, {"optimizer.beta1": 1.5}, {"model.width": 0}])
    ends = serve(mine).ends()
    assert isinstance(ends[0], Finished)
    for number in (1, 2):
        assert isinstance(ends[number], Failed)
        assert "UsageError" in ends[number].error


def test_a_lane_that_watches_a_metric_that_is_not_there_fails_alone(jobs: Jobs) -> None:
    stopping = {"callbacks.early_stopping.metric": "val/nothing"}
    ends = serve(jobs([{}, stopping, {}], "callbacks=early_stopping")).ends()
    assert [type(ends[number]) for number in range(3)] == [Finished, Failed, Finished]
    assert "val/nothing" in ends[1].error


def test_a_metric_of_many_values_fails_its_trials_and_no_others(jobs: Jobs) -> None:
    per_class = "{_target_: torchmetrics.classification.MulticlassRecall, average: none}"
    bad = jobs(rates(2), f"+metrics.recall={per_class}")
    ends = serve(bad).ends()
    assert {end.error for end in ends.values()} == {
        "UsageError: metrics.recall=torchmetrics.classification.MulticlassRecall: gives 3 values, "
        "not one"
    }


def test_a_folder_that_cannot_be_written_fails_its_trial_alone(jobs: Jobs, tmp_path: Path) -> None:
    mine = jobs(rates(2))
    Path(mine[1].folder).parent.mkdir(parents=True)
    Path(mine[1].folder).write_text("a file is in the way")
    ends = serve(mine).ends()
    assert isinstance(ends[0], Finished)
    assert isinstance(ends[1], Failed)
    assert "NotADirectoryError" in ends[1].error


@pytest.mark.parametrize("compile", [False, None])
def test_out_of_memory_halves_the_lanes_and_loses_no_trial(
    compile: bool | None, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = rates(8, **{"trainer.max_epochs": 3})
    undisturbed = serve(jobs(values, to="undisturbed"), lanes=8, compile=compile).ends()
    calls: list[int] = []

    def hungry(lanes: int, steps: Callable[[], None]) -> None:
        calls.append(lanes)
        steps()
        if lanes > 2 and len(calls) % 2 == 0:
            raise torch.OutOfMemoryError("the device is full")

    around_steps(monkeypatch, hungry)
    engine = fused(lanes=8, compile=compile)
    inbox = serve(jobs(values), engine)
    assert engine._kinds.most == 2
    last = inbox.of(Ready)[-1]
    assert last.lanes - last.spare == 2 < last.lanes < 8
    for number, end in inbox.ends().items():
        assert isinstance(end, Finished)
        assert end.facts["metrics"] == pytest.approx(undisturbed[number].facts["metrics"], rel=1e-5)
    steps = [(report.number, report.step) for report in inbox.of(Reported)]
    assert len(set(steps)) == len(steps) == 24


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), ValueError("no lane")])
def test_an_error_on_the_way_to_a_lane_loses_no_trial(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    admit, calls = Stack.admit, []

    def once(self: Stack, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            raise error
        return admit(self, *arguments)

    monkeypatch.setattr(Stack, "admit", once)
    ends = serve(jobs(rates(6)), lanes=4).ends()
    failed = [number for number, end in ends.items() if isinstance(end, Failed)]
    assert sorted(ends) == list(range(6))
    assert failed == ([] if isinstance(error, torch.OutOfMemoryError) else [2])


def test_what_does_not_fit_on_one_lane_fails(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("the device is full")

    around_steps(monkeypatch, full)
    ends = serve(jobs(rates(3))).ends()
    assert len(ends) == 3
    assert all("OutOfMemoryError" in end.error for end in ends.values())  # type: ignore[union-attr]


@pytest.mark.parametrize("scheduler", ["none", "plateau", "cosine"])
def test_an_interrupted_trial_goes_on_to_the_curve_of_an_undisturbed_one(
    jobs: Jobs, scheduler: str
) -> None:
    overrides = (f"scheduler={scheduler}", "model.dropout=0.2", "scheduler.warmup_epochs=1.5")
    values = rates(3, **{"trainer.max_epochs": 6})
    undisturbed = jobs(values, *overrides, to="undisturbed")
    serve(undisturbed)
    first = jobs(values, *overrides, to="first")
    inbox = Memory(first)

    def interrupt(event: Event) -> None:
        inbox.interrupted |= isinstance(event, Reported) and event.step == 2

    inbox.when = interrupt
    fused().serve(inbox, inbox.send)
    assert {end.error.split(":")[0] for end in inbox.ends().values()} == {"TrialInterrupted"}  # type: ignore[union-attr]
    again = jobs(values, *overrides, to="again")
    for number, job in enumerate(again):
        again[number] = Job(**{**vars(job), "resume_from": f"{first[number].folder}/checkpoints"})
    assert all(isinstance(end, Finished) for end in serve(again).ends().values())
    for mine, its in zip(again, undisturbed, strict=True):
        rows = [(Path(job.folder) / "metrics.csv").read_text() for job in (mine, its)]
        assert rows[0] == rows[1]
        assert result(mine.folder)["best_epoch"] == result(its.folder)["best_epoch"]
        assert not (Path(mine.folder) / "checkpoints/lane.ckpt").exists()


def test_only_the_best_few_keep_their_checkpoint(jobs: Jobs) -> None:
    mine = jobs(
        [{"optimizer.lr": 10 ** -(1 + n % 5), "seed": n} for n in range(10)], "data.noise=2.0"
    )
    ends = serve(mine, keep=2).ends()
    having = {job.number for job in mine if (Path(job.folder) / "checkpoints/best.ckpt").exists()}
    assert having == {n for n in ends if result(mine[n].folder)["checkpoint"]}
    assert len(having) == 2
    scores = {number: end.values[0] for number, end in ends.items()}  # type: ignore[union-attr]
    assert min(scores[n] for n in having) >= max(scores[n] for n in scores if n not in having)


def test_a_config_put_together_is_the_one_that_omegaconf_resolves(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "hunter2")
    overrides = ("+token='${oc.env:A_SECRET}'", "+double='${optimizer.lr}'", "+deep.er=1")
    values = [
        {"model.width": 11}, {"model.width": 12}, {"optimizer.lr": 0.5}, {"optimizer.lr": 0.6},
        {"+new.key": 3, "deep.er": 2}, {"model.hidden": [3, 4]}, {"model.width": 9, "seed": 4},
        {"model.width": 13, "seed": 5}, {"model.width": 14, "seed": 6},
    ]  # fmt: skip
    hydra = HydraJobs()
    configs = PlainConfigs(hydra)
    for job in jobs(values, *overrides):
        hydra.learn(job.base)
        live, text = configs(job)
        written = yaml.safe_load(text)
        assert live["token"] == "hunter2"
        assert written["token"] == "${oc.env:A_SECRET}"
        assert live["double"] == written["double"] == live["optimizer"]["lr"]
        for name, value in job.values.items():
            for config in (live, written):
                found: Any = config
                for part in name.lstrip("+").split("."):
                    found = found[part]
                assert found == value
    assert configs._bases[0].simple == {("model.width",), ("model.width", "seed")}


def test_a_worker_takes_no_more_jobs_at_once_than_its_share(jobs: Jobs) -> None:
    mine = jobs([{"model.depth": n % 3} for n in range(9)])
    inbox = serve(mine, share=5)
    assert max(event.lanes for event in inbox.of(Ready)) == 5
    assert max(event.lanes - event.spare for event in inbox.of(Ready)) == 5
    assert len(inbox.ends()) == 9
