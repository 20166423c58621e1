"""What the bot does when a person writes: activation, by deep link and contact, and its end.

Only private chats count, and only the sender's own contact. What decides is the store: every handler can run
twice for the same update without harm, and an update may be any process's. What a login hinges on is said with
`do`; what a handler returns is said last (bot.talk).
"""

import logging
from functools import partial
from typing import Any

from aiogram import Bot, Router
from aiogram.enums import ChatMemberStatus, ChatType
from aiogram.filters import Command, CommandObject, CommandStart
from aiogram.methods import TelegramMethod
from aiogram.types import ChatMemberUpdated, KeyboardButton, Message, ReplyKeyboardMarkup, ReplyKeyboardRemove

from bot.talk import do, text
from gateway.channels import Channel
from gateway.contact import Contact, parse_telegram_phone
from gateway.errors import BadRequest, GatewayError, SessionExpired, TooOften, TooSoon
from gateway.i18n import DEFAULT_LANGUAGE, N_, pick_language, translate, wished_language
from gateway.local import LocalGateway
from gateway.place import place_name
from gateway.render import render_bot_text
from gateway.verbs import Caller, ExpectedLogin, LinkedSession

log = logging.getLogger(__name__)

_SECOND_HAND = (  # `forward_date`: of a Bot API server from before 7.0, which has no `forward_origin`
    "forward_origin",
    "forward_date",
    "via_bot",
    "sender_chat",
    "sender_business_bot",
    "business_connection_id",
    "edit_date",
)


