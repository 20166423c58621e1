"""A bot or worker ends when its work has, whatever a thread of its own still waits for."""

import subprocess
import sys
import time

import pytest

from tests.servers import ROOT

WAITS = 20  # seconds, as for a name server that says nothing
PROGRAM = f"""
import asyncio, time
from bot.serving import run_and_leave

async def process():
    asyncio.get_running_loop().run_in_executor(None, time.sleep, {WAITS})
    print("worked", end="")
    raise SystemExit(%d)

run_and_leave(process())
"""


@pytest.mark.parametrize("code", [0, 2])
def test_a_lookup_that_hangs_does_not_hold_the_process(code: int) -> None:
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM % code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "worked", "")
    assert time.monotonic() - began < WAITS / 2
