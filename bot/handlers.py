"""What the bot does when a person writes: activation, by deep link and contact, and its end.

Only private chats count, and only the sender's own contact. What decides is the store: every handler can run
twice for the same update without harm.
"""

import logging
from collections import OrderedDict

from aiogram import Bot, F, Router
from aiogram.enums import ChatMemberStatus, ChatType
from aiogram.filters import Command, CommandObject, CommandStart
from aiogram.types import ChatMemberUpdated, KeyboardButton, Message, ReplyKeyboardMarkup, ReplyKeyboardRemove

from bot.talk import say
from gateway.channels import Channel
from gateway.contact import Contact, parse_telegram_phone
from gateway.errors import BadRequest, GatewayError, SessionExpired, TooOften, TooSoon
from gateway.i18n import N_, pick_language, translate
from gateway.local import LocalGateway
from gateway.place import place_name
from gateway.render import render_bot_text
from gateway.verbs import Caller, LinkedSession

log = logging.getLogger(__name__)

REMEMBERED = 10_000  # chats whose deep link is remembered, to explain a number that does not match


class Conversations:
    """The bot's side of activation, on one gateway."""

    def __init__(self, gateway: LocalGateway) -> None:
        self._gateway = gateway
        self._expected: OrderedDict[int, LinkedSession] = OrderedDict()

    def router(self) -> Router:
        """The handlers, in the order they are tried."""
        router = Router()
        router.my_chat_member.register(self.membership_changed, F.chat.type == ChatType.PRIVATE)
        router.message.filter(F.chat.type == ChatType.PRIVATE)
        router.message.register(self.started, CommandStart())
        router.message.register(self.stopped, Command("stop"))
        router.message.register(self.helped, Command("help"))
        router.message.register(self.contact_shared, F.contact)
        router.message.register(self.helped)
        return router

    async def started(self, message: Message, command: CommandObject, bot: Bot) -> None:
        """`/start`, with the deep link's payload or alone."""
        lang = _language(message)
        if not command.args:
            await self._start_alone(message, bot, lang)
            return
        try:
            session = self._gateway.linked_session(bot.id, command.args)
        except SessionExpired:
            await say(bot, message.chat.id, render_bot_text("expired", lang, site=self._site(bot)))
            return
        if session.chat_id == message.chat.id:
            if not self._send_at_once(session, bot, message.chat.id):
                await say(bot, message.chat.id, render_bot_text("already_sent", lang))
            return
        self._expect(message.chat.id, session)
        text = render_bot_text(
            "greeting",
            lang,
            site=session.project.settings.name,
            browser=session.browser,
            place=place_name(session.place, lang),
            mask=session.contact.mask,
        )
        await say(bot, message.chat.id, text, _contact_button(lang))

    async def contact_shared(self, message: Message, bot: Bot) -> None:
        """A contact: the sender's own activates, any other is explained away."""
        lang, chat_id = _language(message), message.chat.id
        if not _is_own_contact(message):
            self._gateway.audit.note("telegram", "bot.contact", reason="not the sender's own")
            await say(bot, chat_id, render_bot_text("foreign_contact", lang), _contact_button(lang))
            return
        assert message.contact is not None  # noqa: S101 - the filter's promise
        try:
            phone = parse_telegram_phone(message.contact.phone_number)
        except BadRequest:
            self._gateway.audit.note("telegram", "bot.contact", reason="not a phone")
            await say(bot, chat_id, render_bot_text("strange_number", lang), ReplyKeyboardRemove())
            return
        session = self._expected.get(chat_id)
        released = 0
        for project in self._gateway.projects.by_bot(bot.id):
            if session is None or session.project.id == project.id:
                try:
                    activation = self._gateway.activate(
                        project, phone, bot_id=bot.id, chat_id=chat_id, user_id=chat_id
                    )
                except TooOften as refusal:
                    await say(bot, chat_id, refusal.text(lang), ReplyKeyboardRemove())
                    return
                released += activation.released
        await self._confirm(bot, chat_id, lang, phone, session, released)
        self._expected.pop(chat_id, None)

    async def stopped(self, message: Message, bot: Bot) -> None:
        """`/stop`: no more codes here."""
        self._gateway.deactivate(bot.id, message.chat.id)
        await say(
            bot,
            message.chat.id,
            render_bot_text("stopped", _language(message), site=self._site(bot)),
            ReplyKeyboardRemove(),
        )

    async def helped(self, message: Message, bot: Bot) -> None:
        """`/help`, and whatever else is written."""
        text = render_bot_text("help", _language(message), site=self._site(bot))
        await say(bot, message.chat.id, text)

    async def membership_changed(self, update: ChatMemberUpdated, bot: Bot) -> None:
        """The user blocked the bot, or let it back in."""
        if update.new_chat_member.status in (ChatMemberStatus.KICKED, ChatMemberStatus.LEFT):
            self._gateway.deactivate(bot.id, update.chat.id)
        else:
            self._gateway.reactivate(bot.id, update.chat.id)

    async def _start_alone(self, message: Message, bot: Bot, lang: str) -> None:
        site = self._site(bot)
        if self._gateway.reactivate(bot.id, message.chat.id) is not None:
            await say(bot, message.chat.id, render_bot_text("welcome_back", lang, site=site))
            return
        text = render_bot_text("welcome", lang, site=site)
        await say(bot, message.chat.id, text, _contact_button(lang))

    def _send_at_once(self, session: LinkedSession, bot: Bot, chat_id: int) -> bool:
        """The phone behind the link is this chat's: let a parked code go, or send one; False: it came before."""
        if self._gateway.reactivate(bot.id, chat_id):
            return True
        try:
            caller = Caller(session.project, lang=session.lang, telegram=True)
            self._gateway.send(caller, session.id, Channel.TELEGRAM)
        except TooSoon:
            return False
        except GatewayError as refusal:
            log.info("deep link of a known chat: %s", refusal.sys_message)
        return True

    async def _confirm(
        self, bot: Bot, chat_id: int, lang: str, phone: Contact, session: LinkedSession | None, released: int
    ) -> None:
        if session and session.contact != phone:
            self._gateway.audit.note(
                "telegram", "bot.contact", session.project.id, session.id, reason="another number than the login's"
            )
            text = render_bot_text("other_number", lang, mask=session.contact.mask, yours=phone.mask)
        else:
            site = session.project.settings.name if session else self._site(bot)
            text = render_bot_text("connected", lang, site=site, coming=released > 0)
        await say(bot, chat_id, text, ReplyKeyboardRemove())

    def _expect(self, chat_id: int, session: LinkedSession) -> None:
        self._expected[chat_id] = session
        self._expected.move_to_end(chat_id)
        if len(self._expected) > REMEMBERED:
            self._expected.popitem(last=False)

    def _site(self, bot: Bot) -> str:
        """The name of the site behind this bot."""
        names = [project.settings.name for project in self._gateway.projects.by_bot(bot.id)]
        return ", ".join(names) or "Kodgate"


def _is_own_contact(message: Message) -> bool:
    """Telegram sets `user_id` to the contact's own account; a forwarded contact proves nothing."""
    sender, contact = message.from_user, message.contact
    if sender is None or contact is None or message.forward_origin is not None or message.via_bot is not None:
        return False
    return contact.user_id == sender.id and not sender.is_bot


def _language(message: Message) -> str:
    return pick_language(message.from_user.language_code if message.from_user else None)


def _contact_button(lang: str) -> ReplyKeyboardMarkup:
    button = KeyboardButton(text=translate(lang, N_("Share my number")), request_contact=True)
    return ReplyKeyboardMarkup(keyboard=[[button]], resize_keyboard=True, one_time_keyboard=True)