class Conversations:
    """The bot's side of activation, on one gateway."""

    def __init__(self, gateway: LocalGateway) -> None:
        self._gateway = gateway
        self._aside = gateway.aside

    def router(self) -> Router:
        """The handlers, in the order they are tried."""
        router = Router()
        router.my_chat_member.register(self.membership_changed, _is_private)
        router.message.filter(_is_private)
        router.message.register(self.started, CommandStart())
        router.message.register(self.stopped, Command("stop"))
        router.message.register(self.helped, Command("help"))
        router.message.register(self.contact_shared, _is_contact)
        router.message.register(self.helped)
        return router

    async def started(self, message: Message, command: CommandObject, bot: Bot) -> TelegramMethod[Any] | None:
        """`/start`, with the deep link's payload or alone."""
        chat_id = message.chat.id
        if not command.args:
            lang = await self._language(message, bot)
            return await self._aside(partial(self._start_alone, chat_id, bot, lang))
        try:
            session = await self._aside(partial(self._gateway.linked_session, bot.id, command.args))
        except SessionExpired:
            lang = await self._language(message, bot)
            return text(chat_id, render_bot_text("expired", lang, site=await self._site(bot)))
        lang = pick_language(_wish(message), session.lang)
        if session.chat_id == chat_id:
            words = await self._aside(partial(self._send_at_once, session, bot, chat_id, lang))
            if words is not None:
                return text(chat_id, words) if words else None
        await self._aside(partial(self._gateway.expect, bot.id, chat_id, session))
        greeting = render_bot_text(
            "greeting",
            lang,
            site=session.project.settings.name,
            browser=session.browser,
            place=place_name(session.place, lang),
            mask=session.contact.mask,
        )
        await do(bot, text(chat_id, greeting, _contact_button(lang)))
        return None

    async def contact_shared(self, message: Message, bot: Bot) -> TelegramMethod[Any]:
        """A contact: the sender's own activates, any other is explained away."""
        lang, chat_id = await self._language(message, bot), message.chat.id
        if not _is_own_contact(message):
            self._gateway.audit.note("telegram", "bot.contact", reason="not the sender's own")
            return text(chat_id, render_bot_text("foreign_contact", lang), _contact_button(lang))
        assert message.contact is not None  # noqa: S101 - the filter's promise
        try:
            phone = parse_telegram_phone(message.contact.phone_number)
        except BadRequest:
            self._gateway.audit.note("telegram", "bot.contact", reason="not a phone")
            return text(chat_id, render_bot_text("strange_number", lang), ReplyKeyboardRemove())
        try:
            return await self._aside(partial(self._connect, bot, chat_id, lang, phone, message.message_id))
        except TooOften as refusal:
            return text(chat_id, refusal.text(lang), ReplyKeyboardRemove())

    async def stopped(self, message: Message, bot: Bot) -> TelegramMethod[Any]:
        """`/stop`: no more codes here."""
        await self._aside(partial(self._gateway.deactivate, bot.id, message.chat.id))
        words = render_bot_text("stopped", await self._language(message, bot), site=await self._site(bot))
        return text(message.chat.id, words, ReplyKeyboardRemove())

    async def helped(self, message: Message, bot: Bot) -> TelegramMethod[Any]:
        """`/help`, and whatever else is written."""
        words = render_bot_text("help", await self._language(message, bot), site=await self._site(bot))
        return text(message.chat.id, words)

    async def membership_changed(self, update: ChatMemberUpdated, bot: Bot) -> None:
        """The user blocked the bot, or let it back in."""
        if update.new_chat_member.status in (ChatMemberStatus.KICKED, ChatMemberStatus.LEFT):
            await self._aside(partial(self._gateway.deactivate, bot.id, update.chat.id))
        else:
            await self._aside(partial(self._gateway.reactivate, bot.id, update.chat.id))

    def _start_alone(self, chat_id: int, bot: Bot, lang: str) -> TelegramMethod[Any]:
        site = self._site_of(bot)
        self._gateway.expect(bot.id, chat_id, None)
        if self._gateway.reactivate(bot.id, chat_id) is not None:
            return text(chat_id, render_bot_text("welcome_back", lang, site=site))
        return text(chat_id, render_bot_text("welcome", lang, site=site), _contact_button(lang))

    def _send_at_once(self, session: LinkedSession, bot: Bot, chat_id: int, lang: str) -> str | None:
        """The phone behind the link is this chat's: let a parked code go, or send one.

        Returns why none comes, empty where one does; None where it is the chat's at a bot that the project had.
        """
        released = self._gateway.reactivate(bot.id, chat_id)
        if released is None:
            return None
        if released:
            return ""
        try:
            caller = Caller(session.project, lang=session.lang, telegram=True)
            self._gateway.send(caller, session.id, Channel.TELEGRAM)
        except SessionExpired:  # since the link was looked at
            return render_bot_text("expired", lang, site=self._site_of(bot))
        except GatewayError as refusal:
            log.info("deep link of a known chat: %s", refusal.sys_message)
            was_sent = isinstance(refusal, TooSoon) and not isinstance(refusal, TooOften)
            return render_bot_text("already_sent", lang) if was_sent else refusal.text(lang)
        return ""

    def _connect(self, bot: Bot, chat_id: int, lang: str, phone: Contact, message_id: int) -> TelegramMethod[Any]:
        """Raises `TooOften`."""
        expected, released = self._activate(bot.id, chat_id, phone, message_id)
        return self._confirmation(bot, chat_id, lang, phone, expected, released)

    def _activate(
        self, bot_id: int, chat_id: int, phone: Contact, message_id: int
    ) -> tuple[ExpectedLogin | None, int]:
        """Which login it was for, and how many codes wait no longer. Raises `TooOften`."""
        expected = self._gateway.expected(bot_id, chat_id, message_id)
        released = 0
        for project in self._gateway.projects.by_bot(bot_id):
            if expected is None or expected.project.id == project.id:
                activation = self._gateway.activate(
                    project, phone, bot_id=bot_id, chat_id=chat_id, user_id=chat_id
                )
                released += activation.released
        if expected:
            self._gateway.met(bot_id, chat_id, expected, message_id)
        return expected, released

    def _confirmation(
        self, bot: Bot, chat_id: int, lang: str, phone: Contact, login: ExpectedLogin | None, released: int
    ) -> TelegramMethod[Any]:
        if login and login.contact and login.contact != phone:
            self._gateway.audit.note(
                "telegram",
                "bot.contact",
                login.project.id,
                login.session_id,
                reason="another number than the login's",
            )
            words = render_bot_text("other_number", lang, mask=login.contact.mask, yours=phone.mask)
        else:
            site = login.project.settings.name if login else self._site_of(bot)
            words = render_bot_text("connected", lang, site=site, coming=released > 0)
        return text(chat_id, words, ReplyKeyboardRemove())

    async def _language(self, message: Message, bot: Bot) -> str:
        """The person's own or, where it is none of ours, that of the login they came from."""
        if own := wished_language(_wish(message)):
            return own
        return await self._aside(partial(self._language_of_login, message, bot))

    def _language_of_login(self, message: Message, bot: Bot) -> str:
        expected = self._gateway.expected(bot.id, message.chat.id, message.message_id)
        return expected.lang if expected else DEFAULT_LANGUAGE

    async def _site(self, bot: Bot) -> str:
        return await self._aside(partial(self._site_of, bot))

    def _site_of(self, bot: Bot) -> str:
        """The name of the site behind this bot."""
        names = [project.settings.name for project in self._gateway.projects.by_bot(bot.id)]
        return ", ".join(names) or "Kodgate"


# Filters are coroutines: aiogram gives each one that is not to a thread, a quarter of what an update costs.


async def _is_private(event: Message | ChatMemberUpdated) -> bool:
    return event.chat.type == ChatType.PRIVATE


async def _is_contact(message: Message) -> bool:
    return message.contact is not None


def _is_own_contact(message: Message) -> bool:
    """Telegram sets `user_id` to the contact's own account; what another wrote, or once wrote, proves nothing."""
    sender, contact = message.from_user, message.contact
    if sender is None or contact is None or any(getattr(message, name) is not None for name in _SECOND_HAND):
        return False
    return contact.user_id == sender.id == message.chat.id and not sender.is_bot


def _wish(message: Message) -> str | None:
    """The language of the person's Telegram, if it tells."""
    return message.from_user.language_code if message.from_user else None


def _contact_button(lang: str) -> ReplyKeyboardMarkup:
    button = KeyboardButton(text=translate(lang, N_("Share my number")), request_contact=True)
    return ReplyKeyboardMarkup(keyboard=[[button]], resize_keyboard=True, one_time_keyboard=True)
