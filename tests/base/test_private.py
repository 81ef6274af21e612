"""What no library promises is used in two files alone, and its loss is told in one line."""

import ast
import re
from pathlib import Path
from types import ModuleType

import pytest
from omegaconf import OmegaConf

from caviar.base import private, private_loops
from caviar.base.errors import UsageError
from tests.apps import make_app

pytestmark = pytest.mark.fast

SRC = Path(__file__).resolve().parents[2] / "src"
LIBRARIES = ("hydra", "omegaconf", "optuna", "optuna_dashboard", "lightning", "torchmetrics")
OWN = {
    "_exit",  # os
    "_run_exitfuncs",  # atexit
    "_clear",  # atexit
    "_shutdown",  # threading
    "_parameters",  # torch
    "_buffers",  # torch
    "_fields_",  # ctypes
    "_foreach_copy_",  # torch
    "_version",  # torch
    "_op",  # torch
    "_schema",  # torch
    "_add_batch_dim",  # torch
    "_dynamo",  # torch
    "_inductor",  # torch
    "_get_current_graph_task_id",  # torch
    "_fused_adam_",  # torch
    "_fused_adamw_",  # torch
    "_opt_called",  # torch, as are those of its modules here
    "_modules",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_template",  # one stack's, of another
    "_banks",  # the same
    "_put",  # one stack's, of another
    "_set",  # the same
    "_dock",  # the same
    "_settle",  # one sampler's, of another
}
"""Private attributes of other things than `self`, by whose they are."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_no_other_file_names_what_a_library_keeps_private():
    for file in SRC.rglob("*.py"):
        if file.name in ("private.py", "private_loops.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
            for module in modules:
                top, *rest = module.split(".")
                assert not (top in LIBRARIES and any(map(is_private, rest))), f"{file}: {module}"
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                owner = node.value.id if isinstance(node.value, ast.Name) else ""
                mine = owner in ("self", "cls") or node.attr in OWN
                assert mine, f"{file}:{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("module", [private, private_loops])
def test_every_private_name_is_said_to_be_replaced_by_something(module: ModuleType):
    text = Path(str(module.__file__)).read_text()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and not is_private(node.name):
            assert ast.get_docstring(node), node.name


def test_a_private_name_that_is_gone_is_told_in_one_line(monkeypatch):
    import optuna.study._tell as tell

    monkeypatch.delattr(tell, "_tell_with_warning")
    with pytest.raises(UsageError) as told:
        private.tell_without_copy(None, 0, None, None)  # type: ignore[arg-type]
    assert re.fullmatch(
        r"optuna 5\S+ has no optuna\.study\._tell\._tell_with_warning, which caviar needs: "
        r"caviar was tested with optuna 5",
        str(told.value),
    )


def test_a_private_attribute_that_is_gone_is_not_set_for_nobody():
    class Metric:
        _computed = 1.0

    metric = Metric()
    with pytest.raises(UsageError, match=r"torchmetrics \S+ has no .*Metric\._update_count"):
        private.put_update_count(metric, 3)  # type: ignore[arg-type]
    assert metric._computed == 1.0


def test_a_resolver_is_back_after_it_was_replaced():
    config = OmegaConf.create({"home": "${oc.env:HOME}"})
    before = config.home
    with private.resolvers_replaced(lambda *_, **__: "refused", ["oc.env", "nothing"]):
        assert config.home == "refused"
    assert config.home == before


def test_a_sweep_under_a_library_that_has_lost_a_name_says_so_in_one_line(tmp_path: Path):
    app = make_app(tmp_path / "app")
    (app.folder / "sitecustomize.py").write_text(
        "import importlib.metadata, optuna.study._tell\n"
        "del optuna.study._tell._tell_with_warning\n"
        "real = importlib.metadata.version\n"
        "importlib.metadata.version = lambda name: '6.1.0' if name == 'optuna' else real(name)\n"
    )
    done = app.sweep(env={"PYTHONPATH": str(app.folder)})
    assert done.status == 2, done.out + done.err
    assert done.err.splitlines() == [
        "warning: caviar was tested with optuna 5; this is 6.1.0",
        "error: optuna 6.1.0 has no optuna.study._tell._tell_with_warning, which caviar needs: "
        "caviar was tested with optuna 5",
    ]
