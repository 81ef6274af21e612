"""``python -m project.predict run=PATH data=NEW.csv``: what ``caviar predict PATH data=NEW.csv`` does."""

from caviar.lightning.arguments import NEEDED, command
from caviar.lightning.predict import DEFAULTS, USAGE, predict

if __name__ == "__main__":
    command(predict, USAGE, {"run": NEEDED, **DEFAULTS})
