"""Tables made up and written in many ways, for so many seconds: what is read has to be what was written."""

import os
import subprocess
import sys

seconds = sys.argv[1] if len(sys.argv) > 1 else "120"
command = [sys.executable, "-m", "pytest", "-q", "-x", "-o", "faulthandler_timeout=0"]
command.append("tests/tables/test_written_tables.py")
sys.exit(subprocess.run(command, env={**os.environ, "CAVIAR_FUZZ": seconds}).returncode)
