"""``python -m project.test run=PATH``: what ``caviar test PATH`` does."""

from caviar.lightning.arguments import NEEDED, command
from caviar.lightning.testing import USAGE, test

if __name__ == "__main__":
    command(test, USAGE, {"run": NEEDED})
