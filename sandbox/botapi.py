"""The Bot API double: `/bot<token>/<method>`, with Telegram's envelopes, statuses and words."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sandbox import faults
from sandbox.bots import Bot, ConflictError, Json, Webhook
from sandbox.chats import visible
from sandbox.entities import Entities, MarkupError, find_entities, parse_html, utf16
from sandbox.keyboards import KeyboardError, inline, parse_markup
from sandbox.state import Chat, World

log = logging.getLogger("sandbox")

MAX_TEXT = 4096
_LOGGED_LENGTH = 8192
_TOKEN = re.compile(r"([1-9]\d{0,15}):[\w-]+", re.ASCII)
_REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class ApiError(Exception):
    """An answer with `ok: false`."""

    def __init__(self, code: int, description: str = "", parameters: Json | None = None) -> None:
        reason = _REASONS.get(code, "Error")
        super().__init__(f"{reason}: {description}" if description else reason)
        self.code = code
        self.parameters = parameters


def bad(description: str) -> ApiError:
    return ApiError(400, description)


class Params:
    """A call's parameters. They come as text, except in JSON bodies."""

    def __init__(self, values: Json) -> None:
        self.values = values

    def text(self, name: str) -> str:
        value = self.values.get(name, "")
        if value is None or isinstance(value, bool | dict | list):
            return ""
        return str(value)

    def integer(self, name: str, default: int = 0) -> int:
        try:
            return int(self.text(name) or default)
        except ValueError:
            return default

    def flag(self, name: str) -> bool:
        value = self.values.get(name)
        return value is True or str(value).lower() in {"true", "1", "yes"}

    def json(self, name: str, expected: str) -> Any:
        """A structured parameter, from JSON text or as it is; None when absent."""
        value = self.values.get(name)
        if isinstance(value, str):
            try:
                return json.loads(value) if value else None
            except ValueError:
                raise bad(f"can't parse {expected} JSON object") from None
        return value

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None


Method = Callable[["World", Bot, Params], Awaitable[Any]]


# Updates


async def get_updates(world: World, bot: Bot, params: Params) -> Any:
    if "allowed_updates" in params:
        bot.allowed_updates = _names(params)
    limit = min(max(params.integer("limit", 100), 1), 100)
    wait = min(max(params.integer("timeout"), 0), 50)
    if params.integer("offset"):
        world.changed()
    return await bot.get_updates(params.integer("offset"), limit, wait)


def _names(params: Params) -> list[str]:
    names = params.json("allowed_updates", "allowed updates")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise bad("can't parse allowed updates: expected an Array of String")
    return names


async def set_webhook(world: World, bot: Bot, params: Params) -> Any:
    url = params.text("url")
    if not url:
        return await delete_webhook(world, bot, params)
    local = re.match(r"http://(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?(/|$)", url)
    if not url.startswith("https://") and not local:  # plain HTTP on this machine: ours, not Telegram's
        raise bad("bad webhook: An HTTPS URL must be provided for webhook")
    secret = params.text("secret_token")
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", secret):
        raise bad("secret token contains unallowed characters")
    if "allowed_updates" in params:
        bot.allowed_updates = _names(params)
    if params.flag("drop_pending_updates"):
        bot.updates.clear()
    fresh = Webhook(url, secret, min(max(params.integer("max_connections", 40), 1), 100), set_at=time.time())
    if bot.webhook and fresh.set_at - bot.webhook.set_at < 1:
        raise ApiError(429, "retry after 1", {"retry_after": 1})
    if bot.webhook and bot.webhook.is_like(fresh):
        bot.webhook.set_at = fresh.set_at
        return True
    bot.end_poll("terminated by setWebhook request")
    bot.webhook = fresh
    world.serve_webhook(bot)
    world.changed()
    return True


async def delete_webhook(world: World, bot: Bot, params: Params) -> Any:
    bot.webhook = None
    if params.flag("drop_pending_updates"):
        bot.updates.clear()
    world.serve_webhook(bot)
    world.changed()
    return True


