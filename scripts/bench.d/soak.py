"""2,000 trials on 4 workers; a worker is killed every second, the controller five times."""

import os
import subprocess
import sys

trials = sys.argv[1] if len(sys.argv) > 1 else "2000"
test = "tests/sweep/test_soak.py"
command = [sys.executable, "-m", "pytest", "-q", "-s", "-o", "faulthandler_timeout=0", test]
sys.exit(subprocess.run(command, env={**os.environ, "CAVIAR_SOAK": trials}).returncode)
