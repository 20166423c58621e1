"""A Bot API that costs next to nothing, so that the machine measures the bot: what Kodgate calls, and no more."""

import asyncio
import itertools
from collections import deque
from typing import Any

import msgspec
from aiohttp import web

BOT_ID = 7
TOKEN = f"{BOT_ID}:bench"
NAME = "kodgate_bench_bot"
MOST = 100


class BotApi:
    """One bot's: updates go out by long polling, what the bot writes in a chat is waited for with `written`."""

    def __init__(self) -> None:
        self._updates: deque[dict[str, Any]] = deque()
        self._arrived = asyncio.Event()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[None]] = {}

    async def serve(self, port: int) -> web.AppRunner:
        """Until the runner is cleaned up."""
        app = web.Application()
        app.router.add_post("/bot{token}/{method}", self._called)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return runner

    def says(self, person: int, phone: str, what: dict[str, Any]) -> None:
        """A person writes to the bot."""
        number = next(self._numbers)
        sender = {"id": person, "is_bot": False, "first_name": phone, "language_code": "en"}
        chat = {"id": person, "type": "private", "first_name": phone}
        message = {"message_id": number, "date": 1_700_000_000, "chat": chat, "from": sender, **what}
        self._updates.append({"update_id": number, "message": message})
        self._arrived.set()

    def written(self, person: int) -> asyncio.Future[None]:
        """Done once the bot has written to this person again."""
        self._waiting[person] = asyncio.get_running_loop().create_future()
        return self._waiting[person]

    async def _called(self, request: web.Request) -> web.Response:
        values = await _values(request)
        method = request.match_info["method"].lower()
        result: Any = True
        if method == "getme":
            result = {"id": BOT_ID, "is_bot": True, "first_name": "Bench", "username": NAME}
        elif method == "getupdates":
            result = await self._next(int(values.get("offset") or 0), float(values.get("timeout") or 0))
        elif method == "sendmessage":
            result = self._sent(int(values["chat_id"]), str(values["text"]))
        body = msgspec.json.encode({"ok": True, "result": result})
        return web.Response(body=body, content_type="application/json")

    async def _next(self, offset: int, timeout: float) -> list[dict[str, Any]]:
        while self._updates and self._updates[0]["update_id"] < offset:
            self._updates.popleft()
        if not self._updates:
            self._arrived.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._arrived.wait()
            except TimeoutError:
                return []
        return list(itertools.islice(self._updates, MOST))

    def _sent(self, person: int, text: str) -> dict[str, Any]:
        waiting = self._waiting.get(person)
        if waiting and not waiting.done():
            waiting.set_result(None)
        chat = {"id": person, "type": "private"}
        return {"message_id": next(self._numbers), "date": 1_700_000_000, "chat": chat, "text": text}


async def _values(request: web.Request) -> dict[str, Any]:
    if request.content_type == "application/json":
        values: dict[str, Any] = await request.json()
        return values
    return dict(await request.post())
