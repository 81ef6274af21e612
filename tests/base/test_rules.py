"""What settings must be: one kind of rule, for configs, for runs under way and for sweeps."""

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from caviar.base.errors import UsageError
from caviar.base.rules import TRAINING, check_settings
from caviar.panda.settings import SETTINGS, check

pytestmark = pytest.mark.fast

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.lists(st.none())
) | st.sampled_from([math.inf, -math.inf, math.nan])


@given(key=st.sampled_from(sorted(TRAINING)), value=VALUES)
def test_a_rule_takes_a_value_or_names_key_and_value_in_one_line(key, value):
    rule, told = TRAINING[key], None
    try:
        rule.check(key, value)
    except UsageError as error:
        told = str(error)
    if told is not None:
        assert told.startswith(f"{key}=")
        assert "\n" not in told
    elif rule.number and value is not None:
        assert not isinstance(value, bool)
        assert math.isfinite(value)
        assert not rule.whole or value % 1 == 0


@given(key=st.sampled_from(sorted(SETTINGS)), value=VALUES)
def test_what_a_run_under_way_takes_its_config_takes_too(key, value):
    try:
        check(key, value)
    except UsageError:
        return
    TRAINING[key].check(key, value)


@pytest.mark.parametrize("key", sorted(TRAINING))
def test_no_number_may_be_infinite(key):
    with pytest.raises(UsageError, match=f"{key}=inf: must be|{key}=inf: no such choice"):
        TRAINING[key].check(key, math.inf)


def test_a_setting_that_is_not_given_breaks_no_rule():
    check_settings({}, TRAINING)
    with pytest.raises(UsageError, match=r"optimizer.lr=null: must be a number"):
        check_settings({"optimizer.lr": None}, TRAINING)


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("optimizer/*.yaml")), ids=lambda p: p.stem)
def test_every_number_of_an_optimizers_config_has_a_rule(file):
    held = yaml.safe_load(file.read_text())
    numbers = {f"optimizer.{k}" for k, v in held.items() if isinstance(v, int | float)}
    numbers = {key for key in numbers if not isinstance(held[key.partition(".")[2]], bool)}
    assert numbers <= set(TRAINING)
