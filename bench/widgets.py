"""The load: many open widgets, each with its live stream, of whom one after another logs in and another comes.

`python -m bench.widgets '<json>'` prints one JSON line once all streams are open, waits for a line on its standard
input (meanwhile somebody weighs the server), then logs in, and prints another. It is a process of its own.
"""

import asyncio
import random
import sys
import time
from collections.abc import Iterator

import msgspec

from bench.load import post
from bench.processes import SECRET
from gateway.clock import system_clock
from gateway.codes import DIGITS, derive_code
from gateway.keyring import Keyring
from gateway.tokens import LiveClaim, live_tokens

TOLD_WITHIN = 30.0
OPENED_AT_ONCE = 20
PROJECT = 1
_KEYS = Keyring([SECRET])


class Plan(msgspec.Struct):
    """`widgets` stay open while `logins` are made, `rate` a second; phones are counted up from `first`."""

    port: int
    live_port: int
    widgets: int
    logins: int
    rate: float
    first: int


class Opened(msgspec.Struct):
    """Seconds that opening them all took, their sessions' creation in it."""

    seconds: float


class Told(msgspec.Struct):
    """Seconds from each check's request to its event at the browser's end, in order of length."""

    delays: list[float]


class Web:
    """One keep-alive connection to web."""

    async def open(self, port: int) -> "Web":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        return self

    async def create(self, number: int) -> str:
        """A new session's id."""
        created = await post(
            self._reader, self._writer, "create", {"to": f"+7952{number}", "type": "sms", "send": False}
        )
        return str(created["session_id"])

    async def check(self, session_id: str) -> None:
        code = derive_code(_KEYS.first.code, session_id, DIGITS, 6)
        await post(self._reader, self._writer, "check", {"session_id": session_id, "code": code})


class Widget:
    """A page that waits for its code."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.used_at: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def open(self, port: int) -> "Widget":
        token = live_tokens(_KEYS, system_clock).sign(LiveClaim(PROJECT, self.session_id, "en"))
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
        self._writer.write(b"GET /live/%s HTTP/1.1\r\nhost: bench\r\n\r\n" % token.encode())
        await self._event(b'"state":"live"')
        self._task = asyncio.create_task(self._listen())
        return self

    async def _listen(self) -> None:
        await self._event(b'"state":"used"')
        self.used_at.set_result(time.perf_counter())
        self._writer.close()

    async def _event(self, words: bytes) -> None:
        while words not in (line := await self._reader.readline()):
            if not line:
                raise SystemExit("a live stream ended too soon")

    def leave(self) -> None:
        self._task.cancel()
        self._writer.close()


async def run(plan: Plan) -> None:
    """Do it."""
    began = time.perf_counter()
    numbers = iter(range(plan.first, plan.first + plan.widgets + plan.logins))
    widgets: list[Widget] = []

    async def opens() -> None:
        web = await Web().open(plan.port)
        while len(widgets) + OPENED_AT_ONCE <= plan.widgets:
            widgets.append(await Widget(await web.create(next(numbers))).open(plan.live_port))

    async with asyncio.TaskGroup() as group:
        for _ in range(OPENED_AT_ONCE):
            group.create_task(opens())
    web = await Web().open(plan.port)
    while len(widgets) < plan.widgets:
        widgets.append(await Widget(await web.create(next(numbers))).open(plan.live_port))
    _say(Opened(time.perf_counter() - began))
    await asyncio.to_thread(sys.stdin.readline)
    _say(Told(sorted(await _log_in(plan, web, widgets, numbers))))
    for widget in widgets:
        widget.leave()


async def _log_in(plan: Plan, web: Web, widgets: list[Widget], numbers: Iterator[int]) -> list[float]:
    order = random.Random(plan.first)
    began = time.perf_counter()
    delays = []
    for number in range(plan.logins):
        await asyncio.sleep(max(0.0, began + (number / plan.rate if plan.rate else 0) - time.perf_counter()))
        place = order.randrange(len(widgets))
        asked_at = time.perf_counter()
        await web.check(widgets[place].session_id)
        delays.append(await asyncio.wait_for(widgets[place].used_at, TOLD_WITHIN) - asked_at)
        widgets[place] = await Widget(await web.create(next(numbers))).open(plan.live_port)
    return delays


def _say(what: Opened | Told) -> None:
    sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(run(msgspec.json.decode(sys.argv[1], type=Plan)))
