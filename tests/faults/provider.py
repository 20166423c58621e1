"""The operator's SMS sender: takes codes, names them, and is away, slow or rude when told to."""

import asyncio
import json
import time
from collections import defaultdict
from typing import Literal

Mood = Literal["well", "busy", "slow", "rude"]
WELL = 0.2  # seconds, as real ones take: what goes wrong meanwhile finds messages on their way
SLOW = 0.8  # within PROVIDER_TIMEOUT_SECONDS
_ANSWER = b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n%s"
_IS_JSON = b"content-type: application/json\r\n"


class Sender:
    """`taken`: when it said yes to which message; `to`: its phone; `lose`: so many it loses, in spite of it."""

    def __init__(self, lose: int = 0) -> None:
        self._lose = lose
        self.mood: Mood = "well"
        self.taken: dict[int, list[float]] = defaultdict(list)
        self.to: dict[int, str] = {}
        self.refused = 0
        self._codes: dict[str, list[str]] = defaultdict(list)
        self._news: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)

    async def newer(self, phone: str, seen: int, within: float) -> list[str]:
        """All codes of a phone as soon as there are more than `seen`; raises `TimeoutError`."""
        async with asyncio.timeout(within):
            while len(self._codes[phone]) <= seen:
                self._news[phone].clear()
                await self._news[phone].wait()
        return self._codes[phone]

    def seen(self, phone: str) -> int:
        return len(self._codes[phone])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.lower().split(b"\r\n")
                length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
                body = json.loads(await reader.readexactly(length))
                if self.mood == "rude":
                    self.refused += 1
                    writer.transport.abort()
                    return
                if self.mood == "busy":
                    self.refused += 1
                    writer.write(_ANSWER % (b"503 Service Unavailable", b"retry-after: 1\r\n", 0, b""))
                    continue
                await asyncio.sleep(SLOW if self.mood == "slow" else WELL)
                self._take(body)
                name = b'{"id":"%d"}' % int(body["message_id"])
                writer.write(_ANSWER % (b"200 OK", _IS_JSON, len(name), name))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # a bot that is killed breaks its connections off
        finally:
            writer.close()

    def _take(self, body: dict[str, str]) -> None:
        if self._lose:
            self._lose -= 1
            return
        self.taken[int(body["message_id"])].append(time.monotonic())
        self.to[int(body["message_id"])] = body["to"]
        self._codes[body["to"]].append(body["code"])
        self._news[body["to"]].set()
