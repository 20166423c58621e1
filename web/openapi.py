"""`/openapi.json`: the API in OpenAPI 3.1, made of the verbs' own answers and errors, and of the fields below.

What stands here of a request is what `web.fields` takes; a test sends thousands of requests by it and against it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from inspect import cleandoc
from typing import Any, get_args

import msgspec

from gateway import errors
from gateway.channels import Channel, SessionChannel
from gateway.codes import LONGEST, SHORTEST
from gateway.i18n import LANGUAGES
from gateway.verbs import Checked, Created, MessageStatus, Sent, SettingsAnswer, Verified
from web import api, fields, legacy, manual

Schema = dict[str, Any]

_REF = "#/components/schemas/{name}"
_ULID = "^[0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{26}$"


@dataclass(frozen=True)
class Field:
    """A field of a request, in the body or the query (`in_query`, where that differs: there all is text)."""

    schema: Schema
    text: str
    required: bool = False
    in_query: Schema | None = None


@dataclass(frozen=True)
class Operation:
    """One verb, as its callers see it. `refusals` come besides those that every verb has."""

    title: str
    text: str
    fields: Mapping[str, Field]
    answer: Any
    refusals: tuple[type[errors.GatewayError], ...]
    example: Mapping[str, Any]
    secret: bool = False
    wrapped: bool = False
    headers: Mapping[str, Field] = field(default_factory=dict)

    @property
    def every_refusal(self) -> tuple[type[errors.GatewayError], ...]:
        """Those that every verb has, then its own."""
        return (errors.BadRequest, errors.AccessDenied, errors.Unavailable, *self.refusals)


@dataclass(frozen=True)
class Endpoint:
    """An operation at a path; `path` has its parameters in braces."""

    method: str
    path: str
    operation: Operation


def _optional(schema: Schema) -> Schema:
    """An absent, null or empty field are the same."""
    return {"anyOf": [schema, {"enum": ["", None]}]}


_CHANNEL: Schema = {"title": "channel", "type": "string", "enum": [*Channel]}
_CONTACT: Schema = {
    "title": "phone or email",
    "type": "string",
    "format": "contact",
    "minLength": 1,
    "maxLength": 254,
}
_SESSION_ID: Schema = {"title": "ULID", "type": "string", "pattern": _ULID}
_FLAG: Schema = {
    "title": "true or false",
    "anyOf": [
        {"type": "boolean"},
        {"type": "integer", "enum": [0, 1]},
        {"type": "string", "enum": sorted(fields.YES_WORDS | fields.NO_WORDS)},
        {"type": "null"},
    ],
}
_CODE_TEXT: Schema = {"type": "string", "pattern": f"^[0-9A-Za-z]{{{SHORTEST},{LONGEST}}}$"}
_CODE_NUMBER: Schema = {"type": "integer", "minimum": 0, "maximum": 10**LONGEST - 1}
_CODE: Schema = {"title": "code", "anyOf": [_CODE_TEXT, _CODE_NUMBER]}
_CODE_WITHOUT_ZEROS: Schema = {
    "type": "string",
    "pattern": f"^([0-9A-Za-z]{{{SHORTEST},{LONGEST}}}|[0-9]{{1,3}})$",
}
_ENCRYPTED: Schema = {"title": "encrypted code", "type": "string", "format": "encrypted-code"}
_PROVIDER: Schema = {"title": "number", "type": "integer", "minimum": 1, "maximum": 10**15 - 1}

_TO = Field(_CONTACT, "phone in E.164 (spaces, dashes, brackets are fine) or email", required=True)
_SESSION = Field(_SESSION_ID, "the session", required=True)
_SPOKEN = ", ".join(f"`{lang}`" for lang in LANGUAGES)
_LANG = Field({}, f"{_SPOKEN}; before the Accept-Language header")
_OWN_CODE = Field(
    _optional({"anyOf": [_CODE, _ENCRYPTED]}),
    "the caller's own code, in the open or encrypted; with the secret key alone",
    in_query=_optional({"anyOf": [_CODE_TEXT, _ENCRYPTED]}),
)
_SEND = Field(_FLAG, "whether to send the code now; true if absent")
_TYPE = Field(
    _optional(_CHANNEL), "the channel; if absent the one this user last used, else the project's default"
)
_ENTERED = Field(
    _CODE,
    "what the visitor entered; a number has lost its leading zeros",
    required=True,
    in_query=_CODE_WITHOUT_ZEROS,
)
_TOKEN = Field({"type": "string", "minLength": 1}, "what `check` answered", required=True)
_MAYBE_SESSION = Field(_optional(_SESSION_ID), "the session, if there is one")
_TEST = Field({}, "accepted and not used")

_SESSION_ID_EXAMPLE = "01K8N1VMPN0EE389K72YW0CBM2"
_PHONE = "+79522966236"
_TOKEN_EXAMPLE = "<verify_token>"  # noqa: S105
_CHANNEL_REFUSALS = (
    *(errors.NoChannel, errors.ChannelUsedUp),
    *(errors.ChannelCannotReach, errors.CountryNotAllowed),
)
_LIMITS = (errors.TooOften, errors.DestinationBlocked, errors.DestinationTired, errors.CallerBlocked)

_CHALLENGE_HEADERS = {
    "x-challenge-token": Field(
        {},
        "what solves the challenge, where `settings` says that one is on and the key is the public one: ALTCHA's "
        "payload, or the CAPTCHA's token",
    ),
    "x-cf-turnstile-token": Field({}, "the same, under kod.mobi's name"),
}

CREATE = Operation(
    "Create a session",
    "Creates the contact's session, or returns the one that lives (3 minutes), and sends its code.",
    {"to": _TO, "type": _TYPE, "send": _SEND, "lang": _LANG},
    Created,
    (
        errors.NoChannels,
        errors.AllUsedUp,
        errors.PhoneNotAllowed,
        *_CHANNEL_REFUSALS,
        *_LIMITS,
        errors.ForeignOrigin,
        errors.ChallengeRequired,
    ),
    {"to": _PHONE, "type": "telegram", "send": True},
    headers=_CHALLENGE_HEADERS,
)
SEND = Operation(
    "Send the code again",
    "Sends the session's code on a channel. Each channel rests for 60 seconds; a Telegram code waits for the bot.",
    {"session_id": _SESSION, "type": Field(_CHANNEL, "the channel", required=True), "lang": _LANG},
    Sent,
    (errors.SessionExpired, errors.TooSoon, *_LIMITS, *_CHANNEL_REFUSALS, errors.ForeignOrigin),
    {"session_id": _SESSION_ID_EXAMPLE, "type": "telegram"},
)
CHANNELS = Operation(
    "List channels",
    "A session's channels with their state for this user, or without a session all of the project's.",
    {"session_id": _MAYBE_SESSION, "lang": _LANG},
    list[SessionChannel],
    (errors.SessionExpired, errors.ForeignOrigin),
    {"session_id": _SESSION_ID_EXAMPLE},
)
CHECK = Operation(
    "Check a code",
    "Compares the code that the visitor entered. A right one ends the session and gives a verify token.",
    {"session_id": _SESSION, "code": _ENTERED, "lang": _LANG},
    Checked,
    (errors.SessionExpired, errors.WrongCode, *_LIMITS, errors.ForeignOrigin),
    {"session_id": _SESSION_ID_EXAMPLE, "code": "703219"},
)
VERIFY = Operation(
    "Verify a token",
    "Your server exchanges a verify token for the contact: once, within 5 minutes.",
    {"verify_token": _TOKEN, "lang": _LANG},
    Verified,
    (errors.SessionExpired,),
    {"verify_token": _TOKEN_EXAMPLE},
    secret=True,
)
SETTINGS = Operation(
    "Read the project's settings",
    "What a client needs to draw its forms.",
    {"session_id": _MAYBE_SESSION, "lang": _LANG},
    SettingsAnswer,
    (errors.SessionExpired, errors.ForeignOrigin),
    {},
)
CHALLENGE = Operation(
    "Fetch a challenge",
    "An ALTCHA challenge (proof of work, version 2). Its solution, in base64 as ALTCHA's clients write it, goes "
    "with `create` in the header x-challenge-token: once, within 10 minutes. 404 where the project's challenge is "
    "another.",
    {"lang": _LANG},
    {"$ref": _REF.format(name="AltchaChallenge")},
    (errors.NotFound, errors.ForeignOrigin),
    {},
)
MANUAL_SEND = Operation(
    "Send a code of your own",
    "Your server sends a code on a channel it names, without a session. The answer's code is encrypted for the "
    "holder of the secret key. `callback_url` gets one signed POST, the message's state, once that is final.",
    {
        "to": _TO,
        "channel": Field(_CHANNEL, "the channel", required=True),
        "provider_id": Field(_optional(_PROVIDER), "the number of one of the channel's providers"),
        "code": Field(
            _optional({"anyOf": [_CODE, _ENCRYPTED]}),
            "the code, in the open or encrypted; if absent we make one",
        ),
        "callback_url": Field(
            _optional({"title": "URL", "type": "string", "format": "callback-url", "maxLength": 2000}),
            "a public http(s) address",
        ),
        "lang": _LANG,
    },
    {"$ref": _REF.format(name="ManualSent")},
    (*_CHANNEL_REFUSALS, errors.KeyReused, *_LIMITS),
    {
        "to": "ann@example.com",
        "channel": "email",
        "provider_id": 1,
        "code": "0000",
        "callback_url": "https://shop.example.com/sent",
    },
    secret=True,
    headers={
        fields.REPEAT_KEY: Field(
            {"minLength": 1, "maxLength": manual.LONGEST_KEY},
            "a repeat under the same key sends nothing twice",
        )
    },
)
MESSAGE = Operation(
    "Ask how a message went",
    "The state of a message that `manual/send` queued.",
    {},
    MessageStatus,
    (errors.NotFound,),
    {},
    secret=True,
)

_LEGACY_PHONE = Field(
    {"title": "phone or email", "type": "string", "format": "phone"},
    "phone as `79522966236`, `+79522966236` or `8 952 296-62-36`; or an email",
    required=True,
)
_LEGACY_AGAIN = Field(_optional(_CHANNEL), "the channel; if absent the one that sent last, else whatsapp")
_LEGACY_TYPE = Field(_optional(_CHANNEL), "the channel; if absent the one this user uses most, else whatsapp")
_LEGACY_EXAMPLE = {"session_id": _SESSION_ID_EXAMPLE, "type": "whatsapp"}
_LEGACY: dict[Any, Operation] = {
    legacy.create: Operation(
        "Create (legacy)",
        CREATE.text,
        {
            "phone": _LEGACY_PHONE,
            "type": _LEGACY_TYPE,
            "code": _OWN_CODE,
            "send": _SEND,
            "is_test": _TEST,
            "lang": _LANG,
        },
        {"$ref": _REF.format(name="LegacyCreated")},
        (errors.TooSoon, *CREATE.refusals),
        {"phone": "79522966236", "type": "telegram"},
        wrapped=True,
        headers=_CHALLENGE_HEADERS,
    ),
    legacy.send: Operation(
        "Send (legacy)",
        SEND.text,
        {"session_id": _SESSION, "type": _LEGACY_AGAIN, "code": _OWN_CODE, "lang": _LANG},
        {"$ref": _REF.format(name="LegacySent")},
        SEND.refusals,
        _LEGACY_EXAMPLE,
        wrapped=True,
    ),
    legacy.check: Operation(
        "Check (legacy)",
        CHECK.text,
        {"session_id": _SESSION, "code": _ENTERED, "lang": _LANG},
        Checked,
        CHECK.refusals,
        {"session_id": _SESSION_ID_EXAMPLE, "code": "7032"},
        wrapped=True,
    ),
    legacy.verify: Operation(
        "Verify (legacy)",
        VERIFY.text,
        VERIFY.fields,
        {"$ref": _REF.format(name="LegacyVerified")},
        VERIFY.refusals,
        VERIFY.example,
        secret=True,
        wrapped=True,
    ),
    legacy.check_channel: Operation(
        "Check a channel (legacy)",
        "The state of one of the session's channels.",
        {"session_id": _SESSION, "type": Field(_CHANNEL, "the channel", required=True), "lang": _LANG},
        SessionChannel,
        (errors.SessionExpired, errors.NoChannel, errors.ForeignOrigin),
        {"session_id": _SESSION_ID_EXAMPLE, "type": "telegram"},
        wrapped=True,
    ),
}

OPERATIONS: dict[Any, Operation] = {
    api.create: CREATE,
    api.send: SEND,
    api.channels: CHANNELS,
    api.check: CHECK,
    api.verify: VERIFY,
    api.settings: SETTINGS,
    api.challenge: CHALLENGE,
    manual.send: MANUAL_SEND,
    **_LEGACY,
}


def endpoints() -> Iterator[Endpoint]:
    """Every endpoint that the API serves."""
    for path, verbs in api.VERBS.items():
        for method, verb in verbs.items():
            yield Endpoint(method, path, OPERATIONS[verb])
    yield Endpoint("GET", f"{manual.MESSAGES}{{message_id}}", MESSAGE)


@cache
def document(public_url: str, version: str) -> bytes:
    """The OpenAPI document, encoded."""
    paths: dict[str, Schema] = {}
    responses: dict[str, Schema] = {}
    for endpoint in endpoints():
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, responses)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Kodgate",
                "version": version,
                "description": "Log visitors in by a one-time code. Compatible with kod.mobi.",
            },
            "servers": [{"url": public_url}],
            "paths": paths,
            "components": {
                "schemas": _components(),
                "responses": responses,
                "securitySchemes": {
                    "publicKey": _key("The project's public key; the secret key opens the same."),
                    "secretKey": _key("The project's secret key: your server only."),
                },
            },
        }
    )


def _key(text: str) -> Schema:
    return {"type": "apiKey", "in": "header", "name": "x-api-key", "description": text}


def _operation(endpoint: Endpoint, responses: dict[str, Schema]) -> Schema:
    """An endpoint's part of the document; the refusals it shares with others go to `responses`."""
    operation = endpoint.operation
    described: Schema = {
        "summary": operation.title,
        "description": operation.text,
        "operationId": endpoint.method.lower() + endpoint.path.translate(_NAME),
        "security": [{"secretKey": []}] if operation.secret else [{"publicKey": []}],
        "parameters": list(_parameters(endpoint)),
        "responses": {"200": _answer(endpoint), **_refusals(endpoint, responses)},
    }
    if endpoint.method == "POST":
        described["requestBody"] = {
            "required": True,
            "description": "JSON whatever the Content-Type says; a form is read as a form.",
            "content": {
                "application/json": {"schema": _object(operation.fields), "example": dict(operation.example)}
            },
        }
    return described