async def get_webhook_info(_world: World, bot: Bot, _params: Params) -> Any:
    webhook = bot.webhook
    info: Json = {
        "url": webhook.url if webhook else "",
        "has_custom_certificate": False,
        "pending_update_count": len(bot.updates),
    }
    if webhook:
        info |= {"max_connections": webhook.max_connections, "ip_address": "127.0.0.1"}
        if webhook.last_error_date:
            info |= {
                "last_error_date": webhook.last_error_date,
                "last_error_message": webhook.last_error_message,
            }
    if bot.allowed_updates:
        info["allowed_updates"] = bot.allowed_updates
    return info


# Messages


def _chat(world: World, bot: Bot, params: Params) -> Chat:
    chat_id = params.text("chat_id")
    if not chat_id:
        raise bad("chat_id is empty")
    chat = world.known_chat(bot, int(chat_id)) if re.fullmatch(r"-?\d{1,18}", chat_id) else None
    if chat is None or not chat.started:
        raise bad("chat not found")
    return chat


def _open_chat(world: World, bot: Bot, params: Params) -> Chat:
    chat = _chat(world, bot, params)
    if chat.blocked:
        raise ApiError(403, "bot was blocked by the user")
    return chat


def _content(params: Params) -> tuple[str, Entities]:
    """The text as people will see it, with its entities."""
    text = params.text("text")
    mode = params.text("parse_mode").lower()
    known: Entities = []
    if mode == "html":
        try:
            text, known = parse_html(text)
        except MarkupError as error:
            raise bad(f"can't parse entities: {error}") from None
    elif mode:
        raise bad("unsupported parse_mode")
    elif entities := params.json("entities", "message entities"):
        known = [dict(entity) for entity in entities if isinstance(entity, dict)]
    text = text if known else text.strip()
    if not text:
        raise bad("message text is empty")
    if utf16(text) > MAX_TEXT:
        raise bad("message is too long")
    return text, find_entities(text, known)


def _markup(params: Params) -> Json | None:
    try:
        return parse_markup(params.values.get("reply_markup"))
    except KeyboardError as error:
        raise bad(str(error)) from None


async def send_message(world: World, bot: Bot, params: Params) -> Any:
    text, entities = _content(params)
    markup = _markup(params)
    chat = _open_chat(world, bot, params)
    person = world.people.get(chat.user_id)
    if person is None:
        raise bad("chat not found")
    message: Json = {"from": bot.user(), "chat": person.chat(), "date": int(time.time())}
    if reply := params.json("reply_parameters", "reply parameters"):
        replied = chat.find(reply.get("message_id", 0)) if isinstance(reply, dict) else None
        if replied:
            message["reply_to_message"] = visible(replied)
        elif not reply.get("allow_sending_without_reply"):
            raise bad("message to be replied not found")
    message["text"] = text
    if entities:
        message["entities"] = entities
    if params.flag("protect_content"):
        message["has_protected_content"] = True
    if markup:
        message["reply_markup"] = markup
    message = world.add_message(chat, message)
    if markup and "keyboard" in markup:
        world.set_keyboard(chat, markup, message["message_id"])
    elif markup and "remove_keyboard" in markup:
        world.set_keyboard(chat, None, None)
    return _sent(message)


def _sent(message: Json) -> Json:
    """Unlike elsewhere, the answer to a call keeps the message that it replies to."""
    replied = message.get("reply_to_message")
    return visible(message) | ({"reply_to_message": replied} if replied else {})


def _own_message(world: World, bot: Bot, params: Params, verb: str) -> tuple[Chat, Json]:
    chat = _chat(world, bot, params)
    message = chat.find(params.integer("message_id"))
    if message is None:
        raise bad(f"message to {verb} not found")
    if message["from"]["id"] != bot.id:
        raise bad("message can't be edited")
    return chat, message


def _edit(world: World, chat: Chat, message: Json, changes: Json) -> Json:
    fresh = {key: value for key, value in {**message, **changes}.items() if value not in (None, [])}
    if fresh == message:
        raise bad(
            "message is not modified: specified new message content and reply markup are exactly the same "
            "as a current content and reply markup of the message"
        )
    fresh["edit_date"] = int(time.time())
    message.clear()
    message.update(fresh)
    world.hub.publish(chat.topic, "edit", message)
    world.changed()
    return _sent(message)


