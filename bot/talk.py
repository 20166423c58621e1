"""Saying something in a chat: patient with a slow or busy Bot API, and never in the way of what matters."""

import asyncio
import logging

from aiogram import Bot
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.types import ReplyMarkupUnion

log = logging.getLogger(__name__)

FIRST_RETRY = 0.5
LONGEST_RETRY = 10.0


async def say(bot: Bot, chat_id: int, text: str, markup: ReplyMarkupUnion | None = None) -> None:
    """Send a text, trying until it arrives or its update is given up (see `bot.updates.SLOWEST`)."""
    wait = FIRST_RETRY
    while True:
        try:
            await bot.send_message(chat_id, text, reply_markup=markup)
        except TelegramRetryAfter as problem:
            await asyncio.sleep(problem.retry_after)
        except (TelegramNetworkError, TelegramServerError) as problem:
            log.info("the Bot API is away (%s), said again in %.1f s", type(problem).__name__, wait)
            await asyncio.sleep(wait)
            wait = min(LONGEST_RETRY, wait * 2)
        except TelegramForbiddenError:
            return  # blocked meanwhile: its own update says so
        except TelegramAPIError as problem:
            log.warning("could not be said: %s", problem)
            return
        else:
            return
