"""Updates by webhook: Telegram posts each to LIVE_URL/telegram/<bot id>, to whichever process the proxy chooses.

An update is answered with 200 once it is handled, so that Telegram keeps, and sends again, what a dying process
had in hand. Who knows the bot's secret is Telegram; nothing else is believed, and no address looked at.
"""

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiogram import Bot
from aiogram.exceptions import TelegramRetryAfter
from aiogram.methods import TelegramMethod
from aiohttp import web

from bot.handling import KINDS
from bot.serving import body_of
from gateway.audit import Ledger
from gateway.keyring import Keyring
from gateway.settings import Settings

if TYPE_CHECKING:
    from bot.bots import ServedBot

log = logging.getLogger(__name__)

PATH = "/telegram/{bot_id:[0-9]{1,16}}"
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name
LOOK_EVERY = 60.0  # seconds between two looks at whether the webhook is still ours, and what Telegram says of it


class Hooks:
    """Takes the updates of all bots of this process."""

    def __init__(self, of: Callable[[int], "ServedBot | None"], keyring: Keyring, audit: Ledger) -> None:
        self._of = of
        self._keyring = keyring
        self._audit = audit

    async def take(self, request: web.Request) -> web.Response:
        """`POST`: 401 or 404 for strangers, before anything is read; 503 where it shall come again."""
        bot_id = int(request.match_info["bot_id"])
        served = self._of(bot_id)
        if not self._keyring.is_webhook_secret(bot_id, request.headers.get(SECRET_HEADER, "")):
            self._audit.note("unknown", "bot.update", reason="WrongSecret")
            raise web.HTTPUnauthorized(text="This is for Telegram.")
        if served is None:
            raise web.HTTPNotFound(text="No such bot is here.")
        raw = _object(await body_of(request))
        update = served.handling.read(raw) if raw else None
        if update is None:
            return web.Response()
        handled = await served.handling.handle(update)
        if handled is None:
            raise web.HTTPServiceUnavailable(headers={"retry-after": "1"})
        return web.json_response(_call(served.bot, handled.last)) if handled.last else web.Response()


class Webhook:
    """One bot's webhook, as Telegram knows it."""

    def __init__(self, bot: Bot, keyring: Keyring, config: Settings) -> None:
        self._bot = bot
        self._secret = keyring.webhook_secret(bot.id)
        self._connections = config.webhook_connections
        self._url = f"{config.live_url}/telegram/{bot.id}"
        self._told = 0  # when the failure happened that was last told to the operator
        self.last_answer_at = -math.inf

    async def keep_set(self) -> None:
        """Set it, and set it again where somebody else did, until cancelled. What waits at Telegram is kept."""
        await self._set()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            info = await self._bot.get_webhook_info()
            self.last_answer_at = time.monotonic()
            if info.url != self._url:
                log.warning("bot %s: its webhook was changed or deleted, set again", self._bot.id)
                await self._set()
            failed_at = round(info.last_error_date.timestamp()) if info.last_error_date else 0
            if failed_at > self._told:
                self._told = failed_at
                waiting = info.pending_update_count
                log.warning("bot %s: Telegram says %s; %s wait", self._bot.id, info.last_error_message, waiting)

    async def _set(self) -> None:
        while True:
            try:
                await self._bot.set_webhook(
                    self._url,
                    secret_token=self._secret,
                    max_connections=self._connections,
                    allowed_updates=KINDS,
                    drop_pending_updates=False,
                )
            except TelegramRetryAfter as problem:  # another process has just done it: once a second is allowed
                await asyncio.sleep(problem.retry_after)
            else:
                self.last_answer_at = time.monotonic()
                return


def _object(body: bytes) -> dict[str, Any] | None:
    """The update as it was sent; None where it is no JSON object, nor will be the next time."""
    try:
        raw = json.loads(body)
    except ValueError:
        raw = None
    if isinstance(raw, dict):
        return raw
    log.warning("an update that is no JSON object is left out")
    return None


def _call(bot: Bot, method: TelegramMethod[Any]) -> dict[str, Any]:
    """A call of the Bot API for the answer to an update."""
    values = method.model_dump(warnings=False)
    prepared = {name: bot.session.prepare_value(value, bot=bot, files={}) for name, value in values.items()}
    return {
        "method": method.__api_method__,
        **{name: value for name, value in prepared.items() if value is not None},
    }
