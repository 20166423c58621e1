"""Handling one bot's updates, each by one process and once, however it came and however often.

Telegram sends an update until it is confirmed, and a chat's next message only then: to a webhook, the queues of a
chat's messages, its presses and its membership go on side by side, each in order (tdlib/telegram-bot-api,
WebhookActor). So the order within a queue is Telegram's, over any number of processes, as long as an update is
confirmed after it is handled. Between the queues there is none, nor need there be: what decides is the store, and
every handler can run twice, or beside any other, without harm.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import msgspec
from aiogram import Bot, Dispatcher
from aiogram.methods import TelegramMethod
from aiogram.types import Update
from pydantic import ValidationError

from bot.talk import do
from gateway.local import LocalGateway
from gateway.settings import Settings
from gateway.store import Busy, Taken

log = logging.getLogger(__name__)

KINDS = ["message", "my_chat_member", "callback_query"]
LARGEST_ID = 2**53 - 1  # a JSON number beyond is no longer exact; Telegram's own have 31 bits
LEASE_SLACK = 5.0  # seconds on top of UPDATE_SECONDS, until another process takes a webhook's update over


class Handled(msgspec.Struct, frozen=True):
    """An update is done with. `last` is what remains to be said in the answer to a webhook: it may get lost."""

    last: TelegramMethod[Any] | None = None


class Handling:
    """Takes updates, hands them to the dispatcher and writes down that they are handled."""

    def __init__(self, bot: Bot, dispatcher: Dispatcher, gateway: LocalGateway, settings: Settings) -> None:
        self._answers = settings.telegram_mode == "webhook"
        self._bot = bot
        self._feed = cast(Callable[[Bot, Update], Awaitable[Any]], dispatcher.feed_update)
        self._store = gateway.store
        self._clock = gateway.clock
        self._metrics = gateway.metrics
        self._patience = settings.update_seconds
        self._lease = _lease(settings)
        self.store_is_away = False  # when it was last asked: then it is no update's own fault that it waits

    def read(self, raw: dict[str, Any]) -> Update | None:
        """The update; None where it is none that aiogram knows, or of a kind that nobody asked for.

        Nor one with half a surrogate pair, which can be read, and not sent back.

        Of kinds that it does not know aiogram warns in the log, with all that people wrote.
        """
        try:
            json.dumps(raw, ensure_ascii=False).encode()
            update = Update.model_validate(raw, context={"bot": self._bot})
        except (UnicodeEncodeError, ValidationError) as problem:
            why = problem.errors()[0]["loc"] if isinstance(problem, ValidationError) else problem.reason
            log.warning("update %s is malformed, left out: %s", raw.get("update_id"), why)
            return None
        wanted = has_number(raw) and any(getattr(update, kind) for kind in KINDS)
        return update if wanted else None

    async def handle(self, update: Update) -> Handled | None:
        """Handle it, unless that is done; None: not now, it must come again."""
        try:
            taken = await self._taken(update)
        except Busy as problem:
            self.store_is_away = True
            log.warning("the store is busy, update %s waits: %s", update.update_id, problem)
            return None
        self.store_is_away = False
        if taken == "taken":
            return await self._handle(update)
        return Handled() if taken == "done" else None

    async def _taken(self, update: Update) -> Taken:
        """A process that ends meanwhile gives it back."""
        taking = asyncio.ensure_future(self._store.aside(partial(self._take, update)))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            if await taking == "taken":
                await self._store.aside(partial(self._end, update, done=False))
            raise

    async def _handle(self, update: Update) -> Handled | None:
        handled, outcome, began = None, "again", time.perf_counter()
        try:
            async with asyncio.timeout(self._patience):
                result = await self._feed(self._bot, update)
                last = result if isinstance(result, TelegramMethod) else None
                if last and not self._answers:
                    await do(self._bot, last)
            handled, outcome = Handled(last if self._answers else None), "handled"
        except Busy as problem:
            log.warning("the store is busy, update %s waits: %s", update.update_id, problem)
        except TimeoutError:
            log.warning("update %s takes long, it is handled again", update.update_id)
        except Exception:
            log.exception("update %s: a defect of ours", update.update_id)
            handled, outcome = Handled(), "defect"
        finally:  # a process that ends gives back what it was at
            await self._store.aside(partial(self._end, update, done=handled is not None))
            self._metrics.update(outcome, time.perf_counter() - began)
        return handled

    def _take(self, update: Update) -> Taken:
        return self._store.take_update(self._bot.id, update.update_id, self._clock(), self._lease)

    def _end(self, update: Update, *, done: bool) -> None:
        try:
            self._store.end_update(self._bot.id, update.update_id, done)
        except Busy as problem:
            log.warning("update %s is not noted, its lease runs out: %s", update.update_id, problem)


def _lease(settings: Settings) -> int:
    """For how long, in ms, an update is its taker's, who may have died over it.

    Whoever polls is the only one who takes updates: once another may poll, the dead one's are free, too.
    """
    if settings.telegram_mode == "polling":
        return round(settings.poll_lease_seconds * 1000)
    return round((settings.update_seconds + LEASE_SLACK) * 1000)


def has_number(raw: object) -> bool:
    """Whether an update has a number by which it can be confirmed, and noted."""
    number = raw.get("update_id") if isinstance(raw, dict) else None
    return type(number) is int and 0 <= number <= LARGEST_ID