async def edit_message_text(world: World, bot: Bot, params: Params) -> Any:
    text, entities = _content(params)
    markup = inline(_markup(params))
    chat, message = _own_message(world, bot, params, "edit")
    return _edit(world, chat, message, {"text": text, "entities": entities, "reply_markup": markup})


async def edit_message_reply_markup(world: World, bot: Bot, params: Params) -> Any:
    markup = inline(_markup(params))
    chat, message = _own_message(world, bot, params, "edit")
    return _edit(world, chat, message, {"reply_markup": markup})


async def delete_message(world: World, bot: Bot, params: Params) -> Any:
    chat = _chat(world, bot, params)
    message = chat.find(params.integer("message_id"))
    if message is None:
        raise bad("message to delete not found")
    world.delete_message(chat, message)
    return True


async def answer_callback_query(world: World, bot: Bot, params: Params) -> Any:
    query_id = params.text("callback_query_id")
    user_id = bot.callbacks.pop(query_id, None)
    if user_id is None:
        raise bad("query is too old and response timeout expired or query ID is invalid")
    text = params.text("text")
    if len(text) > 200:
        raise bad("MESSAGE_TOO_LONG")
    if chat := world.known_chat(bot, user_id):
        answer = {
            "callback_query_id": query_id,
            "text": text,
            "show_alert": params.flag("show_alert"),
            "url": params.text("url"),
        }
        world.hub.publish(chat.topic, "answer", answer)
    return True


async def send_chat_action(world: World, bot: Bot, params: Params) -> Any:
    if not params.text("action"):
        raise bad("wrong parameter action in request")
    chat = _open_chat(world, bot, params)
    world.hub.publish(chat.topic, "action", {"action": params.text("action")})
    return True


# The bot and its chats


