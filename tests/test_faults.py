"""A short run of `make faults`: each kind of fault while people log in, and the verdict of its table."""

import subprocess
import sys

import pytest

from tests.figures import Figure
from tests.servers import ROOT

# What takes seconds of starting is played by one of its kind here; `make faults` plays all, again and again.
SHORT = ["--rounds", "1", "--rate", "15", "--every", "0.3", "--seconds", "1", "--but", "web: all,Bot API,slow"]
FAULTS = (
    *("web: a worker is killed", "web: its master is killed", "bot: killed", "web: a worker is stopped"),
    *("bot: stopped", "provider: 503", "provider: breaks", "clock: 3 h ahead", "clock: 3 h behind"),
)


def run(*options: str) -> tuple[int, str]:
    """The exit code of the harness, and what it said."""
    command = [sys.executable, "-m", "tests.faults", *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.timeout(300)
def test_nothing_is_lost_and_every_double_has_its_fault(figure: Figure) -> None:
    code, said = run(*SHORT)
    assert code == 0, said
    assert [fault for fault in FAULTS if fault not in said] == [], said
    for line in said.splitlines():
        if line.startswith(("all ", "LEFT OUT")):
            figure(f"faults: {line}")


@pytest.mark.timeout(200)
def test_a_message_that_is_lost_is_found_and_makes_the_run_fail() -> None:
    code, said = run("--logins", "20", "--rate", "20", "--only", "none of them", "--lose", "2", "--patience", "9")
    assert code == 1, said
    assert said.count("is noted as sent, and the provider never had it") == 2, said
    assert said.count("a message was lost") == 2, said