_NAME = str.maketrans({"/": "_", ".": "_", "{": None, "}": None, "-": "_"})


def _parameters(endpoint: Endpoint) -> Iterator[Schema]:
    operation = endpoint.operation
    if "{message_id}" in endpoint.path:
        number: Schema = {"type": "integer", "minimum": 1, "maximum": manual.LARGEST_ID}
        yield {"name": "message_id", "in": "path", "required": True, "schema": number}
    for name, one in operation.headers.items():
        yield {"name": name, "in": "header", "required": False, "schema": one.schema, "description": one.text}
    if endpoint.method == "GET":
        for name, one in operation.fields.items():
            schema = one.in_query or one.schema or {"type": "string"}
            yield {
                "name": name,
                "in": "query",
                "required": one.required,
                "schema": schema,
                "description": one.text,
            }


def _object(described: Mapping[str, Field]) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {name: {**one.schema, "description": one.text} for name, one in described.items()},
    }
    if required := [name for name, one in described.items() if one.required]:
        schema["required"] = required
    return schema


def _answer(endpoint: Endpoint) -> Schema:
    answer = endpoint.operation.answer
    schema = answer if isinstance(answer, dict) else _schema_of(answer)
    if endpoint.operation.wrapped:
        schema = {
            "type": "object",
            "properties": {"success": {"const": True}, "data": schema},
            "required": ["success", "data"],
        }
    described: Schema = {
        "description": "Done.",
        "headers": _REQUEST_ID,
        "content": {"application/json": {"schema": schema}},
    }
    if answer is Created:
        described["links"] = {name: _link(name, method) for name, method in _NEXT.items()}
    return described