async def get_me(_world: World, bot: Bot, _params: Params) -> Any:
    return bot.user() | {
        "can_join_groups": False,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


async def get_chat(world: World, bot: Bot, params: Params) -> Any:
    chat = _chat(world, bot, params)
    person = world.people.get(chat.user_id)
    if person is None:
        raise bad("chat not found")
    gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
    return person.chat() | {
        "accent_color_id": person.user_id % 7,
        "max_reaction_count": 11,
        "accepted_gift_types": dict.fromkeys(gifts, False),
    }


async def set_my_commands(world: World, bot: Bot, params: Params) -> Any:
    commands = params.json("commands", "bot commands")
    if not isinstance(commands, list):
        raise bad("can't parse bot commands: expected an Array of BotCommand")
    for command in commands:
        if not isinstance(command, dict) or not re.fullmatch(r"[a-z0-9_]{1,32}", str(command.get("command"))):
            raise bad("BOT_COMMAND_INVALID")
        if not 1 <= len(str(command.get("description", ""))) <= 256:
            raise bad("BOT_COMMAND_DESCRIPTION_INVALID")
    bot.commands[params.text("language_code")] = [
        {"command": command["command"], "description": command["description"]} for command in commands[:100]
    ]
    world.changed()
    return True


async def get_my_commands(_world: World, bot: Bot, params: Params) -> Any:
    return bot.commands.get(params.text("language_code"), [])


async def delete_my_commands(world: World, bot: Bot, params: Params) -> Any:
    bot.commands.pop(params.text("language_code"), None)
    world.changed()
    return True


async def set_my_description(world: World, bot: Bot, params: Params) -> Any:
    bot.descriptions[params.text("language_code")] = params.text("description")[:512]
    world.changed()
    return True


async def set_my_short_description(world: World, bot: Bot, params: Params) -> Any:
    bot.short_descriptions[params.text("language_code")] = params.text("short_description")[:120]
    world.changed()
    return True


async def get_my_description(_world: World, bot: Bot, params: Params) -> Any:
    return {"description": bot.descriptions.get(params.text("language_code"), "")}


async def get_my_short_description(_world: World, bot: Bot, params: Params) -> Any:
    return {"short_description": bot.short_descriptions.get(params.text("language_code"), "")}


async def get_my_name(_world: World, bot: Bot, _params: Params) -> Any:
    return {"name": bot.name}


async def done(_world: World, _bot: Bot, _params: Params) -> Any:
    """Methods that have nothing to do here: `close`, `logOut`."""
    return True


METHODS: dict[str, Method] = {
    "getupdates": get_updates,
    "setwebhook": set_webhook,
    "deletewebhook": delete_webhook,
    "getwebhookinfo": get_webhook_info,
    "sendmessage": send_message,
    "editmessagetext": edit_message_text,
    "editmessagereplymarkup": edit_message_reply_markup,
    "deletemessage": delete_message,
    "answercallbackquery": answer_callback_query,
    "sendchataction": send_chat_action,
    "getme": get_me,
    "getchat": get_chat,
    "setmycommands": set_my_commands,
    "getmycommands": get_my_commands,
    "deletemycommands": delete_my_commands,
    "setmydescription": set_my_description,
    "getmydescription": get_my_description,
    "setmyshortdescription": set_my_short_description,
    "getmyshortdescription": get_my_short_description,
    "getmyname": get_my_name,
    "close": done,
    "logout": done,
}


# HTTP


async def call(world: World, bot: Bot, method: str, values: Json) -> Any:
    """Carry out one call, whether it came by HTTP or in the answer of a webhook. Raises ApiError."""
    function = METHODS.get(method.lower())
    if function is None:
        raise ApiError(404)
    try:
        return await function(world, bot, Params(values))
    except ConflictError as error:
        raise ApiError(409, str(error)) from None


async def call_from_webhook(world: World, bot: Bot, method: str, values: Json) -> None:
    _note(world, bot, method, values)
    try:
        await call(world, bot, method, values)
    except ApiError as error:
        log.warning("%s in the answer of %s's webhook: %s", method, bot.username, error)


def _note(world: World, bot: Bot, method: str, values: Json) -> None:
    params = {key: value[:_LOGGED_LENGTH] if isinstance(value, str) else value for key, value in values.items()}
    world.calls.append({"method": method, "params": params, "at": time.time(), "bot": bot.username})


class BotApi:
    """The HTTP face of the methods above."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def handle(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        try:
            bot = self._bot(request.match_info["token"])
            values = await _values(request)
        except ApiError as error:
            return _failure(error)
        _note(self.world, bot, method, values)
        fault = self.world.faults.take(method)
        await faults.delay(fault)
        if fault and not fault.after and (fault.drop or fault.status):
            return self._fail(request, fault)
        try:
            result = await call(self.world, bot, method, values)
        except ApiError as error:
            return _failure(error)
        if fault and fault.after and (fault.drop or fault.status):
            return self._fail(request, fault)
        return web.json_response({"ok": True, "result": result})

    async def nothing(self, _request: web.Request) -> web.Response:
        return _failure(ApiError(404))

    def _bot(self, token: str) -> Bot:
        if ":" not in token:
            raise ApiError(404)
        match = _TOKEN.fullmatch(token)
        if match is None or len(token) > 80:
            raise ApiError(401)
        try:
            return self.world.bot(int(match[1]))
        except OverflowError:
            raise ApiError(401) from None

    @staticmethod
    def _fail(request: web.Request, fault: faults.Fault) -> web.Response:
        if fault.drop:
            return faults.drop(request)
        status = fault.status or 500
        if status == 429 or fault.retry_after is not None:
            seconds = fault.retry_after or 1
            return _failure(ApiError(status, f"retry after {seconds}", {"retry_after": seconds}))
        return _failure(ApiError(status))


async def _values(request: web.Request) -> Json:
    values: Json = dict(request.query)
    if not request.body_exists:
        return values
    if request.content_type == "application/json":
        try:
            body = await request.json()
        except ValueError:
            raise bad("can't parse JSON object") from None
        if not isinstance(body, dict):
            raise bad("object expected as request body")
        return values | body
    form = await request.post()
    # Files have no method here that would want them.
    return values | {key: value for key, value in form.items() if isinstance(value, str)}


def _failure(error: ApiError) -> web.Response:
    body: Json = {"ok": False, "error_code": error.code, "description": str(error)}
    headers = {}
    if error.parameters:
        body["parameters"] = error.parameters
        headers["Retry-After"] = str(error.parameters["retry_after"])
    return web.json_response(body, status=error.code, headers=headers)
