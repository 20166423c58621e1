"""The rules of a test run hold with one process and with several."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT

PROCESSES = pytest.mark.parametrize("processes", [0, 2])

SKIPS = {
    "a test": "import pytest\ndef test_it():\n    pytest.skip('no browser')\n",
    "a module": "import pytest\npytest.skip('no browser', allow_module_level=True)\n",
}

OVERLAP = """
import os, pathlib, time
import pytest
HERE = pathlib.Path(__file__).parent
@pytest.mark.parametrize("number", range({others}))
def test_other(number, figure):
    begun = time.monotonic()
    time.sleep(0.05)
    figure(f"other {{begun}} {{time.monotonic()}} {{os.getpid()}}")
@pytest.mark.alone
@pytest.mark.parametrize("number", range(3))
def test_alone(number, figure):
    begun = time.monotonic()
    time.sleep(0.05)
    figure(f"alone {{begun}} {{time.monotonic()}} {{os.getpid()}}")
"""


def run(folder: Path, text: str, processes: int, **environment: str) -> tuple[int, str]:
    """A run of these tests by our rules: its exit status and what it said."""
    (folder / "test_it.py").write_text(text, "utf-8")
    (folder / "test_well.py").write_text("def test_well(): pass\n", "utf-8")
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"),
            *("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), "-n", str(processes), "."),
        ],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


@PROCESSES
@pytest.mark.parametrize("what", SKIPS)
def test_what_is_skipped_fails_the_run_in_ci_alone(tmp_path: Path, what: str, processes: int) -> None:
    status, said = run(tmp_path, SKIPS[what], processes, CI="true")
    assert status != 0, said
    assert "no browser" in said
    status, said = run(tmp_path, SKIPS[what], processes)
    assert (status, said.splitlines()[-1].count("1 passed, 1 skipped")) == (0, 1), said


@PROCESSES
def test_who_runs_alone_overlaps_nobody_and_every_figure_is_told(tmp_path: Path, processes: int) -> None:
    status, said = run(tmp_path, OVERLAP.format(others=12), processes)
    assert status == 0, said
    assert "16 passed" in said.splitlines()[-1]
    told = [line.split() for line in said.splitlines() if line.startswith(("alone ", "other "))]
    spans = [(kind, float(begun), float(ended)) for kind, begun, ended, _ in told]
    assert len(spans) == 15
    for kind, begun, ended in spans:
        beside = [one for one in spans if one[1] < ended and begun < one[2]]
        assert kind == "other" or len(beside) == 1, beside
    assert len({process for *_, process in told}) == max(processes, 1)