_NEXT = {"send": "post", "check": "post", "channels": "get", "settings": "get"}


def _link(name: str, method: str) -> Schema:
    """What can be done with a session just created."""
    session_id = {"session_id": "$response.body#/session_id"}
    if method == "post":
        return {"operationId": f"post_session_{name}", "requestBody": session_id}
    return {"operationId": f"get_session_{name}", "parameters": session_id}


def _schema_of(answer: Any) -> Schema:
    [schema], _ = msgspec.json.schema_components([answer], ref_template=_REF)
    return schema


_REQUEST_ID = {
    "x-request-id": {"schema": {"type": "string"}, "required": True, "description": "names it in our log"}
}
_RETRY_AFTER = {"retry-after": {"schema": {"type": "integer", "minimum": 0}, "description": "seconds"}}


def _refusals(endpoint: Endpoint, responses: dict[str, Schema]) -> dict[str, Schema]:
    """The answers other than 200, by status."""
    by_status: dict[int, list[type[errors.GatewayError]]] = {}
    for refusal in endpoint.operation.every_refusal:
        by_status.setdefault(refusal.status, []).append(refusal)
    for refusals in by_status.values():
        responses.setdefault(_names(refusals), _refusal(refusals))
    return {
        str(status): {"$ref": f"#/components/responses/{_names(refusals)}"}
        for status, refusals in sorted(by_status.items())
    }


