"""Conditions decide which hyperparameters exist, before anything is drawn."""

import pytest

from caviar.base.errors import UsageError
from caviar.space.hyperparameters import Choice, Interval, Range
from caviar.space.space import Space

pytestmark = pytest.mark.fast

OPTIMIZER = Choice("optimizer", ("adam", "sgd"))
MOMENTUM = Interval("optimizer.momentum", 0.5, 0.9)
NESTEROV = Choice("optimizer.nesterov", (True, False))


def nothing(name):
    raise AssertionError(f"asked for the value of {name}")


def build(hyperparameters, when, value_of=nothing):
    return Space.build(hyperparameters, when, value_of)


def names(space):
    return [h.name for h in space.hyperparameters]


def test_a_child_exists_only_under_its_choice():
    space = build([MOMENTUM, OPTIMIZER], {"optimizer.momentum": {"optimizer": "sgd"}})
    drawn = {}
    for option in ("adam", "sgd"):
        drawn[option] = space.draw(
            lambda h, option=option: option if h is OPTIMIZER else h.from_unit(0.5)
        )
    assert drawn["adam"] == {"optimizer": "adam"}
    assert set(drawn["sgd"]) == {"optimizer", "optimizer.momentum"}


def test_parents_are_drawn_before_their_children_whatever_the_order_written():
    when = {
        "optimizer.nesterov": {"optimizer.momentum2": 1},
        "optimizer.momentum2": {"optimizer": ["sgd"]},
    }
    momentum = Range("optimizer.momentum2", 1, 3)
    space = build([NESTEROV, momentum, OPTIMIZER], when)
    assert names(space) == ["optimizer", "optimizer.momentum2", "optimizer.nesterov"]


def test_a_grandchild_does_not_exist_without_its_parent():
    when = {"optimizer.nesterov": {"d": 1}, "d": {"optimizer": "sgd"}}
    space = build([OPTIMIZER, Range("d", 1, 3), NESTEROV], when)
    assert space.draw(lambda h: "adam") == {"optimizer": "adam"}


@pytest.mark.parametrize(("value", "kept"), [("sgd", True), ("adam", False)])
def test_a_condition_on_what_is_not_searched_is_settled_by_the_config(value, kept):
    space = build([MOMENTUM], {"optimizer.momentum": {"optimizer": "sgd"}}, lambda name: value)
    assert names(space) == (["optimizer.momentum"] if kept else [])
    assert not space.conditions


def test_what_is_typed_and_cannot_be_there_is_refused():
    momentum = Interval("optimizer.momentum", 0.5, 0.9)
    when = {"optimizer.momentum": {"optimizer": ["sgd", "rmsprop"]}}
    words = (
        r"optimizer\.momentum=interval\(0\.5, 0\.9\): exists under optimizer=sgd or "
        r"optimizer=rmsprop only \(when\), and here optimizer=adam"
    )
    with pytest.raises(UsageError, match=words):
        Space.build([momentum], when, lambda _: "adam", {"optimizer.momentum"})
    assert Space.build([momentum], when, lambda _: "sgd", {"optimizer.momentum"}).hyperparameters


def test_children_of_a_dropped_parent_are_dropped_too():
    when = {"d": {"optimizer": "sgd"}, "optimizer.nesterov": {"d": 1}}
    assert names(build([Range("d", 1, 3), NESTEROV], when, lambda name: "adam")) == []


@pytest.mark.parametrize(
    ("hyperparameters", "when", "words"),
    [
        ([OPTIMIZER], {"optimizer.momentun": {"optimizer": "sgd"}}, "not in the space"),
        ([OPTIMIZER, MOMENTUM], {"optimizer.momentum": {"optimizer": "sdg"}}, "did you mean sgd?"),
        ([MOMENTUM, NESTEROV], {"optimizer.nesterov": {"optimizer.momentum": 1}}, "is an interval"),
        (
            [OPTIMIZER, NESTEROV],
            {"optimizer": {"optimizer.nesterov": True}, "optimizer.nesterov": {"optimizer": "sgd"}},
            "circle",
        ),
    ],
)
def test_a_condition_that_cannot_hold_is_refused(hyperparameters, when, words):
    with pytest.raises(UsageError, match=r".") as caught:
        build(hyperparameters, when)
    assert words in str(caught.value)
