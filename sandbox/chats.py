"""What a person does in a chat, and the updates that the bot gets of it."""

from __future__ import annotations

import time
from binascii import crc32
from dataclasses import dataclass
from typing import Any

from sandbox.bots import Bot, Json
from sandbox.entities import find_entities
from sandbox.keyboards import inline
from sandbox.people import Person, name_for, user_id_for
from sandbox.state import Chat, World


class NotPossibleError(Exception):
    """A thing that Telegram's app would not let the person do."""


@dataclass(slots=True, frozen=True)
class Phone:
    """A person's phone with this bot's chat open."""

    world: World
    bot: Bot
    person: Person

    @property
    def chat(self) -> Chat:
        return self.world.chat(self.bot, self.person)

    def start(self, payload: str = "") -> Json:
        """Press Start. A blocked bot is unblocked by it, and hears of that first."""
        if self.chat.blocked:
            self.unblock()
        return self.text(f"/start {payload}".rstrip())

    def text(self, text: str) -> Json:
        text = text.strip()
        if not text:
            raise NotPossibleError("an empty message can't be sent")
        if len(text) > 4096:
            raise NotPossibleError("the message is too long")
        entities = find_entities(text)
        message = self._send({"text": text, **({"entities": entities} if entities else {})})
        keyboard = self.chat.keyboard
        if keyboard and any(text == button["text"] for row in keyboard["keyboard"] for button in row):
            self._keyboard_used()
        return message

    def contact(self, phone_number: str | None, user_id: int | None, *, forwarded: bool = False) -> Json:
        """Share a contact card: by default one's own, as the keyboard's button does."""
        own = phone_number is None
        phone_number = phone_number or self.person.phone
        contact: Json = {"phone_number": phone_number, "first_name": self.person.first_name}
        if not own and phone_number.lstrip("+") != self.person.phone:
            contact["first_name"] = name_for(phone_number.lstrip("+"))
        if user_id is not None:
            contact["user_id"] = user_id
        extra: Json = {}
        if forwarded:
            sender = Person(phone_number, user_id or user_id_for(phone_number), contact["first_name"])
            extra["forward_origin"] = {"type": "user", "date": int(time.time()), "sender_user": sender.user()}
        elif self.chat.keyboard_message_id and (asked := self.chat.find(self.chat.keyboard_message_id)):
            extra["reply_to_message"] = visible(asked)
        message = self._send({"contact": contact, **extra})
        if not forwarded:
            self._keyboard_used()
        return message

    def callback(self, message_id: int, data: str) -> str:
        """Press an inline button. Returns the id of the callback query."""
        message = self.chat.find(message_id)
        buttons = [
            button for row in (message or {}).get("reply_markup", {}).get("inline_keyboard", []) for button in row
        ]
        if message is None or not any(button.get("callback_data") == data for button in buttons):
            raise NotPossibleError("there is no such button on this message")
        query_id = self.bot.asked(self.person.user_id)
        query = {
            "id": query_id,
            "from": self.person.user(),
            "message": visible(message),
            "chat_instance": str(crc32(self.chat.topic.encode()) * 10**9 + self.person.user_id),
            "data": data,
        }
        self.bot.push("callback_query", query)
        self.world.changed()
        return query_id

    def block(self) -> None:
        if not self.chat.started:
            raise NotPossibleError("the chat has not been started")
        if not self.chat.blocked:
            self._set_blocked(True)

    def unblock(self) -> None:
        if self.chat.blocked:
            self._set_blocked(False)

    def _set_blocked(self, blocked: bool) -> None:
        self.chat.blocked = blocked
        member: Json = {"user": self.bot.user(), "status": "member"}
        kicked: Json = {"user": self.bot.user(), "status": "kicked", "until_date": 0}
        update = {
            "chat": self.person.chat(),
            "from": self.person.user(),
            "date": int(time.time()),
            "old_chat_member": member if blocked else kicked,
            "new_chat_member": kicked if blocked else member,
        }
        self.bot.push("my_chat_member", update)
        self.world.publish_chat(self.chat)

    def _send(self, content: Json) -> Json:
        chat = self.chat
        if chat.blocked:
            raise NotPossibleError("the bot is blocked: press Start or unblock it first")
        head: Json = {"from": self.person.user(), "chat": self.person.chat(), "date": int(time.time())}
        message = self.world.add_message(chat, {**head, **content})
        if not chat.started:
            chat.started = True
            self.world.publish_chat(chat)
        self.bot.push("message", message)
        return message

    def _keyboard_used(self) -> None:
        keyboard = self.chat.keyboard
        if keyboard and keyboard.get("one_time_keyboard"):
            self.world.set_keyboard(self.chat, None, None)


def visible(message: Json) -> Json:
    """A message as the Bot API shows it: only an inline keyboard stays with it, and no reply nests."""
    shown: dict[str, Any] = {
        key: value for key, value in message.items() if key not in {"reply_markup", "reply_to_message"}
    }
    if keyboard := inline(message.get("reply_markup")):
        shown["reply_markup"] = keyboard
    return shown
