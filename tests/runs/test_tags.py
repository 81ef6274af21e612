"""A run's tags: those of its config, until a person has put others on it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from caviar.base.errors import UsageError
from caviar.runs.folder import Result
from caviar.runs.tags import TAGS, is_tag, read_tags, tags_of, write_tags

WORDS = st.text(min_size=1, max_size=12).filter(is_tag)


@given(of_config=st.lists(WORDS, max_size=4), own=st.lists(WORDS, max_size=4))
def test_what_a_person_puts_on_a_run_is_read_again_and_takes_the_place_of_its_configs(
    tmp_path_factory: pytest.TempPathFactory, of_config: list[str], own: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    result = Result(state="COMPLETE")
    result.facts["tags"] = of_config
    assert read_tags(folder, result) == sorted(of_config)
    write_tags(folder, own)
    assert read_tags(folder, result) == sorted(own)
    write_tags(folder, [])
    assert read_tags(folder, result) == []


@given(words=st.lists(WORDS, max_size=4))
def test_the_words_that_a_config_lists_are_its_tags(words: list[str]) -> None:
    assert tags_of(OmegaConf.create({"tags": words})) == words


@pytest.mark.parametrize(
    "tags",
    [
        None,
        "alone",
        3,
        {"a": "b"},
        "${nowhere}",
        ["${nowhere}"],
        ["???"],
        [3, None, ["a"], "a/b", ""],
    ],
)
def test_whatever_else_an_app_calls_so_is_passed_over(tags: object) -> None:
    assert tags_of(OmegaConf.create({"tags": tags})) == []
    assert tags_of(OmegaConf.create({})) == []


@pytest.mark.parametrize("found", ["a", {"a": "b"}, [3], [["a"]], None])
def test_tags_that_are_no_list_of_words_are_told_with_their_file(
    tmp_path: Path, found: object
) -> None:
    (tmp_path / TAGS).write_text(json.dumps(found))
    with pytest.raises(UsageError, match=r"tags\.json: not a list of words"):
        read_tags(tmp_path, Result(state="COMPLETE"))


@pytest.mark.parametrize("fact", ["a", {"a": "b"}, [3], None])
def test_facts_that_are_no_list_of_words_are_no_tags(tmp_path: Path, fact: object) -> None:
    result = Result(state="COMPLETE")
    result.facts["tags"] = fact
    assert read_tags(tmp_path, result) == []
