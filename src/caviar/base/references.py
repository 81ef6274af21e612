"""References of a config to what its data have: ``${data:num_features}``.

Until the data are there such a reference is the text that it was written as; ``config.yaml`` has it so.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from caviar.base.errors import UsageError, causes, nearest

_data: list[Any] = []


@contextmanager
def reading(data: Any) -> Generator[None]:
    """For the block, ``${data:NAME}`` is the attribute NAME of ``data``."""
    _data.append(data)
    try:
        yield
    except OmegaConfBaseException as error:
        of_ours = (one for one in causes(error) if isinstance(one, UsageError))
        raise next(of_ours, error) from None
    finally:
        _data.pop()


def _attribute(name: str) -> Any:
    if not _data:
        return f"${{data:{name}}}"
    data = _data[-1]
    value = None if name.startswith("_") else getattr(data, name, None)
    if value is None and not name.startswith("_") and hasattr(data, "setup"):
        # Many a data module knows its sizes only when it has read its files.
        data.prepare_data()
        data.setup("fit")
        value = getattr(data, name, None)
    if not isinstance(value, bool | int | float | str | list | tuple):
        near = nearest(name, [key for key in dir(data) if key[:1] != "_" and key != name])
        problem = "has no such attribute" if value is None else f"is a {type(value).__name__}"
        hint = f"; did you mean ${{data:{near}}}?" if near else ""
        raise UsageError(f"${{data:{name}}}: {type(data).__name__} {problem}{hint}")
    return list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else value  # type: ignore[return-value]


OmegaConf.register_new_resolver("data", _attribute, replace=True)
