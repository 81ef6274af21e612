"""The grammar is Hydra's, with two scales more."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from caviar.base.errors import UsageError
from caviar.base.hydra_versions import CHECKS_TARGETS
from caviar.space.grammar import as_override, read
from caviar.space.hyperparameters import Choice, Interval, Range
from caviar.space.scales import LINEAR, LOG, REVERSE_LOG

pytestmark = pytest.mark.fast


def only(text, *arguments):
    (hyperparameter,) = read({"x": text}, arguments).hyperparameters
    return hyperparameter


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("interval(0, 0.5)", Interval("x", 0.0, 0.5, LINEAR)),
        ("tag(log, interval(1e-5, 1e-1))", Interval("x", 1e-5, 1e-1, LOG)),
        ("tag(reverse_log, interval(0.9, 0.999))", Interval("x", 0.9, 0.999, REVERSE_LOG)),
        ("int(tag(log, interval(16, 256)))", Interval("x", 16, 256, LOG, integer=True)),
        ("int(interval(1, 8))", Interval("x", 1, 8, LINEAR, integer=True)),
        ("range(1, 5)", Range("x", 1, 5)),
        ("range(-5.5, 5.5, step=0.5)", Range("x", -5.5, 5.5, 0.5)),
        ("choice(relu, gelu)", Choice("x", ("relu", "gelu"))),
        ("choice(-5 ,0 ,5)", Choice("x", (-5, 0, 5))),
        ("choice([64, 32], [128])", Choice("x", ([64, 32], [128]))),
        ("1,2,3", Choice("x", (1, 2, 3))),
        ("choice('1', 1)", Choice("x", ("1", 1))),
    ],
)
def test_the_grammar(text, meant):
    assert only(text) == meant


def test_the_command_line_holds_over_the_params_block():
    assert only("interval(0, 1)", "x=choice(a,b)") == Choice("x", ("a", "b"))


def test_a_plain_value_on_the_command_line_takes_it_out_of_the_space():
    reading = read({"x": "interval(0, 1)", "y": "choice(1,2)"}, ["x=3"])
    assert [h.name for h in reading.hyperparameters] == ["y"]
    assert reading.fixed == ["x=3"]


def test_plain_values_in_a_params_block_hold_in_every_trial():
    assert read({"x": 3, "y": [1, 2], "z": None}, []).fixed == ["x=3", "y=[1,2]", "z=null"]


def test_a_plus_stays_with_the_name():
    (hyperparameter,) = read({}, ["+new.key=interval(0,1)"]).hyperparameters
    assert hyperparameter.name == "+new.key"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tag(lgo, interval(1, 2))", "no scale is called lgo; did you mean log?"),
        ("tag(log, choice(1, 2))", "a scale needs an interval"),
        ("interval(1", "interval(1"),
        ("choice()", "empty choice"),
        ("interval(2, 1)", "low must be less than high"),
    ],
)
def test_what_the_grammar_refuses_is_told_in_one_line_that_begins_with_the_key(text, words):
    with pytest.raises(UsageError) as caught:
        read({"model.width": text}, [])
    assert str(caught.value).startswith("model.width=")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=12).filter(
        lambda text: not text.endswith("\\")
    )
)


@given(value=SCALARS | st.lists(SCALARS, max_size=3))
def test_an_override_reads_back_as_the_value_it_was_made_from(value):
    override = OverridesParser.create().parse_override(as_override("x", value))
    assert repr(override.value()) == repr(value)


@pytest.mark.parametrize(
    "text",
    [
        "int(tag(log, interval(16, 256)))",
        "int(interval(1, 8))",
        "interval(-5, 5)",
        "tag(reverse_log, interval(0.9, 0.999))",
        "range(1, 4)",
        "range(0.1, 1, 0.1)",
        "choice('1', 1, 1.5, True, 'null', 'a b', '', [1, x], {a: 1})",
        r"choice('it\'s', 'a,b', '中文')",
        "null, 1, 'null'",
    ],
)
def test_what_a_hyperparameter_prints_reads_back_as_itself(text):
    (hyperparameter,) = read({"x": text}, []).hyperparameters
    (again,) = read({"x": str(hyperparameter)}, []).hyperparameters
    assert again == hyperparameter
    assert repr(again) == repr(hyperparameter)


def test_what_the_command_line_gave_is_known_by_name():
    typed = read({"a": "interval(0, 1)", "b": 1}, ["+c=choice(1, 2)", "d=3", "~e"]).typed
    assert typed == {"+c", "d", "~e"}


@pytest.mark.parametrize(
    ("text", "values"),
    [("float(range(1, 4))", "[1.0, 2.0, 3.0]"), ("int(range(1.0, 4.0))", "[1, 2, 3]")],
)
def test_a_cast_range_has_values_of_that_type(text, values):
    found = only(text)
    drawn = [found.from_study(value) for value in found.spread(3)]
    assert repr(drawn) == values


@pytest.mark.skipif(not CHECKS_TARGETS, reason="Hydra 1.3 extends no list")
@pytest.mark.filterwarnings("ignore:extend_list")  # Hydra's own, of 1.4 to 1.5
def test_an_override_that_extends_a_list_does_not_replace_it():
    words = ["a=extend_list(1)", "a=extend_list(2,3)", "b=[4]"]
    assert read({}, words).fixed == words
