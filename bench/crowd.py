"""The load of `bench.steady`: everything at once, evenly. Most people get their code by the operator's sender,
some activate the bot first; each has a page open whose live stream tells it.

`python -m bench.crowd '<json>'` serves as the sender and as the Bot API, prints a line, waits for one on its
standard input (meanwhile web and bot start), and prints its result.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from bench.botapi import BotApi
from bench.load import Sink, get, post
from bench.processes import SECRET
from gateway.clock import system_clock
from gateway.codes import DIGITS, derive_code
from gateway.keyring import Keyring
from gateway.tokens import LiveClaim, live_tokens

WITHIN = 30.0
PROJECT = 1
_SHOWN = 80  # characters of what went wrong
PERSON = 1_000_000  # the first one's id
_KEYS = Keyring([SECRET])
_TOKENS = live_tokens(_KEYS, system_clock)

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Plan(msgspec.Struct):
    """`logins` at `rate` a second, every `activates`th in Telegram, all by new people counted up from `first`."""

    port: int
    live_port: int
    sink: int
    bot_api: int
    logins: int
    rate: float
    activates: int
    first: int


class Told(msgspec.Struct):
    """Seconds that each request took, and each event until it was read; what went wrong, how often."""

    seconds: float = 0.0
    create: list[float] = []
    check: list[float] = []
    opened: list[float] = []
    delivered: list[float] = []
    activated: list[float] = []
    used: list[float] = []
    errors: dict[str, int] = {}


class Stream:
    """A page's live stream."""

    async def open(self, port: int, session_id: str) -> "Stream":
        """Until its first event."""
        token = _TOKENS.sign(LiveClaim(PROJECT, session_id, "en"))
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port, limit=16_384)
        self._writer.write(b"GET /live/%s HTTP/1.1\r\nhost: bench\r\n\r\n" % token.encode())
        await self.until(lambda progress: progress["state"] == "live")
        return self

    async def until(self, seen: Callable[[dict[str, Any]], bool]) -> None:
        while line := await self._reader.readline():
            if line.startswith(b"data: ") and seen(msgspec.json.decode(line[6:])):
                return
        raise ConnectionError("a live stream ended too soon")

    def close(self) -> None:
        self._writer.close()


class Crowd:
    """Everybody."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._sink = Sink()
        self._bot = BotApi()
        self._free: list[Connection] = []
        self.told = Told()

    async def run(self) -> Told:
        server = await asyncio.start_server(self._sink.serve, "127.0.0.1", self._plan.sink)
        bot = await self._bot.serve(self._plan.bot_api)
        sys.stdout.write("serving\n")
        sys.stdout.flush()
        if not await asyncio.to_thread(sys.stdin.readline):
            raise SystemExit("nobody wants the crowd any more")
        await self._until_introduced()
        await self._log_in_all()
        server.close()
        await bot.cleanup()
        if self._sink.doubled:
            self.told.errors["a message came twice"] = self._sink.doubled
        return self.told

    async def _until_introduced(self) -> None:
        """web has read the bot's name."""
        connection = await asyncio.open_connection("127.0.0.1", self._plan.port)
        async with asyncio.timeout(WITHIN):
            while not any(one["type"] == "telegram" for one in await get(*connection, "channels")):
                await asyncio.sleep(0.2)

    async def _log_in_all(self) -> None:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(self._plan.logins):
                due = began + number / self._plan.rate
                if (wait := due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                group.create_task(self._one(number))
        self.told.seconds = time.perf_counter() - began

    async def _one(self, number: int) -> None:
        try:
            async with asyncio.timeout(WITHIN):
                if number % self._plan.activates:
                    await self._by_sender(f"+7952{self._plan.first + number}")
                else:
                    await self._by_bot(f"+7952{self._plan.first + number}", PERSON + number)
        except (Exception, SystemExit) as problem:
            what = f"{type(problem).__name__}: {str(problem)[:_SHOWN]}"
            self.told.errors[what] = self.told.errors.get(what, 0) + 1

    async def _by_sender(self, phone: str) -> None:
        arrival = self._sink.expect(phone)
        began = time.perf_counter()
        session_id = (await self._post("create", {"to": phone, "type": "sms"}, self.told.create))["session_id"]
        stream = await self._open(session_id)
        await arrival
        self.told.delivered.append(self._sink.arrived_at.pop(phone) - began)
        await self._check(session_id, stream)

    async def _by_bot(self, phone: str, person: int) -> None:
        created = await self._post("create", {"to": phone, "type": "telegram"}, self.told.create)
        session_id = created["session_id"]
        link = next(one["link"] for one in created["channels"] if one["type"] == "telegram")
        stream = await self._open(session_id)
        greeted = self._bot.written(person)
        self._bot.says(person, phone, {"text": f"/start {link.partition('?start=')[2]}"})
        await greeted
        contact = {"phone_number": phone[1:], "first_name": phone, "user_id": person}
        began = time.perf_counter()
        self._bot.says(person, phone, {"contact": contact})
        await stream.until(_is_active)
        self.told.activated.append(time.perf_counter() - began)
        await self._check(session_id, stream)

    async def _open(self, session_id: str) -> Stream:
        began = time.perf_counter()
        stream = await Stream().open(self._plan.live_port, session_id)
        self.told.opened.append(time.perf_counter() - began)
        return stream

    async def _check(self, session_id: str, stream: Stream) -> None:
        began = time.perf_counter()
        code = derive_code(_KEYS.first.code, session_id, DIGITS, 6)
        await self._post("check", {"session_id": session_id, "code": code}, self.told.check)
        await stream.until(lambda progress: progress["state"] == "used")
        self.told.used.append(time.perf_counter() - began)
        stream.close()

    async def _post(self, verb: str, fields: dict[str, Any], times: list[float]) -> dict[str, Any]:
        connection = self._idle() or await asyncio.open_connection("127.0.0.1", self._plan.port)
        began = time.perf_counter()
        answer = await post(*connection, verb, fields)
        times.append(time.perf_counter() - began)
        self._free.append(connection)
        return answer

    def _idle(self) -> Connection | None:
        """One that web has not closed: those that a busy moment needed may then wait for longer than it likes."""
        while self._free:
            connection = self._free.pop()
            if not connection[0].at_eof():
                return connection
            connection[1].close()
        return None


def _is_active(progress: dict[str, Any]) -> bool:
    return any(one["type"] == "telegram" and one["is_active"] for one in progress["channels"])


if __name__ == "__main__":
    told = asyncio.run(Crowd(msgspec.json.decode(sys.argv[1], type=Plan)).run())
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