def _names(refusals: list[type[errors.GatewayError]]) -> str:
    return "_".join(refusal.__name__ for refusal in refusals)


def _refusal(refusals: list[type[errors.GatewayError]]) -> Schema:
    schema = {
        "allOf": [
            {"$ref": _REF.format(name="Error")},
            {
                "type": "object",
                "properties": {
                    "status": {"const": refusals[0].status},
                    "sys_message": {"enum": sorted({refusal.sys_message for refusal in refusals})},
                },
            },
        ]
    }
    waits = any(issubclass(refusal, (errors.TooSoon, errors.Unavailable)) for refusal in refusals)
    return {
        "description": " / ".join((refusal.__doc__ or "").split("\n")[0] for refusal in refusals),
        "headers": _REQUEST_ID | (_RETRY_AFTER if waits else {}),
        "content": {"application/json": {"schema": schema}},
    }


_HEX: Schema = {"type": "string", "pattern": "^[0-9a-f]+$"}


def _components() -> dict[str, Schema]:
    answers: list[Any] = [Created, Sent, Checked, Verified, SettingsAnswer, MessageStatus, SessionChannel]
    _, components = msgspec.json.schema_components(answers, ref_template=_REF)
    for answer in (*answers, *_nested(answers)):
        component = components[answer.__name__]
        component["description"] = cleandoc(component["description"]) if "description" in component else ""
        if not answer.__struct_config__.omit_defaults:
            component["required"] = list(answer.__struct_fields__)
    session_id, channel = (
        components["Created"]["properties"]["session_id"],
        {"$ref": _REF.format(name="SessionChannel")},
    )
    return {
        **components,
        "ManualSent": _answer_object(
            message={"type": "string"},
            code={"type": "string", "pattern": "^aes256:[0-9a-f]{32}:[0-9a-f]{32}:[0-9a-f]{8}$"},
            message_id={"type": "integer", "minimum": 1},
        ),
        "AltchaChallenge": _answer_object(
            parameters=_answer_object(
                algorithm={"const": "PBKDF2/SHA-256"},
                cost={"type": "integer", "description": "rounds a try"},
                nonce=_HEX,
                salt=_HEX,
                keyLength={"type": "integer", "description": "bytes"},
                keyPrefix=_HEX,
                keySignature=_HEX,
                expiresAt={"type": "integer", "description": "seconds since the epoch"},
                data={"type": "object"},
            ),
            signature=_HEX,
        ),
        "LegacyCreated": _answer_object(
            session_id=session_id,
            sent_to=components["Created"]["properties"]["sent_to"],
            client_channels={"type": "array", "items": channel},
        ),
        "LegacySent": _answer_object(session_id=session_id, client_channel=channel),
        "LegacyVerified": {
            "oneOf": [_answer_object(phone={"type": "string"}), _answer_object(email={"type": "string"})]
        },
        "Error": _answer_object(
            success={"const": False},
            status={"type": "integer"},
            error={"type": "string", "description": "a sentence in the caller's language"},
            sys_message={"type": "string", "examples": ["ERROR_SESSION_EXPIRED"]},
            error_params={
                "type": "object",
                "properties": {
                    "fields": {"type": "object", "additionalProperties": {"type": "string"}},
                    "count": {"type": "integer", "description": "attempts left"},
                    "timeout": {"type": "integer", "description": "seconds until it may be tried again"},
                    "provider": {"type": "string", "description": "whose challenge it is; `altcha` is ours"},
                    "api_key": {"type": ["string", "null"], "description": "the CAPTCHA's site key"},
                    "challenge_url": {"type": ["string", "null"], "description": "where ALTCHA's is fetched"},
                    "reason": {"type": "string", "description": "of a challenge: `missing` or `wrong`"},
                },
            },
        ),
    }


def _nested(answers: list[Any]) -> Iterator[Any]:
    """The structs that stand inside others."""
    for answer in answers:
        for kind in answer.__annotations__.values():
            for part in (kind, *get_args(kind)):
                if isinstance(part, type) and issubclass(part, msgspec.Struct) and part not in answers:
                    yield part


def _answer_object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}
