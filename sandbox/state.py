"""Everything the sandbox remembers, and the small file that carries it over a restart."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path

import aiohttp

from sandbox.bots import Bot, Execute, Json, Webhook
from sandbox.faults import Faults
from sandbox.live import Hub
from sandbox.people import DEFAULT_PHONE, People, Person
from sandbox.webhooks import Delivery

log = logging.getLogger("sandbox")

MAX_BOTS = 1_000
MAX_CHATS = 20_000
MAX_MESSAGES_OF_CHAT = 300
MAX_MESSAGES = 60_000
MAX_CALLS = 10_000
SAVE_AFTER = 0.2


@dataclass(slots=True)
class Chat:
    """The private conversation of one person with one bot."""

    bot_id: int
    user_id: int
    messages: list[Json] = field(default_factory=list)
    """Bot API `Message`s, oldest first, each with whatever reply_markup it was sent with."""
    next_message_id: int = 1
    started: bool = False
    blocked: bool = False
    keyboard: Json | None = None
    """The reply keyboard that is open under the typing area."""
    keyboard_message_id: int | None = None

    @property
    def topic(self) -> str:
        return f"chat:{self.bot_id}:{self.user_id}"

    def find(self, message_id: int) -> Json | None:
        return next((m for m in reversed(self.messages) if m["message_id"] == message_id), None)


class World:
    """People, bots and chats, the faults on order and the calls received."""

    def __init__(self, path: Path | None = None) -> None:
        self.people = People()
        self.bots: dict[int, Bot] = {}
        self.chats: dict[tuple[int, int], Chat] = {}
        self.hub = Hub()
        self.faults = Faults()
        self.calls: deque[Json] = deque(maxlen=MAX_CALLS)
        self._path = path
        self._messages = 0
        self._changed = asyncio.Event()
        self._webhooks: dict[int, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._execute: Execute | None = None
        if path is not None:
            self._load(path)
        self.people.meet(DEFAULT_PHONE)
        self.bot(1)

    def bot(self, bot_id: int) -> Bot:
        """The bot of this id: any bot exists as soon as somebody speaks of it."""
        bot = self.bots.get(bot_id)
        if bot is None:
            if len(self.bots) >= MAX_BOTS:
                raise OverflowError("too many bots")
            bot = self.bots[bot_id] = Bot(bot_id)
        return bot

    def known_chat(self, bot: Bot, user_id: int) -> Chat | None:
        return self.chats.get((bot.id, user_id))

    def chat(self, bot: Bot, person: Person) -> Chat:
        """The conversation, opened if need be. The longest silent one goes when there are too many."""
        key = (bot.id, person.user_id)
        chat = self.chats.pop(key, None) or Chat(*key)
        self.chats[key] = chat  # the dict is ordered by last activity
        if len(self.chats) > MAX_CHATS:
            oldest = next(iter(self.chats))
            self._messages -= len(self.chats.pop(oldest).messages)
        return chat

    def add_message(self, chat: Chat, message: Json) -> Json:
        """Give the message its id and place it at the end of the chat, within the limits of memory."""
        message = {"message_id": chat.next_message_id, **message}
        chat.next_message_id += 1
        chat.messages.append(message)
        self._messages += 1
        if len(chat.messages) > MAX_MESSAGES_OF_CHAT:
            del chat.messages[0]
            self._messages -= 1
        if self._messages > MAX_MESSAGES:
            self._forget_old_messages(MAX_MESSAGES // 10)
        self.hub.publish(chat.topic, "message", message)
        self.changed()
        return message

    def _forget_old_messages(self, count: int) -> None:
        for chat in self.chats.values():
            if count <= 0:
                break
            gone = len(chat.messages[: min(count, len(chat.messages) - 1)])
            del chat.messages[:gone]
            self._messages -= gone
            count -= gone

    def delete_message(self, chat: Chat, message: Json) -> None:
        chat.messages.remove(message)
        self._messages -= 1
        if chat.keyboard_message_id == message["message_id"]:
            self.set_keyboard(chat, None, None)
        self.hub.publish(chat.topic, "delete", {"message_id": message["message_id"]})
        self.changed()

    def set_keyboard(self, chat: Chat, keyboard: Json | None, message_id: int | None) -> None:
        chat.keyboard, chat.keyboard_message_id = keyboard, message_id
        self.publish_chat(chat)

    def publish_chat(self, chat: Chat) -> None:
        """Tell open pages what stands around the messages: the keyboard, and whether one can write at all."""
        about = {"started": chat.started, "blocked": chat.blocked, "keyboard": chat.keyboard}
        self.hub.publish(chat.topic, "chat", about)
        self.changed()

    def view(self, bot: Bot, person: Person) -> Json:
        """The whole chat, as tests and the chat page read it."""
        chat = self.known_chat(bot, person.user_id) or Chat(bot.id, person.user_id)
        language = person.language_code
        return {
            "bot": {
                "id": bot.id,
                "username": bot.username,
                "name": bot.name,
                "online": bot.online,
                "commands": bot.commands.get(language) or bot.commands.get("", []),
                "description": bot.descriptions.get(language) or bot.descriptions.get("", ""),
            },
            "person": person.as_json(),
            "started": chat.started,
            "blocked": chat.blocked,
            "keyboard": chat.keyboard,
            "messages": chat.messages,
        }

    # Webhooks: one task a bot, for as long as it has one.

    async def open(self, execute: Execute) -> None:
        self._execute = execute
        timeout = aiohttp.ClientTimeout(total=60, connect=5)
        self._session = aiohttp.ClientSession(timeout=timeout)
        for bot in self.bots.values():
            self.serve_webhook(bot)

    def serve_webhook(self, bot: Bot) -> None:
        """Start, restart or stop delivery, as the bot's webhook now says."""
        if task := self._webhooks.pop(bot.id, None):
            task.cancel()
        if bot.webhook and self._session and self._execute:
            delivery = Delivery(bot, bot.webhook, self._session, self._execute)
            self._webhooks[bot.id] = asyncio.create_task(delivery.run())

    def stop_listening(self) -> None:
        """Let go of everybody who waits: long polls and event streams end at once."""
        self.hub.close()
        for bot in self.bots.values():
            bot.stop()

    async def close(self) -> None:
        for task in self._webhooks.values():
            task.cancel()
        await asyncio.gather(*self._webhooks.values(), return_exceptions=True)
        if self._session:
            await self._session.close()
        self.save()

    # The state file.

    def changed(self) -> None:
        self._changed.set()

    async def keep_saved(self) -> None:
        """Save soon after a change; a larger state waits longer, so that saving never takes the loop."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(SAVE_AFTER)
            started = time.perf_counter()
            self.save()
            await asyncio.sleep((time.perf_counter() - started) * 20)

    def save(self) -> None:
        if self._path is None or not self._changed.is_set():
            return
        self._changed.clear()
        state = {
            "version": 1,
            "people": [asdict(person) for person in self.people.all()],
            "bots": [_bot_state(bot) for bot in self.bots.values()],
            "chats": [asdict_shallow(chat) for chat in self.chats.values()],
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            fresh.touch(mode=0o600)
            fresh.write_text(json.dumps(state, ensure_ascii=False), "utf-8")
            fresh.replace(self._path)
        except OSError:
            log.exception("the state can't be saved to %s", self._path)

    def _load(self, path: Path) -> None:
        try:
            state = json.loads(path.read_text("utf-8"))
            for person in state["people"]:
                self.people.add(Person(**person))
            for saved in state["bots"]:
                bot = _bot_from(saved)
                self.bots[bot.id] = bot
            for saved in state["chats"]:
                chat = Chat(**saved)
                self.chats[chat.bot_id, chat.user_id] = chat
                self._messages += len(chat.messages)
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError) as error:
            aside = path.with_name(path.name + ".unreadable")
            log.warning("%s can't be read (%s): starting afresh, the old file is %s", path, error, aside)
            path.replace(aside)
            self.people, self.bots, self.chats, self._messages = People(), {}, {}, 0


def asdict_shallow(chat: Chat) -> Json:
    """Without the deep copy of `dataclasses.asdict`: the messages are plain JSON already."""
    return {name: getattr(chat, name) for name in chat.__slots__}


def _bot_state(bot: Bot) -> Json:
    return {
        "id": bot.id,
        "updates": list(bot.updates),
        "next_update_id": bot.next_update_id,
        "allowed_updates": bot.allowed_updates,
        "webhook": asdict(bot.webhook) if bot.webhook else None,
        "commands": bot.commands,
        "descriptions": bot.descriptions,
        "short_descriptions": bot.short_descriptions,
    }


def _bot_from(saved: Json) -> Bot:
    webhook = saved.pop("webhook")
    updates = saved.pop("updates")
    return Bot(
        **saved,
        webhook=Webhook(**webhook) if webhook else None,
        updates=deque((number, update) for number, update in updates),
    )
