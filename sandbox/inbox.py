"""Where SMS, WhatsApp, Viber and email land: the far end of the webhook provider."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from sandbox import faults
from sandbox.control import RefusedError, read_object
from sandbox.live import stream
from sandbox.people import display, parse_phone
from sandbox.state import World

CHANNELS = ("sms", "whatsapp", "viber", "email", "telegram")
MAX_MESSAGES = 2_000
MAX_BODY = 64 * 1024
TOPIC = "inbox"


@dataclass(slots=True, frozen=True)
class Letter:
    """One message that somebody would have received."""

    id: int
    message_id: str
    channel: str
    to: str
    code: str
    text: str
    lang: str
    project: str
    at: str

    @property
    def to_display(self) -> str:
        phone = None if "@" in self.to else parse_phone(self.to)
        return display(phone) if phone else self.to

    @property
    def title(self) -> str:
        """The first line, which in an email reads as its subject."""
        return self.text.strip().split("\n", 1)[0]

    @property
    def rest(self) -> str:
        return self.text.strip().partition("\n")[2].strip()

    @property
    def web_otp(self) -> str:
        """`@host #code`, the line of an SMS that is for the browser rather than for people."""
        last = self.text.strip().rpartition("\n")[2]
        return last if last.startswith("@") and " #" in last else ""

    @property
    def body(self) -> str:
        return self.text.strip().removesuffix(self.web_otp).strip()

    def as_json(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in ("channel", "to", "code", "text", "at")}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_letter(number: int, body: dict[str, Any]) -> Letter:
    """Raises RefusedError that names the first field that is not as it should be."""
    fields: dict[str, str] = {}
    for name in ("message_id", "channel", "to", "code", "text", "lang", "project"):
        value = body.get(name)
        optional = name in {"message_id", "lang", "project"}
        if value is None and optional:
            value = ""
        if isinstance(value, int) and not isinstance(value, bool) and name in {"message_id", "project"}:
            value = str(value)
        if not isinstance(value, str):
            raise RefusedError(400, f"{name} must be a string" if name in body else f"{name} is missing")
        if not value and not optional:
            raise RefusedError(400, f"{name} is empty")
        fields[name] = value
    if fields["channel"] not in CHANNELS:
        raise RefusedError(400, f"channel must be one of {', '.join(CHANNELS)}")
    return Letter(id=number, at=now(), **fields)


class Inbox:
    """The last letters, newest first. `render` makes a letter the card that open pages show."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.letters: deque[Letter] = deque(maxlen=MAX_MESSAGES)
        self.render: Callable[[Letter, str], str] | None = None
        self.languages: tuple[str, ...] = ()
        self._next = int(time.time())  # cards of before a restart never share an id with later ones

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/inbox", self.receive),
            web.get("/inbox.json", self.as_json),
            web.delete("/inbox.json", self.clear),
            web.get("/inbox/events", self.events),
        ]

    def counts(self) -> Counter[str]:
        return Counter(letter.channel for letter in self.letters)

    async def receive(self, request: web.Request) -> web.Response:
        fault = self.world.faults.take(faults.INBOX)
        await faults.delay(fault)
        if fault and not fault.after and (fault.drop or fault.status):
            return _fail(request, fault)
        if (request.content_length or 0) > MAX_BODY or len(await request.read()) > MAX_BODY:
            raise RefusedError(413, "the body is larger than 64 KiB")
        letter = parse_letter(self._next, await read_object(request))
        self._next += 1
        self.letters.appendleft(letter)
        card = {lang: self.render(letter, lang) for lang in self.languages} if self.render else {}
        self.world.hub.publish(TOPIC, "letter", {"id": letter.id, "channel": letter.channel, "card": card})
        if fault and (fault.drop or fault.status):
            return _fail(request, fault)
        return web.json_response({"ok": True, "id": letter.id})

    async def as_json(self, request: web.Request) -> web.Response:
        to, channel = request.query.get("to", ""), request.query.get("channel", "")
        # A plus in an unquoted query is a space: nobody should have to find that out.
        to = to.strip().lstrip("+")
        letters = [
            letter.as_json()
            for letter in self.letters
            if (not to or letter.to.lstrip("+") == to) and (not channel or letter.channel == channel)
        ]
        return web.json_response(letters)

    async def clear(self, _request: web.Request) -> web.Response:
        self.letters.clear()
        self.world.hub.publish(TOPIC, "clear", {})
        return web.json_response({"ok": True})

    async def events(self, request: web.Request) -> web.StreamResponse:
        return await stream(request, self.world.hub, TOPIC, [("hello", {"last": self.last()})])

    def last(self) -> int:
        return self.letters[0].id if self.letters else 0


def _fail(request: web.Request, fault: faults.Fault) -> web.Response:
    if fault.drop:
        return faults.drop(request)
    headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
    body = {"ok": False, "error": "a fault that was asked for"}
    return web.json_response(body, status=fault.status or 500, headers=headers)
