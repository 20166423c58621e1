"""What the bot does when a button below a code is pressed: one tap, and `It wasn't me`.

The store decides, once; here it is only told. A press can come twice, from a message of another day, or from a
program that makes up what buttons carry: of whatever is not the pressing chat's own open login the same is said.
"""

import logging
from functools import partial
from typing import Any

from aiogram import Bot, Router
from aiogram.enums import ChatType
from aiogram.methods import TelegramMethod
from aiogram.types import CallbackQuery, InaccessibleMessage, InlineKeyboardMarkup, Message

from bot.talk import do, rebutton, rewrite, toast
from gateway.i18n import N_, pick_language, translate
from gateway.local import LocalGateway
from gateway.render import render_bot_text
from gateway.tap import Press, read_press
from gateway.verbs import Picked

log = logging.getLogger(__name__)

# Said at once, over the chat; no more than 200 characters in any language (Bot API: answerCallbackQuery).
TOASTS = {
    "approved": N_("Confirmed: go back to the page."),
    "wrong": N_("That is not the number on the page: this login is closed."),
    "denied": N_("This login is closed. Nobody got in."),
    "joined": N_("Another device asked for a code as well. If that is you, type the code on the page instead."),
    "over": N_("This login is over. If you are logging in, start again on the page."),
}


class Taps:
    """The bot's side of one tap, on one gateway."""

    def __init__(self, gateway: LocalGateway) -> None:
        self._gateway = gateway

    def router(self) -> Router:
        """The handlers, in the order they are tried."""
        router = Router()
        router.callback_query.register(self.pressed, _is_private)
        router.callback_query.register(self.pressed_elsewhere)
        return router

    async def pressed(self, query: CallbackQuery, bot: Bot) -> TelegramMethod[Any] | None:
        """A button in a private chat, whose id is the person's own; how its message is to look."""
        lang = pick_language(query.from_user.language_code)
        press = read_press(query.data)
        assert query.message is not None  # noqa: S101 - the filter's promise
        outcome = "over"
        if press and query.message.chat.id == query.from_user.id:
            decide = partial(self._decide, bot.id, query.message.chat.id, press)
            outcome = await self._gateway.aside(decide)
        log.info("bot %s: a press, %s", bot.id, outcome)
        # What can't be rewritten is said so that it stays.
        lasts = outcome in ("joined", "over") or isinstance(query.message, InaccessibleMessage)
        await do(bot, toast(query.id, translate(lang, TOASTS[outcome]), alert=lasts))
        return _settled(query.message, outcome, lang) if isinstance(query.message, Message) else None

    async def pressed_elsewhere(self, query: CallbackQuery) -> TelegramMethod[Any]:
        """No message of ours stands in a group or an inline result."""
        return toast(query.id, translate(pick_language(query.from_user.language_code), TOASTS["over"]))

    def _decide(self, bot_id: int, chat_id: int, press: Press) -> str | Picked:
        if press.number is None:
            return "denied" if self._gateway.deny(bot_id, chat_id, press.session_id) else "over"
        return self._gateway.pick(bot_id, chat_id, press.session_id, press.number)


async def _is_private(query: CallbackQuery) -> bool:
    return query.message is not None and query.message.chat.type == ChatType.PRIVATE


def _settled(message: Message, outcome: str, lang: str) -> TelegramMethod[Any]:
    """Leave no button that does nothing.

    A login that is over keeps its text: a second press, right behind the first, finds what that one wrote.
    """
    if outcome == "over":
        return rebutton(message, None)
    if outcome == "joined":
        return rebutton(message, _without_numbers(message.reply_markup))
    return rewrite(message, render_bot_text(outcome, lang))


def _without_numbers(markup: InlineKeyboardMarkup | None) -> InlineKeyboardMarkup | None:
    """The login goes on by its code, which can still be copied, and still be denied."""
    rows = [] if markup is None else [row for row in markup.inline_keyboard if not any(map(_is_number, row))]
    return InlineKeyboardMarkup(inline_keyboard=rows) if rows else None


def _is_number(button: object) -> bool:
    press = read_press(getattr(button, "callback_data", None))
    return press is not None and press.number is not None
