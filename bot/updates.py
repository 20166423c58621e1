"""Taking updates from the Bot API by long polling, none lost and none handled twice.

aiogram's own polling confirms updates before they are handled, and one malformed update fails its whole
batch. Here an update is confirmed once it is handled (or shown to be hopeless), and each is parsed by itself.

What is confirmed is all before the first that a poll asks for. So while one is in hand, polls begin with it, and
what stands behind it comes again as well, done or not.
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
    TelegramConflictError,
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
AGAIN = 1.0  # seconds until what is in hand is asked for again, where nothing else came with it
FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 15.0
POLL_SLACK = 10  # seconds of the network on top of the long poll
_WEBHOOK = "webhook is active"  # in the 409 of a bot that has one; another says that somebody else polls, too


class GetRawUpdates(TelegramMethod[list[Any]]):
    """Bot API `getUpdates`, each update left unparsed."""

    __returning__ = list[Any]
    __api_method__ = "getUpdates"

    offset: int | None = None
    limit: int
    timeout: int = 0
    allowed_updates: list[str] = KINDS


class Poller:
    """Long polling of one bot."""

    def __init__(self, bot: Bot, handling: Handling, timeout: int) -> None:
        self._bot = bot
        self._handling = handling
        self._timeout = timeout
        self._last: dict[int, asyncio.Task[None]] = {}  # a chat's newest task, which its next one waits for
        self._in_hand: set[int] = set()  # the updates that are, and are not confirmed
        self._polled: set[int] = set()  # those that the last poll brought
        self.last_answer_at = -math.inf

    async def run(self) -> None:
        """Poll until cancelled; then give what is being handled a moment.

        A webhook that somebody else has set is deleted once it has been in the way for as long as the pauses take
        to grow: that of a process that is to take over from this one stays meanwhile.

        Raises `TelegramUnauthorizedError` once the token is no longer good.
        """
        offset = None  # what was not confirmed comes again, and whoever handled it has noted that
        backoff, in_the_way = FIRST_BACKOFF, False
        try:
            while True:
                try:
                    if in_the_way:
                        log.warning("bot %s: somebody has set a webhook, it is deleted", self._bot.id)
                        await self._bot.delete_webhook(drop_pending_updates=False)
                        in_the_way = False
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
                    in_the_way = backoff == LONGEST_BACKOFF and _is_webhook(problem)
                    continue
                if updates:
                    await self._handle_all(self._new(updates))
                    offset = self._next(updates)
        finally:
            if self._last:
                await asyncio.wait(self._last.values(), timeout=PATIENCE)

    async def _poll(self, offset: int | None) -> list[dict[str, Any]]:
        method = GetRawUpdates(offset=offset, limit=BATCH, timeout=self._timeout)
        updates = await self._bot(method, request_timeout=self._timeout + POLL_SLACK)
        self.last_answer_at = time.monotonic()
        usable = [update for update in updates if has_number(update)]
        if updates and not usable:  # nor can they be confirmed: they come again, until something else comes
            log.warning("bot %s: %s updates are none", self._bot.id, len(updates))
            await asyncio.sleep(FIRST_BACKOFF)
        return usable

    def _new(self, updates: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Without what came before, and is in hand or done."""
        known = self._in_hand | self._polled
        self._polled = {update["update_id"] for update in updates}
        return [update for update in updates if update["update_id"] not in known]

    def _next(self, updates: list[dict[str, Any]]) -> int:
        """With which update the next poll begins: the first in hand, else what follows.

        As many behind it as a poll brings would keep all others out. Then it is confirmed though it is in hand,
        unless it waits for the store, as all others would.
        """
        if len(updates) == BATCH and not self._handling.store_is_away:
            self._in_hand.clear()
        return min(self._in_hand, default=max(update["update_id"] for update in updates) + 1)

    async def _handle_all(self, updates: list[dict[str, Any]]) -> None:
        """Handle a batch: chats side by side, one chat's updates in order."""
        chats: dict[int, list[Update]] = {}
        for raw in updates:
            if update := self._handling.read(raw):
                chats.setdefault(_chat_of(update), []).append(update)
        tasks = [self._start(chat, some) for chat, some in chats.items()]
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE)
        elif self._last:
            await asyncio.wait(self._last.values(), timeout=AGAIN)

    def _start(self, chat: int, updates: list[Update]) -> asyncio.Task[None]:
        self._in_hand.update(update.update_id for update in updates)
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
            self._in_hand.discard(update.update_id)

    async def _handle_one(self, update: Update) -> None:
        """Until it is handled, or given up: time in which the store is away is not held against it."""
        clock = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(SLOWEST) as limit:
                while await self._handling.handle(update) is None:
                    if self._handling.store_is_away:
                        limit.reschedule(clock() + SLOWEST)
                    await asyncio.sleep(FIRST_BACKOFF)
        except TimeoutError:
            log.warning("update %s took too long, given up", update.update_id)
        except Exception:
            log.exception("update %s: a defect of ours", update.update_id)


def _said(problem: AiogramError) -> str:
    """What went wrong; an answer that makes no sense is not quoted, as it holds what people wrote."""
    return "it makes no sense" if isinstance(problem, ClientDecodeError) else str(problem)


def _is_webhook(problem: AiogramError) -> bool:
    return isinstance(problem, TelegramConflictError) and _WEBHOOK in problem.message


def _chat_of(update: Update) -> int:
    """Whose turn it is: a button's press waits for its chat, too, whose id is the person's."""
    if update.callback_query:
        return update.callback_query.from_user.id
    event = update.message or update.my_chat_member
    return event.chat.id if event else 0
