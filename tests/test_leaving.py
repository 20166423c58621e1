"""A process that ends: when its work has, whatever a thread of its own still waits for, and with nobody lost."""

import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.servers import ROOT, Servers

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


ASKING = 40  # at once
BUSY_FOR = 0.5  # seconds before it is told to end


def test_whoever_could_connect_to_a_bot_is_answered(tmp_path: Path) -> None:
    """A proxy tries elsewhere only what was refused: a connection that is reset is somebody's failed request."""
    with Servers(tmp_path) as site, ThreadPoolExecutor(ASKING) as pool:
        asking = [pool.submit(ask_until_refused, site.live) for _ in range(ASKING)]
        time.sleep(BUSY_FOR)
        site.stop("bot")
        assert sum(one.result() for one in asking) > ASKING


def ask_until_refused(url: str) -> int:
    """How often it was answered, each time on a connection of its own."""
    answered = 0
    while True:
        try:
            connection = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port))
        except ConnectionRefusedError:
            return answered
        with connection, connection.makefile("rb") as answer:
            connection.sendall(b"GET /live/nonsense HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert answer.read().startswith(b"HTTP/1.1 403")
        answered += 1
