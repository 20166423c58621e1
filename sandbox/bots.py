"""One bot: its queue of updates, and the two ways out of it, long polling and the webhook."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger("sandbox")

Json = dict[str, Any]
Execute = Callable[["Bot", str, Json], Awaitable[Any]]

MAX_UPDATES = 10_000
MAX_CALLBACKS = 1_000
_NOT_BY_DEFAULT = {"chat_member", "message_reaction", "message_reaction_count"}


class ConflictError(Exception):
    """Two readers for one queue: Telegram's 409, with its description."""


@dataclass(slots=True)
class Webhook:
    url: str
    secret_token: str = ""
    max_connections: int = 40
    set_at: float = 0.0
    last_error_date: int | None = None
    last_error_message: str = ""

    def is_like(self, other: Webhook) -> bool:
        return (self.url, self.secret_token, self.max_connections) == (
            other.url,
            other.secret_token,
            other.max_connections,
        )


@dataclass(slots=True)
class Bot:
    id: int
    updates: deque[tuple[int, Any]] = field(default_factory=deque)
    """What nobody has acknowledged yet. The id stands beside the update, which may be malformed on purpose."""
    next_update_id: int = 1
    allowed_updates: list[str] = field(default_factory=list)
    webhook: Webhook | None = None
    commands: dict[str, list[Json]] = field(default_factory=dict)
    """By language, "" for everybody."""
    descriptions: dict[str, str] = field(default_factory=dict)
    short_descriptions: dict[str, str] = field(default_factory=dict)
    seen: float = 0.0
    """When it last asked for updates: how the chat page knows that a bot is running at all."""
    callbacks: OrderedDict[str, int] = field(default_factory=OrderedDict)
    """Presses of buttons that wait for answerCallbackQuery, and whose they are."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Updates came since a webhook's delivery last looked."""
    _poll: asyncio.Future[None] | None = None
    _stopping: bool = False

    @property
    def username(self) -> str:
        return username_for(self.id)

    @property
    def name(self) -> str:
        return "Kodgate sandbox" if self.id == 1 else f"Sandbox bot {self.id}"

    @property
    def online(self) -> bool:
        return self.webhook is not None or self._poll is not None or time.time() - self.seen < 5

    def user(self) -> Json:
        """The Bot API's `User`."""
        return {"id": self.id, "is_bot": True, "first_name": self.name, "username": self.username}

    def push(self, kind: str, payload: Json) -> int | None:
        """Queue an update, unless the bot asked not to get this kind."""
        wanted = kind in self.allowed_updates if self.allowed_updates else kind not in _NOT_BY_DEFAULT
        return self.push_raw({kind: payload}) if wanted else None

    def push_raw(self, update: Any) -> int:
        """Queue an update as it is, whatever it is. Its own update_id counts if it is a usable one."""
        given = None
        if isinstance(update, dict):
            given = update.get("update_id")
            if "update_id" not in update:
                update = {"update_id": self.next_update_id, **update}
        number = given if isinstance(given, int) else self.next_update_id
        self.next_update_id = max(self.next_update_id, number + 1)
        self.updates.append((number, update))
        if len(self.updates) > MAX_UPDATES:
            self.updates.popleft()
        self._wake()
        return number

    async def get_updates(self, offset: int, limit: int, wait: float) -> list[Any]:
        """Long polling. A later call ends an earlier one; an offset acknowledges all before it."""
        if self.webhook:
            raise ConflictError(
                "can't use getUpdates method while webhook is active; "
                "use deleteWebhook to delete the webhook first"
            )
        self.end_poll("terminated by other getUpdates request; make sure that only one bot instance is running")
        self._acknowledge(offset)
        self.seen = time.time()
        if not self.updates and wait > 0 and not self._stopping:
            poll = self._poll = asyncio.get_running_loop().create_future()
            try:
                with suppress(TimeoutError):
                    await asyncio.wait_for(poll, wait)
            finally:
                if self._poll is poll:
                    self._poll = None
                self.seen = time.time()
        return [update for _, update in list(self.updates)[:limit]]

    def _acknowledge(self, offset: int) -> None:
        if offset < 0:
            while len(self.updates) > -offset:
                self.updates.popleft()
        # All of them are looked at: an update that was pushed by hand can be older than its neighbours.
        if any(number < offset for number, _ in self.updates):
            self.updates = deque(entry for entry in self.updates if entry[0] >= offset)

    def end_poll(self, conflict: str = "") -> None:
        poll, self._poll = self._poll, None
        if poll and not poll.done():
            if conflict:
                poll.set_exception(ConflictError(conflict))
            else:
                poll.set_result(None)

    def _wake(self) -> None:
        self.arrived.set()
        self.end_poll()

    def stop(self) -> None:
        self._stopping = True
        self.end_poll()

    def asked(self, user_id: int) -> str:
        """The id of a new callback query of this person."""
        query_id = str(self.id * 10**9 + time.time_ns() % 10**15)
        while query_id in self.callbacks:
            query_id = str(int(query_id) + 1)
        self.callbacks[query_id] = user_id
        if len(self.callbacks) > MAX_CALLBACKS:
            self.callbacks.popitem(last=False)
        return query_id

    def forget(self, number: int) -> None:
        """An update was delivered."""
        entry = next((entry for entry in self.updates if entry[0] == number), None)
        if entry:
            self.updates.remove(entry)


def username_for(bot_id: int) -> str:
    return "kodgate_sandbox_bot" if bot_id == 1 else f"sandbox_{bot_id}_bot"


def id_for(username: str) -> int | None:
    """The bot of this username, if it can be one of ours."""
    if username.lower() == "kodgate_sandbox_bot":
        return 1
    match = re.fullmatch(r"sandbox_([1-9]\d{0,15})_bot", username.lower())
    return int(match[1]) if match else None
