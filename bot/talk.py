"""Talking in a chat: patient with a slow or busy Bot API, and never in the way of what matters."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiogram import Bot
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.types import InlineKeyboardMarkup, Message, ReplyMarkupUnion

log = logging.getLogger(__name__)

FIRST_RETRY = 0.5
LONGEST_RETRY = 10.0
_HARMLESS = ("message is not modified", "query is too old", "message to edit not found")


async def say(bot: Bot, chat_id: int, text: str, markup: ReplyMarkupUnion | None = None) -> None:
    """Send a text, trying until it arrives or its update is given up (see `bot.updates.SLOWEST`)."""
    await _patiently(lambda: bot.send_message(chat_id, text, reply_markup=markup))


async def answer(bot: Bot, query_id: str, text: str, *, alert: bool = False) -> None:
    """End the wait of whoever pressed a button, with up to 200 characters. `alert` stays until it is read."""
    await _patiently(lambda: bot.answer_callback_query(query_id, text, show_alert=alert))


async def rewrite(message: Message, bot: Bot, text: str) -> None:
    """Put a text in the place of a message and its buttons."""
    await _patiently(lambda: bot.edit_message_text(text, chat_id=message.chat.id, message_id=message.message_id))


async def rebutton(message: Message, bot: Bot, markup: InlineKeyboardMarkup | None) -> None:
    """Give a message other buttons, or none."""
    chat_id, message_id = message.chat.id, message.message_id
    await _patiently(
        lambda: bot.edit_message_reply_markup(chat_id=chat_id, message_id=message_id, reply_markup=markup)
    )


async def _patiently(call: Callable[[], Awaitable[object]]) -> None:
    wait = FIRST_RETRY
    while True:
        try:
            await call()
        except TelegramRetryAfter as problem:
            await asyncio.sleep(problem.retry_after)
        except (TelegramNetworkError, TelegramServerError) as problem:
            log.info("the Bot API is away (%s), said again in %.1f s", type(problem).__name__, wait)
            await asyncio.sleep(wait)
            wait = min(LONGEST_RETRY, wait * 2)
        except TelegramForbiddenError:
            return  # blocked meanwhile: its own update says so
        except TelegramBadRequest as problem:
            if not any(
                words in problem.message for words in _HARMLESS
            ):  # said twice, or too late: as good as said
                log.warning("could not be said: %s", problem)
            return
        except TelegramAPIError as problem:
            log.warning("could not be said: %s", problem)
            return
        else:
            return
