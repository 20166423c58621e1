"""Delivery to a webhook, as Telegram's own server does it (tdlib/telegram-bot-api, WebhookActor).

Updates stand in queues: a chat's messages, a person's presses, a chat's membership. A queue's next update is sent
when the one before it was answered with 2xx; the queues go on side by side, over `max_connections` at most.
After a failure an update is sent again at once, then after 2 s, doubling to a minute or two, or by `Retry-After`.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from sandbox.bots import Bot, Execute, Json, Webhook

_LONGEST_RETRY = 60
_LONGEST_WISH = 3600  # of Retry-After
_NEVER_IN_ANSWERS = ("get", "setwebhook", "deletewebhook", "close", "logout")


class _Failed(Exception):
    def __init__(self, text: str, retry_after: int = 0) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class Delivery:
    """The deliveries of one bot, for as long as its webhook stays as it is."""

    def __init__(self, bot: Bot, webhook: Webhook, session: aiohttp.ClientSession, execute: Execute) -> None:
        self._bot = bot
        self._webhook = webhook
        self._session = session
        self._execute = execute
        self._sending: dict[object, asyncio.Task[None]] = {}  # by queue
        self._failures: dict[int, tuple[int, float]] = {}  # of an update: how many, and when it is sent again
        self._wake = asyncio.Event()

    async def run(self) -> None:
        try:
            while True:
                self._wake.clear()
                soonest = self._send()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken(), soonest)
        finally:
            for task in self._sending.values():
                task.cancel()

    async def _woken(self) -> None:
        """Until an update came, or was answered."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._wake, self._bot.arrived)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _send(self) -> float | None:
        """Send the first of each queue, as far as there are connections; after how many seconds to look again."""
        self._bot.arrived.clear()
        looked_at: set[object] = set()
        soonest: float | None = None
        for number, update in self._bot.updates:
            queue = _queue_of(number, update)
            if queue in looked_at or queue in self._sending:
                continue
            looked_at.add(queue)
            wait = self._failures.get(number, (0, 0.0))[1] - time.monotonic()
            if wait > 0:
                soonest = wait if soonest is None else min(soonest, wait)
            elif len(self._sending) < self._webhook.max_connections:
                self._sending[queue] = asyncio.create_task(self._deliver(queue, number, update))
        return soonest

    async def _deliver(self, queue: object, number: int, update: Any) -> None:
        try:
            answer = await self._post(update)
        except (_Failed, aiohttp.ClientError, OSError, TimeoutError) as problem:
            self._note_failure(number, problem)
        else:
            self._failures.pop(number, None)
            self._bot.forget(number)
            method = answer.pop("method", None)
            if isinstance(method, str) and not method.lower().startswith(_NEVER_IN_ANSWERS):
                await self._execute(self._bot, method, answer)
        finally:
            if self._sending.get(queue) is asyncio.current_task():
                del self._sending[queue]
            self._wake.set()

    def _note_failure(self, number: int, problem: Exception) -> None:
        self._webhook.last_error_date = int(time.time())
        self._webhook.last_error_message = str(problem) or type(problem).__name__
        failures = self._failures.get(number, (0, 0.0))[0]
        wait = min(problem.retry_after, _LONGEST_WISH) if isinstance(problem, _Failed) else 0
        if not wait and failures:
            wait = min(2**failures, random.randint(_LONGEST_RETRY, 2 * _LONGEST_RETRY))  # noqa: S311
        self._failures[number] = (failures + 1, time.monotonic() + wait)

    async def _post(self, update: Any) -> Json:
        """One delivery; the method call in its answer, if there is one."""
        secret = self._webhook.secret_token
        headers = {"X-Telegram-Bot-Api-Secret-Token": secret} if secret else {}
        async with self._session.post(self._webhook.url, json=update, headers=headers) as response:
            if not 200 <= response.status < 300:
                wish = response.headers.get("retry-after", "")
                raise _Failed(
                    f"Wrong response from the webhook: {response.status} {response.reason}",
                    int(wish) if wish.isascii() and wish.isdecimal() else 0,
                )
            if response.content_type.startswith("multipart/"):
                answer: Json = {}
                async for part in aiohttp.MultipartReader.from_response(response):
                    if isinstance(part, aiohttp.BodyPartReader) and part.name:
                        answer[part.name] = await part.text()
                return answer
            with suppress(ValueError):
                body = json.loads(await response.read() or b"{}")
                return body if isinstance(body, dict) else {}
            return {}


def _queue_of(number: int, update: Any) -> object:
    """What an update waits for; one of an unknown kind waits for nothing."""
    with suppress(KeyError, TypeError):
        for kind, whose in (("message", "chat"), ("callback_query", "from"), ("my_chat_member", "chat")):
            if kind in update:
                return kind, update[kind][whose]["id"]
    return number
