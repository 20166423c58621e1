"""Talking in a chat: patient with a slow or busy Bot API, and never in the way of what matters.

What a login hinges on is said by `do`, which tries until it arrives. What is merely kind, a handler returns: it is
said last, and by a webhook in its answer, which saves a request and may get lost.
"""

import asyncio
import logging
from typing import Any

from aiogram import Bot
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import (
    AnswerCallbackQuery,
    EditMessageReplyMarkup,
    EditMessageText,
    SendMessage,
    TelegramMethod,
)
from aiogram.methods.base import Response
from aiogram.types import InlineKeyboardMarkup, Message, ReplyMarkupUnion, Update

from gateway.lean_aiogram import make
from gateway.providers.telegram import was_done

log = logging.getLogger(__name__)

FIRST_RETRY = 0.5
LONGEST_RETRY = 10.0
_KEPT = (Response[Message], Response[Message | bool], Response[bool])  # made anew by aiogram, if nobody keeps them
make(Update, SendMessage, AnswerCallbackQuery, EditMessageText, EditMessageReplyMarkup, *_KEPT)
_HARMLESS = ("message is not modified", "query is too old", "message to edit not found")


def text(chat_id: int, words: str, markup: ReplyMarkupUnion | None = None) -> SendMessage:
    """A message in a chat."""
    return SendMessage(chat_id=chat_id, text=words, reply_markup=markup)


def toast(query_id: str, words: str, *, alert: bool = False) -> AnswerCallbackQuery:
    """Ends the wait of whoever pressed a button, with up to 200 characters. `alert` stays until it is read."""
    return AnswerCallbackQuery(callback_query_id=query_id, text=words, show_alert=alert)


def rewrite(message: Message, words: str) -> EditMessageText:
    """Puts a text in the place of a message and its buttons."""
    return EditMessageText(text=words, chat_id=message.chat.id, message_id=message.message_id)


def rebutton(message: Message, markup: InlineKeyboardMarkup | None) -> EditMessageReplyMarkup:
    """Gives a message other buttons, or none."""
    return EditMessageReplyMarkup(chat_id=message.chat.id, message_id=message.message_id, reply_markup=markup)


async def do(bot: Bot, method: TelegramMethod[Any]) -> None:
    """Call the Bot API until it has taken this, or its update is given up (see `bot.handling`)."""
    wait = FIRST_RETRY
    while True:
        try:
            await bot(method)
        except TelegramRetryAfter as problem:
            await asyncio.sleep(problem.retry_after)
        except (TelegramNetworkError, TelegramServerError) as problem:
            log.info("the Bot API is away (%s), said again in %.1f s", type(problem).__name__, wait)
            await asyncio.sleep(wait)
            wait = min(LONGEST_RETRY, wait * 2)
        except ClientDecodeError as problem:
            if was_done(problem):
                return
            log.info("the Bot API made no sense, said again in %.1f s", wait)
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
