"""Taking updates from the Bot API by long polling, none lost and none handled twice.

aiogram's own polling confirms updates before they are handled, and one malformed update fails its whole
batch. Here an update is confirmed once it is handled (or shown to be hopeless), and each is parsed by itself.
"""

import asyncio
import logging
import math
import time
from typing import Any

from aiogram import Bot
from aiogram.exceptions import (
    AiogramError,
    ClientDecodeError,
    TelegramAPIError,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.methods import TelegramMethod
from aiogram.types import Update

from bot.handling import KINDS, Handling, has_number

log = logging.getLogger(__name__)

BATCH = 100  # the Bot API's own limit
PATIENCE = 2.0  # seconds a slow reply may hold the next poll; then it goes on beside it
SLOWEST = 60.0  # seconds after which an update is given up
FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 15.0
POLL_SLACK = 10  # seconds of the network on top of the long poll


class GetRawUpdates(TelegramMethod[list[Any]]):
    """Bot API `getUpdates`, each update left unparsed."""

    __returning__ = list[Any]
    __api_method__ = "getUpdates"

    offset: int | None = None
    limit: int = BATCH
    timeout: int = 0
    allowed_updates: list[str] = KINDS


class Poller:
    """Long polling of one bot."""

    def __init__(self, bot: Bot, handling: Handling, timeout: int) -> None:
        self._bot = bot
        self._handling = handling
        self._timeout = timeout
        self._last: dict[int, asyncio.Task[None]] = {}  # a chat's newest task, which its next one waits for
        self.last_answer_at = -math.inf

    async def run(self) -> None:
        """Poll until cancelled; then give what is being handled a moment.

        Raises `TelegramUnauthorizedError` once the token is no longer good.
        """
        offset = None  # what was not confirmed comes again, and whoever handled it has noted that
        backoff = FIRST_BACKOFF
        try:
            while True:
                try:
                    updates = await self._poll(offset)
                    backoff = FIRST_BACKOFF
                except TelegramRetryAfter as problem:
                    await asyncio.sleep(problem.retry_after)
                    continue
                except TelegramUnauthorizedError:
                    raise
                except (TelegramAPIError, ClientDecodeError) as problem:
                    log.warning(
                        "bot %s: the Bot API can't be polled, again in %.1f s: %s",
                        self._bot.id,
                        backoff,
                        _said(problem),
                    )
                    await asyncio.sleep(backoff)
                    backoff = min(LONGEST_BACKOFF, backoff * 2)
                    continue
                if updates:
                    await self._handle_all(updates)
                    offset = max(update["update_id"] for update in updates) + 1
        finally:
            if self._last:
                await asyncio.wait(self._last.values(), timeout=PATIENCE)

    async def _poll(self, offset: int | None) -> list[dict[str, Any]]:
        method = GetRawUpdates(offset=offset, timeout=self._timeout)
        updates = await self._bot(method, request_timeout=self._timeout + POLL_SLACK)
        self.last_answer_at = time.monotonic()
        usable = [update for update in updates if has_number(update)]
        if updates and not usable:  # nor can they be confirmed: they come again, until something else comes
            log.warning("bot %s: %s updates are none", self._bot.id, len(updates))
            await asyncio.sleep(FIRST_BACKOFF)
        return usable

    async def _handle_all(self, updates: list[dict[str, Any]]) -> None:
        """Handle a batch: chats side by side, one chat's updates in order."""
        chats: dict[int, list[Update]] = {}
        for raw in updates:
            if update := self._handling.read(raw):
                chats.setdefault(_chat_of(update), []).append(update)
        tasks = [self._start(chat, some) for chat, some in chats.items()]
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE)

    def _start(self, chat: int, updates: list[Update]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._handle(self._last.get(chat), updates))
        self._last[chat] = task

        def forget(done: asyncio.Task[None]) -> None:
            if self._last.get(chat) is done:
                del self._last[chat]

        task.add_done_callback(forget)
        return task

    async def _handle(self, before: asyncio.Task[None] | None, updates: list[Update]) -> None:
        if before:
            await asyncio.wait([before])
        for update in updates:
            await self._handle_one(update)

    async def _handle_one(self, update: Update) -> None:
        """Until it is handled: Telegram does not send again what is confirmed."""
        try:
            async with asyncio.timeout(SLOWEST):
                while await self._handling.handle(update) is None:
                    await asyncio.sleep(FIRST_BACKOFF)
        except TimeoutError:
            log.warning("update %s took too long, given up", update.update_id)


def _said(problem: AiogramError) -> str:
    """What went wrong; an answer that makes no sense is not quoted, as it holds what people wrote."""
    return "it makes no sense" if isinstance(problem, ClientDecodeError) else str(problem)


def _chat_of(update: Update) -> int:
    """Whose turn it is: a button's press waits for its chat, too, whose id is the person's."""
    if update.callback_query:
        return update.callback_query.from_user.id
    event = update.message or update.my_chat_member
    return event.chat.id if event else 0
