"""Configs made of plain ones, by a copy of one that differs in little."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from caviar.base.configs import Configs

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.0, 1.0, float("nan"), "", "a", "???", "${a}", "${missing}"]),
)
KEYS = st.sampled_from(["a", "b", "c"])
PLAIN = st.dictionaries(
    KEYS,
    st.recursive(
        VALUES, lambda own: st.lists(own, max_size=2) | st.dictionaries(KEYS, own), max_leaves=6
    ),
)


def told(config: Any) -> Any:
    """All that a config says, and the types in which it does."""
    if isinstance(config, DictConfig):
        each = {key: config._get_node(key) for key in config}
        return type(config), {key: told(node) for key, node in each.items()}
    return type(config), type(config._value()), repr(config)


@given(plains=st.lists(PLAIN, min_size=2, max_size=4))
def test_a_config_is_what_omegaconf_makes_whatever_was_made_before(
    plains: list[dict[str, Any]],
) -> None:
    configs = Configs()
    for plain in plains:
        made, wanted = configs(plain), OmegaConf.create(plain)
        assert told(made) == told(wanted)
        assert list(made) == list(wanted)


@given(first=PLAIN, values=st.lists(VALUES, min_size=1, max_size=3))
def test_one_that_differs_in_a_value_is_what_omegaconf_makes(
    first: dict[str, Any], values: list[Any]
) -> None:
    configs = Configs()
    for value in values:
        plain = {**first, "model": {"lr": value, "width": 8}}
        assert told(configs(plain)) == told(OmegaConf.create(plain))


def test_what_is_done_to_a_config_is_not_done_to_the_next() -> None:
    configs, plain = Configs(), {"model": {"lr": 0.1, "hidden": [64, 32]}}
    for lr in (0.1, 0.2, 0.3):
        config = configs({"model": {**plain["model"], "lr": lr}})
        assert config == {"model": {"lr": lr, "hidden": [64, 32]}}
        config.model.hidden.append(7)
        config.model.lr, config.other = 9.0, 1
    assert plain == {"model": {"lr": 0.1, "hidden": [64, 32]}}


def test_a_plain_config_may_change_after_one_was_made_of_it() -> None:
    configs, plain = Configs(), {"model": {"lr": 0.1}}
    configs(plain)
    plain["model"]["lr"] = 0.5
    assert configs(plain) == {"model": {"lr": 0.5}}
