"""The API as `/docs` shows it: each operation once, and every refusal, made of what `web.openapi` describes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from markupsafe import Markup, escape

from gateway import errors
from gateway.settings import ROOT
from web import legacy, manual
from web.examples import Example, write
from web.openapi import Endpoint, Operation, Schema, endpoints
from web.samples import MESSAGE_STATUS, answers

Refusal = type[errors.GatewayError]


@dataclass(frozen=True)
class Row:
    """A field of a request; `place` is where it stands, if not among the others."""

    name: str
    kind: str
    required: bool
    text: str
    place: str = ""


@dataclass(frozen=True)
class Section:
    """One operation."""

    title: str
    anchor: str
    text: str
    method: str
    path: str
    also: list[str]
    secret: bool
    rows: list[Row]
    code: str
    answer: str
    refusals: list[Refusal]


@dataclass(frozen=True)
class Chapter:
    """Operations that belong together."""

    title: str
    anchor: str
    text: str
    sections: list[Section]


@dataclass(frozen=True)
class Meaning:
    """One refusal, in a table of all."""

    refusal: Refusal
    text: str
    params: str


_CHAPTERS = (
    (
        "Session API",
        "session-api",
        "A visitor gives a phone or an email (create), gets a code on a channel (send), enters it (check); "
        "then your server asks whose contact it was (verify).",
        ("/session/",),
    ),
    (
        "Manual API",
        "manual-api",
        "Your server sends a code by itself, and compares it by itself. There is no session.",
        ("/manual/",),
    ),
    (
        "Message API (legacy)",
        "message-api",
        "The older form of the Session API. Parameters stand in the query or in the body, answers are wrapped in "
        "`success` and `data`, and codes have 4 digits unless you bring your own. New programs do better with the "
        "Session API.",
        legacy.PREFIXES,
    ),
)
_PUBLISHED = "/api/v2/"  # of the Message API's two prefixes the one that kod.mobi documents

_PARAMS: tuple[tuple[Refusal, str], ...] = (
    (errors.KeyReused, "`error_params.fields`: the Idempotency-Key with the reason"),
    (errors.BadRequest, "`error_params.fields`: each wrong field with the reason"),
    (errors.WrongCode, "`error_params.count`: attempts left"),
    (errors.TooSoon, "`error_params.timeout`: seconds, also in Retry-After"),
    (errors.Unavailable, "`error_params.timeout`: seconds, also in Retry-After"),
    (
        errors.ChallengeRequired,
        "`error_params.provider`, `api_key` or `challenge_url`: what to solve; `reason`: `missing` or `wrong`",
    ),
    (errors.MethodNotAllowed, "`error_params.allow`: the methods, also in Allow"),
)
_MEANINGS: dict[Refusal, str] = {
    errors.GatewayError: "A defect of ours. Our log has it under the answer's x-request-id.",
    errors.NotFound: "No such path, or no such message.",
}
_FOREIGN = {
    "ERROR_WRONG_BALANCE": "kod.mobi or a provider is out of credit",
}


def chapters(public_url: str, language: str) -> list[Chapter]:
    """Every operation, its example written in one of `web.examples.LANGUAGES`."""
    by_title: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints():
        by_title.setdefault(endpoint.operation.title, []).append(endpoint)
    samples = answers(public_url)
    sections = [_section(same, public_url, language, samples) for same in by_title.values()]
    return [
        Chapter(title, anchor, text, [section for section in sections if section.path.startswith(prefixes)])
        for title, anchor, text, prefixes in _CHAPTERS
    ]


def meanings() -> list[Meaning]:
    """Every refusal that this server knows, by status."""
    every: set[Refusal] = {errors.GatewayError, *_below(errors.GatewayError)}
    return [
        Meaning(
            refusal,
            _MEANINGS.get(refusal) or _in_short(refusal.__doc__ or ""),
            next((text for kind, text in _PARAMS if issubclass(refusal, kind)), ""),
        )
        for refusal in sorted(every, key=lambda refusal: (refusal.status, refusal.__name__))
    ]


def foreign_refusals() -> dict[str, str]:
    """What kod.mobi may answer besides, for programs that know it."""
    ours = {meaning.refusal.sys_message for meaning in meanings()}
    return {name: text for name, text in _FOREIGN.items() if name not in ours}


def callback() -> str:
    """The body of a callback."""
    return _written(MESSAGE_STATUS)


def snippet(name: str, language: str) -> str:
    """A function to copy: `decode` of encrypted codes, `signature` of callbacks."""
    return (ROOT / "templates/docs" / name / f"{language}.txt").read_text("utf-8").rstrip()


def marked(text: str) -> Markup:
    """Plain text as HTML; what stands between backticks is code."""
    return Markup(re.sub("`(.+?)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just here


def breakable(name: str) -> Markup:
    """A long name that may go on in the next line after each underscore."""
    return Markup("_<wbr>").join(name.split("_"))


def _section(same: list[Endpoint], public_url: str, language: str, samples: dict[str, Any]) -> Section:
    main = next((endpoint for endpoint in same if endpoint.path.startswith(_PUBLISHED)), same[0])
    operation = main.operation
    example = Example(
        main.method,
        public_url + main.path.format(message_id=1),
        "<secret key>" if operation.secret else "<public key>",
        operation.example,
    )
    return Section(
        title=operation.title,
        anchor=re.sub(r"[^a-z]+", "-", operation.title.lower()).strip("-"),
        text=operation.text,
        method=main.method,
        path=main.path,
        also=_also(main, same),
        secret=operation.secret,
        rows=list(_rows(main)),
        code=write(language, example),
        answer=_written(samples[operation.title]),
        refusals=sorted(operation.every_refusal, key=lambda refusal: refusal.status),
    )


def _also(main: Endpoint, same: list[Endpoint]) -> list[str]:
    methods: dict[str, list[str]] = {}
    for endpoint in same:
        if endpoint is not main:
            methods.setdefault(endpoint.path, []).append(endpoint.method)
    return [
        f"{' or '.join(each)} {path}"
        for path, each in sorted(methods.items(), key=lambda one: one[0] != main.path)
    ]


def _rows(endpoint: Endpoint) -> Iterator[Row]:
    operation: Operation = endpoint.operation
    if endpoint.path.startswith(manual.MESSAGES):
        yield Row("message_id", "number", True, "what `manual/send` answered", "in the path")
    for name, one in operation.fields.items():
        yield Row(name, _in_words(one.schema), one.required, one.text)
    for name, one in operation.headers.items():
        yield Row(name, _in_words(one.schema), one.required, one.text, "a header")


def _written(answer: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(answer), indent=2).decode()


def _in_words(schema: Schema) -> str:
    if "title" in schema:
        return str(schema["title"])
    parts = [_in_words(part) for part in schema.get("anyOf", ()) if part != {"enum": ["", None]}]
    return " or ".join(parts) or "text"


def _in_short(docstring: str) -> str:
    """Its first clause: what follows a semicolon tells of the parameters, which have a line of their own."""
    return re.split(r"[;\n]", docstring)[0].rstrip(".") + "."


def _below(refusal: Refusal) -> Iterator[Refusal]:
    for each in refusal.__subclasses__():
        yield each
        yield from _below(each)
