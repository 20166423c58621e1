"""`/api/`: what the chat page and the tests do in a person's place."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sandbox import bots
from sandbox.bots import Bot, Json
from sandbox.chats import NotPossibleError, Phone
from sandbox.faults import Fault
from sandbox.live import stream
from sandbox.people import Person, parse_phone
from sandbox.state import World

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RefusedError(Exception):
    """An answer that says what is wrong with the request."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


async def read_object(request: web.Request) -> Json:
    """The JSON object in the body; an absent body is an empty one. Raises RefusedError."""
    if not await request.read():
        return {}
    try:
        body = await request.json()
    except ValueError:
        raise RefusedError(400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise RefusedError(400, "the body must be a JSON object")
    return body


def _field(body: Json, name: str, kind: type[Any], default: Any = None) -> Any:
    value = body.get(name, default)
    right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if value is not default and not right:
        raise RefusedError(400, f"{name} must be {kind.__name__}")
    return value


class Control:
    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self) -> list[web.RouteDef]:
        chat = "/api/chats/{bot}/{user_id}"
        return [
            web.get("/api/people", self.people),
            web.post("/api/people", self.meet),
            web.get(chat, self.history),
            web.get(f"{chat}/events", self.events),
            web.post(f"{chat}/start", self.start),
            web.post(f"{chat}/text", self.text),
            web.post(f"{chat}/contact", self.contact),
            web.post(f"{chat}/callback", self.callback),
            web.post(f"{chat}/block", self.block),
            web.post(f"{chat}/unblock", self.unblock),
            web.post("/api/bots/{bot}/update", self.update),
            web.get("/api/faults", self.faults),
            web.post("/api/faults", self.order_fault),
            web.delete("/api/faults", self.clear_faults),
            web.get("/api/calls", self.calls),
        ]

    async def people(self, _request: web.Request) -> web.Response:
        return web.json_response([person.as_json() for person in self.world.people.all()])

    async def meet(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        phone = parse_phone(body.get("phone"))
        if phone is None:
            raise RefusedError(400, "phone must be a number in international form, such as +7 952 296-62-36")
        language = _field(body, "language_code", str)
        if language and not re.fullmatch(r"[A-Za-z-]{2,16}", language):
            raise RefusedError(400, "language_code must be an IETF language tag, such as en")
        name = (_field(body, "first_name", str) or "").strip()[:64]
        person = self.world.people.meet(phone, name or None, language)
        self.world.changed()
        return web.json_response(person.as_json())

    async def history(self, request: web.Request) -> web.Response:
        phone = self._phone(request)
        return web.json_response(self.world.view(phone.bot, phone.person))

    async def events(self, request: web.Request) -> web.StreamResponse:
        phone = self._phone(request)
        first = [("snapshot", self.world.view(phone.bot, phone.person))]
        return await stream(request, self.world.hub, phone.chat.topic, first)

    async def start(self, request: web.Request) -> web.Response:
        payload = _field(await read_object(request), "payload", str) or ""
        return _message(self._phone(request).start(payload))

    async def text(self, request: web.Request) -> web.Response:
        text = _field(await read_object(request), "text", str, "")
        return _message(self._phone(request).text(text))

    async def contact(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        phone = self._phone(request)
        number = _field(body, "phone_number", str)
        # `"user_id": null` says: a card without one, as of somebody who is not on Telegram.
        user_id = _field(body, "user_id", int) if "user_id" in body else phone.person.user_id
        return _message(phone.contact(number, user_id, forwarded=_field(body, "forwarded", bool, False)))

    async def callback(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        message_id, data = _field(body, "message_id", int, 0), _field(body, "data", str, "")
        query_id = self._phone(request).callback(message_id, data)
        return web.json_response({"ok": True, "callback_query_id": query_id})

    async def block(self, request: web.Request) -> web.Response:
        self._phone(request).block()
        return web.json_response({"ok": True})

    async def unblock(self, request: web.Request) -> web.Response:
        self._phone(request).unblock()
        return web.json_response({"ok": True})

    async def update(self, request: web.Request) -> web.Response:
        bot = self._bot(request)
        try:
            update_id = bot.push_raw(await request.json())
        except ValueError:
            raise RefusedError(400, "the body is not JSON") from None
        self.world.changed()
        return web.json_response({"ok": True, "update_id": update_id})

    async def faults(self, _request: web.Request) -> web.Response:
        return web.json_response(self.world.faults.waiting())

    async def order_fault(self, request: web.Request) -> web.Response:
        try:
            fault = Fault.from_json(await read_object(request))
            self.world.faults.order(fault)
        except ValueError as error:
            raise RefusedError(400, str(error)) from None
        return web.json_response({"ok": True, "fault": fault.as_json()})

    async def clear_faults(self, _request: web.Request) -> web.Response:
        self.world.faults.clear()
        return web.json_response({"ok": True})

    async def calls(self, request: web.Request) -> web.Response:
        method = request.query.get("method", "").lower()
        bot = request.query.get("bot", "")
        return web.json_response(
            [
                call
                for call in self.world.calls
                if (not method or call["method"].lower() == method) and (not bot or call["bot"] == bot)
            ]
        )

    def _bot(self, request: web.Request) -> Bot:
        bot_id = bots.id_for(request.match_info["bot"])
        if bot_id is None:
            raise RefusedError(404, "no such bot: kodgate_sandbox_bot or sandbox_<id>_bot")
        return self.world.bot(bot_id)

    def _phone(self, request: web.Request) -> Phone:
        bot = self._bot(request)
        user_id = request.match_info["user_id"]
        person: Person | None = None
        if re.fullmatch(r"\d{1,15}", user_id, re.ASCII):
            person = self.world.people.get(int(user_id))
        if person is None:
            raise RefusedError(404, "no such person: POST /api/people first")
        return Phone(self.world, bot, person)


def _message(message: Json) -> web.Response:
    return web.json_response({"ok": True, "message": message})


@web.middleware
async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refusals as JSON: `{"ok": false, "error": "…"}`."""
    try:
        return await handler(request)
    except RefusedError as error:
        return web.json_response({"ok": False, "error": str(error)}, status=error.status)
    except NotPossibleError as error:
        return web.json_response({"ok": False, "error": str(error)}, status=409)
    except web.HTTPRequestEntityTooLarge:
        return web.json_response({"ok": False, "error": "the body is too large"}, status=413)
