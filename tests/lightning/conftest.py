"""What the tests of training share: they train the project that ships."""

from tests.project.conftest import compose_run, one_thread, short, table, train

__all__ = ["compose_run", "one_thread", "short", "table", "train"]
