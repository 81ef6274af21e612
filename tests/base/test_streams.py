"""A print never ends a program, wherever it leads."""

import subprocess
import sys

import pytest

PRINTS = """
import sys
from caviar.base.streams import make_patient
make_patient(go_on={go_on})
for number in range(20000):
    print("\u65e5\u672c \u2503", number)
print("at the end", file=sys.stderr)
open({file!r}, "w").write("went on")
raise SystemExit(3)
"""


def run(tmp_path, redirection="", go_on=True, **env):
    """The status of a program that prints much, what it printed, and whether it came to its end."""
    file = tmp_path / "end"
    code = PRINTS.format(go_on=go_on, file=str(file))
    done = subprocess.run(
        [
            "bash",
            "-c",
            f'"$0" -c "$1" {redirection}; exit ${{PIPESTATUS[0]}}',
            sys.executable,
            code,
        ],
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", **env},
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr, file.exists()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_an_encoding_does_not_hold_is_written_as_an_escape(tmp_path, encoding):
    status, out, err, ended = run(tmp_path, PYTHONIOENCODING=encoding)
    assert out.startswith(b"\\u65e5\\u672c \\u2503 0\n")
    assert (status, err, ended) == (3, b"at the end\n", True)


def test_a_program_goes_on_without_a_reader_or_ends_as_sigpipe_would_end_it(tmp_path):
    assert run(tmp_path, "| head -1")[::3] == (3, True)
    (tmp_path / "end").unlink()
    status, _, err, ended = run(tmp_path, "| head -1", go_on=False)
    assert (status, err, ended) == (141, b"", False)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_was_closed_leads_to_nowhere_and_not_into_a_file(tmp_path, closed):
    status, _, _, ended = run(tmp_path, closed)
    assert (status, ended) == (3, True)
    assert (tmp_path / "end").read_text() == "went on"
