"""``caviar runs …``: list, show, compare, export, tag and remove logged runs; a file a command."""

from caviar.commands.runs.best import best
from caviar.commands.runs.diff import diff
from caviar.commands.runs.export import export
from caviar.commands.runs.list import list_
from caviar.commands.runs.rm import rm
from caviar.commands.runs.show import show
from caviar.commands.runs.tag import tag

COMMANDS = [list_, show, diff, best, export, tag, rm]
HELP = "List, show, compare, export, tag and remove logged runs."
