"""A word of a received folder on a command line reaches neither code nor configs elsewhere."""

import pytest

from caviar.runs.screening import is_harmless, to_paste

HARMFUL = [
    "--config-dir=/somewhere", "--config-path=conf2", "-cd", "-cp=x", "--experimental-rerun=x.pickle",
    "allow=[torch.]", "+allow=[evil.]", "++allow.0=evil.", "allow@x=y", "~allow", "allow/x=y",
    "hydra.searchpath=[file:///somewhere]", "hydra.sweeper._target_=os.system", "hydra=evil",
    "+hydra.callbacks.x._target_=os.system", "hydra/job_logging=evil", "hydra/launcher=evil",
    "hydra.job.env_set.LD_PRELOAD=evil.so", "hydra.run.dir=x", "hydra.sweep.dir=x",
    "hydra.sweeper.storage=sqlite:///x", "hydra.sweeper.check=project.x", "hydra.sweeper.params={}",
    "+model._target_=os.system", "x=../evil", "hydra.sweeper={_target_: os.system}",
    "x=${oc.env:HOME}", "x=a\nallow=[torch.]", "x=\x1b[2J", "@package=x", "; rm -rf", "",
    "x={allow:[torch.]}",
]  # fmt: skip
ELSEWHERE = [
    "dir=/home",
    "x=~/y",
    "data.path=https://evil",
    "x=[/etc/passwd]",
    "x={a:/etc}",
    "x='/etc'",
]
HARMLESS = [
    "optimizer.lr=0.1", "+trainer.max_epochs=3", "optimizer=sgd", "hydra/sweeper/sampler=tpe",
    "hydra.sweeper.n_trials=3", "x=choice(a,b)", "x='a b'", "~callbacks.early", "data@train=x",
    "lr=tag(log, interval(1e-5, 1e-1))", "hydra.sweeper.sampler.seed=1", "x=-1.5", "x=a/b",
]  # fmt: skip


@pytest.mark.parametrize("word", HARMFUL)
def test_what_reaches_code_or_configs_is_harmful(word: str):
    assert not is_harmless(word, strict=False)
    assert not is_harmless(word)


@pytest.mark.parametrize("word", ELSEWHERE)
def test_a_path_elsewhere_is_harmful_in_a_strangers_folder(word: str):
    assert not is_harmless(word)
    assert is_harmless(word, strict=False)


@pytest.mark.parametrize("word", HARMLESS)
def test_a_value_is_harmless(word: str):
    assert is_harmless(word)


@pytest.mark.parametrize(
    "program",
    [
        ["-c", "import os"], ["-m", "timeit"], ["-m", "project.x; rm"], ["/tmp/evil.py"], ["x/evil.py"],
        ["../evil.py"], ["-X", "dev", "app.py"], ["-m", "os"], [],
    ],
)  # fmt: skip
def test_a_strangers_program_is_not_printed_to_be_pasted(program: list[str]):
    assert to_paste(["python", *program, "x=1"], [], ours=False) is None


def test_the_projects_own_is_and_of_ours_the_users_words_are():
    line = ["/a/python", "-P", "-m", "project.train", "-m", "x=1"]
    assert to_paste(line, ["x=1"], ours=False) == "python -P -m project.train -m x=1"
    assert to_paste([*line, "allow=[mine.]"], [], ours=False) is None
    assert to_paste([*line, "allow=[mine.]"], ["x=1"], ours=True)
    assert to_paste([*line, "allow=[mine.]"], ["allow=[mine.]"], ours=True) is None


def test_a_command_goes_where_it_was_run_unless_that_is_here(tmp_path, monkeypatch):
    there = tmp_path / "a clone"
    there.mkdir()
    line = ["python", "app.py", "x=1"]
    assert to_paste(line, [], True, str(there)) == f"cd '{there}' && python app.py x=1"
    monkeypatch.chdir(there)
    assert to_paste(line, [], True, str(there)) == "python app.py x=1"
    for nowhere in (str(tmp_path / "gone"), None, 3):
        assert to_paste(line, [], True, nowhere) == "python app.py x=1"
    monkeypatch.chdir(tmp_path)
    assert (
        to_paste(line, [], False, str(there)) == "python app.py x=1"
    )  # a stranger's says where to go
