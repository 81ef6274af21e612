"""A call that may never return."""

import threading

import pytest

from caviar.base.deadlines import within


def test_what_returns_in_time_is_given_and_leaves_no_thread() -> None:
    before = threading.active_count()
    assert within(60, lambda: 3) == 3
    with pytest.raises(KeyError, match="gone"):
        within(60, lambda: {}["gone"])
    assert threading.active_count() == before


def test_what_does_not_is_left() -> None:
    done = threading.Event()
    with pytest.raises(TimeoutError):
        within(0.01, done.wait)
    done.set()
