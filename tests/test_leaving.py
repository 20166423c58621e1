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

async def holding():
    try:
        await asyncio.sleep({WAITS})
    finally:
        print(", gave back", end="")

async def process():
    asyncio.get_running_loop().run_in_executor(None, time.sleep, {WAITS})
    held = asyncio.create_task(holding())
    await asyncio.sleep(0)
    print("worked", end="")
    %s

run_and_leave(process())
"""


@pytest.mark.parametrize(
    ("end", "code", "said"), [("", 0, ""), ("raise SystemExit(2)", 2, ""), ("1 / 0", 1, "ZeroDivisionError")]
)
def test_a_lookup_that_hangs_does_not_hold_the_process(end: str, code: int, said: str) -> None:
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM % end], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (code, "worked, gave back")
    assert said in ended.stderr
    assert bool(said) == bool(ended.stderr)
    assert time.monotonic() - began < WAITS / 2
