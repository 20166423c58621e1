"""A short run of `make faults`: each kind of fault while people log in, and the table's verdict."""

import subprocess
import sys

import pytest

from tests.figures import Figure
from tests.servers import ROOT

# Those that take seconds of starting are played by one of them here; `make faults` plays them all, again and again.
SHORT = ["--logins", "240", "--rate", "12", "--every", "0.5", "--seconds", "1", "--but", "web: all,Bot API,slow"]


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_without_its_fault_whatever_goes_wrong(figure: Figure) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults", *SHORT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    for fault in (
        "web: a worker is killed",
        "bot: killed",
        "provider: 503",
        "clock: 3 h ahead",
        "clock: 3 h behind",
    ):
        assert fault in said, said
    for line in said.splitlines():
        if line.startswith(("all ", "LEFT OUT")):
            figure(f"faults: {line}")


def test_a_run_in_which_something_is_lost_says_so_and_fails() -> None:
    """The harness itself: a provider's yes that no fault explains is told, and is an error."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--logins", "30", "--rate", "30", "--only", "none", "--lose", "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "is noted as sent, and the provider never had it" in ended.stdout
