"""Telegram: the code goes to the chat that proved its phone, by the project's own bot (Bot API: sendMessage)."""

import asyncio
from collections.abc import Awaitable, Callable

from aiogram import Bot
from aiogram.exceptions import (
    AiogramError,
    ClientDecodeError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.types import CopyTextButton, InlineKeyboardButton, InlineKeyboardMarkup

from gateway.i18n import N_, translate
from gateway.providers import Message, PermanentError, Receipt, TransientError
from gateway.providers.calls import wait_of
from gateway.store import Busy
from gateway.tap import deny_data, tap_data

MESSAGES_A_SECOND = 30  # Telegram's limit for one bot ("Broadcasting to users" in its FAQ)


class Pace:
    """A bot's turns: so many a second, and none where there is to be rest.

    Telegram limits what a bot says in one chat, too, and does not tell which limit was reached. So a refusal is
    its chat's alone until another chat is refused before anything is taken: else one person whom the bot has to
    answer too often would keep everybody's codes.
    """

    def __init__(self, a_second: float, patience: float) -> None:
        self._gap = 1 / a_second
        self._patience = patience
        self._next = 0.0
        self._rest = 0.0  # until when, for all
        self._rests: dict[int, float] = {}  # the same, by chat
        self._refused: dict[int, float] = {}  # the same, of those refused since a message was taken

    async def turn(self, chat_id: int) -> None:
        """Wait for the next turn in this chat. A turn not taken is saved for up to a second.

        Raises `TransientError` where that is too far away: who waits here holds one of the channel's calls. Half
        of its time is for the call itself, unless it only stands in a queue.
        """
        now = asyncio.get_running_loop().time()
        rest = max(self._rest, self._rests.get(chat_id, 0.0))
        turn = max(self._next, now - 1, self._rest) + self._gap
        wait = max(turn, rest) - now
        if rest - now > self._patience / 2 or wait > self._patience:
            raise TransientError("the bot has to wait", wait)
        self._next = turn
        if wait > 0:
            await asyncio.sleep(wait)

    def refused(self, chat_id: int, seconds: float) -> None:
        """No turn in this chat for so long; nor in any, while another is refused as well."""
        now = asyncio.get_running_loop().time()
        self._rests = {chat: ends for chat, ends in self._rests.items() if ends > now}
        self._rests[chat_id] = self._refused[chat_id] = now + seconds
        if len(self._refused) > 1:
            self._rest = max(self._rest, sorted(self._refused.values())[-2])

    def taken(self) -> None:
        """A message was: so it is not the bot that is refused."""
        self._refused.clear()


class TelegramProvider:
    """See `gateway.providers.Provider`.

    `bot_of` finds a project's bot by the project's id, None while it has none at work. `on_blocked` is told each
    bot's id and chat that this bot may not write to; it may raise `Busy`.
    """

    def __init__(
        self,
        bot_of: Callable[[int], Bot | None],
        timeout: float,
        on_blocked: Callable[[int, int], Awaitable[None]],
    ) -> None:
        self._bot_of = bot_of
        self._timeout = timeout
        self._on_blocked = on_blocked
        self._paces: dict[int, Pace] = {}

    async def send(self, message: Message) -> Receipt:
        if message.chat_id is None:
            raise PermanentError("the bot is not activated")
        bot = self._bot_of(message.project_id)
        if bot is None:
            raise TransientError("the project's bot is not at work")
        pace = self._paces.setdefault(bot.id, Pace(MESSAGES_A_SECOND, self._timeout))
        await pace.turn(message.chat_id)
        try:
            await bot.send_message(
                message.chat_id,
                message.text,
                reply_markup=_buttons(message),
                request_timeout=max(1, round(self._timeout)),
            )
        except TelegramRetryAfter as problem:
            wait = wait_of(problem.retry_after)
            pace.refused(message.chat_id, wait or 0)
            raise TransientError("Telegram asked to wait", wait) from None
        except TelegramForbiddenError:
            try:
                await self._on_blocked(bot.id, message.chat_id)
            except Busy as busy:
                raise TransientError(f"the user has blocked the bot, and the store is busy: {busy}") from None
            raise PermanentError("the user has blocked the bot") from None
        except TelegramBadRequest as problem:
            raise PermanentError(f"Telegram refused: {problem.message}") from None
        except (TelegramUnauthorizedError, TelegramNotFound):  # a chat that is not found is a bad request
            raise TransientError("Telegram does not know the token of the project's bot") from None
        except AiogramError as problem:
            if not (isinstance(problem, ClientDecodeError) and was_done(problem)):
                raise TransientError(f"Telegram: {type(problem).__name__}") from None
        pace.taken()
        # Without a reference: bots report nothing, and the channel's other provider would be told of the ending.
        return Receipt(tap=bool(message.numbers))

    async def check(self) -> str:
        """The bots have a process of their own that says how they are."""
        return "by the projects' bots"

    async def close(self) -> None:
        """The bots' sessions are their process's to close."""


def was_done(problem: ClientDecodeError) -> bool:
    """Whether the call was carried out, and only its answer is of a kind that nobody here knows.

    The problem's own text quotes that answer, and so what was sent: it must not be logged.
    """
    return isinstance(problem.data, dict) and problem.data.get("ok") is True


def _buttons(message: Message) -> InlineKeyboardMarkup:
    """One tap's numbers, and a way to say no, where it is offered; the code to copy, always."""
    rows = []
    if message.numbers:
        denial = translate(message.lang, N_("It wasn’t me"))
        rows.append([_button(str(number), tap_data(message.session_id, number)) for number in message.numbers])
        rows.append([_button(denial, deny_data(message.session_id), "danger")])
    text = translate(message.lang, N_("Copy %(code)s"), code=message.code)
    rows.append([InlineKeyboardButton(text=text, copy_text=CopyTextButton(text=message.code))])
    return InlineKeyboardMarkup(inline_keyboard=rows)


def _button(text: str, data: str, style: str | None = None) -> InlineKeyboardButton:
    return InlineKeyboardButton(text=text, callback_data=data, style=style)
