"""The JSON API: one plain WSGI callable, a table of (path, method) → verb, with msgspec in and out.

Flask costs three times the verbs themselves (MEASURED), so it stands behind this, for what people look at.
"""

import itertools
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

import msgspec

from gateway import errors
from gateway.contact import parse_contact
from gateway.headers import security_headers
from gateway.i18n import N_, pick_language, wished_language
from gateway.settings import Settings
from gateway.store import Busy
from gateway.store.entries import Actor
from gateway.verbs import Caller, Gateway
from web import fields, legacy, manual
from web.address import Visitors
from web.cors import Headers, Origins, preflight, readable_by
from web.fields import Environ, Fields

log = logging.getLogger(__name__)

Answer = msgspec.Struct | list[Any] | dict[str, Any]
Verb = Callable[[Gateway, Caller, Fields], Answer]
Verbs = Mapping[str, Verb]

_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_COMMON_HEADERS = [
    ("content-type", "application/json"),
    ("cache-control", "no-store"),
]
_BUSY_RETRY = 1  # seconds: the longest that a purge or a checkpoint holds the store


def create(gateway: Gateway, caller: Caller, given: Fields) -> msgspec.Struct:
    """Seed: Session create."""
    to = parse_contact(fields.text(given, "to"))
    return gateway.create(caller, to, fields.channel(given), send=fields.flag(given, "send", default=True))


def send(gateway: Gateway, caller: Caller, given: Fields) -> msgspec.Struct:
    """Seed: Session send."""
    session_id, channel = fields.session_id(given), fields.channel(given)
    if channel is None:
        raise errors.BadRequest("type", N_("is missing"))
    return gateway.send(caller, session_id, channel)


def channels(gateway: Gateway, caller: Caller, given: Fields) -> list[Any]:
    """Seed: Session channels."""
    return gateway.channels(caller, fields.session_id(given) if given.get("session_id") else None)


def check(gateway: Gateway, caller: Caller, given: Fields) -> msgspec.Struct:
    """Contract: `POST /session/check`."""
    return gateway.check(caller, fields.session_id(given), fields.code(given))


def verify(gateway: Gateway, caller: Caller, given: Fields) -> msgspec.Struct:
    """Contract: `POST /session/verify`, secret key."""
    return gateway.verify(caller, fields.text(given, "verify_token"))


def settings(gateway: Gateway, caller: Caller, given: Fields) -> msgspec.Struct:
    """Contract: `GET /session/settings`."""
    return gateway.settings(caller, fields.session_id(given) if given.get("session_id") else None)


def challenge(gateway: Gateway, caller: Caller, given: Fields) -> dict[str, Any]:  # noqa: ARG001
    """Ours: `GET /session/challenge`, an ALTCHA challenge."""
    return gateway.new_challenge(caller.project)


_SESSION_VERBS: dict[str, Verbs] = {
    "create": {"POST": create},
    "send": {"POST": send},
    "channels": {"GET": channels},
    "check": {"POST": check},
    "verify": {"POST": verify},
    "settings": {"GET": settings},
}
PREFIXES = ("/session/", "/v2/", "/v2.1/")  # the last two are the SDK's; it asks for the same six
VERBS: dict[str, Verbs] = {
    **{prefix + name: verbs for prefix in PREFIXES for name, verbs in _SESSION_VERBS.items()},
    "/session/challenge": {"GET": challenge},
    **manual.VERBS,
    **legacy.VERBS,
}
_QUICK = frozenset(prefix + name for prefix in PREFIXES for name in ("create", "send", "check", "verify"))
ALL_PREFIXES = (*PREFIXES, "/manual/", *legacy.PREFIXES)
_ACTIONS = {
    path: f"{'manual' if path.startswith('/manual/') else 'session'}.{path.rpartition('/')[2]}" for path in VERBS
}
OTHER = "request"


class Api:
    """The API as a WSGI callable that hands every other path to `site`."""

    def __init__(self, gateway: Gateway, config: Settings, site: WSGIApplication) -> None:
        self._gateway = gateway
        self._body_limit = config.body_limit
        self._site = site
        self._origins = Origins(config)
        self._visitors = Visitors(config)
        self._encode = msgspec.json.Encoder().encode
        self._process = os.urandom(4).hex()
        self._numbers = itertools.count(1)
        self._headers = [*_COMMON_HEADERS, *security_headers(config.public_url)]

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        verbs = VERBS.get(path)
        if verbs is None:
            if not path.startswith(ALL_PREFIXES):
                return self._site(environ, start_response)
            if path.startswith(manual.MESSAGES):
                verbs = manual.STATUS
        request_id = f"{self._process}-{next(self._numbers):x}"
        headers = [*self._headers, ("x-request-id", request_id)]
        if environ["REQUEST_METHOD"] == "OPTIONS" and verbs:
            return _preflight(environ, verbs, headers, start_response)
        status = 200
        try:
            body = self._encode(self._answer(environ, verbs, headers))
        except errors.GatewayError as refusal:
            status, body = self._refuse(environ, refusal, headers, request_id)
        except Busy as problem:
            log.warning("%s %s: the store is busy: %s", request_id, path, problem)
            status, body = self._refuse(environ, errors.Unavailable(timeout=_BUSY_RETRY), headers, request_id)
        except Exception:
            log.exception("%s %s: a defect of ours", request_id, path)
            status, body = self._refuse(environ, errors.GatewayError(), headers, request_id)
        headers.append(("content-length", str(len(body))))
        start_response(_STATUS_LINES[status], headers)
        return [body]

    def _answer(self, environ: Environ, verbs: Verbs | None, headers: Headers) -> Answer:
        if verbs is None:
            raise errors.NotFound
        method = environ["REQUEST_METHOD"]
        verb = verbs.get(method)
        if verb is None:
            raise errors.MethodNotAllowed(allow=", ".join(verbs))
        key = environ.get("HTTP_X_API_KEY")
        project, secret = environ["kodgate.key"] = self._gateway.authenticate(key)
        if origin := environ.get("HTTP_ORIGIN"):
            headers += self._origins.admit(origin, project, secret)
        given = _fields(environ, verb, self._body_limit)
        wished = wished_language(_text_or_none(given.get("lang")), environ.get("HTTP_ACCEPT_LANGUAGE"))
        lang = environ["kodgate.lang"] = project.settings.language(wished)
        shown = _challenge(environ)
        address = self._visitors.address(environ)
        caller = Caller(project, secret, lang, key=key or "", challenge=shown, address=address)
        return verb(self._gateway, caller, given)

    def _refuse(
        self, environ: Environ, refusal: errors.GatewayError, headers: Headers, request_id: str
    ) -> tuple[int, bytes]:
        project, secret = environ.get("kodgate.key", (None, False))
        actor: Actor = "unknown" if project is None else "secret key" if secret else "public key"
        self._gateway.refused(actor, action_of(environ["PATH_INFO"]), refusal, project)
        lang = environ.get("kodgate.lang") or pick_language(environ.get("HTTP_ACCEPT_LANGUAGE"))
        log.info("%s %s: %s", request_id, environ["PATH_INFO"], refusal.sys_message)
        if refusal.status == 401 and project is None and (origin := environ.get("HTTP_ORIGIN")):
            headers += readable_by(origin)  # so that a developer's page can see what is wrong with its key
        if "timeout" in refusal.params:
            headers.append(("retry-after", str(refusal.params["timeout"])))
        if "allow" in refusal.params:
            headers.append(("allow", refusal.params["allow"]))
        return refusal.status, self._encode(error_body(refusal, lang))


def error_body(refusal: errors.GatewayError, lang: str) -> dict[str, Any]:
    """The contract's error object."""
    params = dict(refusal.params)
    if isinstance(refusal, errors.BadRequest):
        params = {"fields": {refusal.field: refusal.why(lang)}}
    return {
        "success": False,
        "status": refusal.status,
        "error": refusal.text(lang),
        "sys_message": refusal.sys_message,
        "error_params": params,
    }


def _fields(environ: Environ, verb: Verb, limit: int) -> Fields:
    """The request's fields: in the body of a POST, in the query of a GET, and in either for the legacy API."""
    if environ["REQUEST_METHOD"] == "GET":
        given = fields.query_fields(environ)
        if verb is manual.status:
            given["message_id"] = environ["PATH_INFO"].removeprefix(manual.MESSAGES)
        return given
    if verb not in legacy.BOTH:
        given = fields.body_fields(environ, limit)
        if verb is manual.send:
            given[fields.REPEAT_KEY] = environ.get("HTTP_IDEMPOTENCY_KEY")  # the header's alone
        return given
    return fields.query_fields(environ) | fields.body_fields(environ, limit, may_be_empty=True)


def is_quick(environ: Environ) -> bool:
    """Whether it waits for nobody but the store; who looks at a challenge may be its provider."""
    return environ["PATH_INFO"] in _QUICK and not _challenge(environ)


def _challenge(environ: Environ) -> str:
    return environ.get("HTTP_X_CHALLENGE_TOKEN") or environ.get("HTTP_X_CF_TURNSTILE_TOKEN") or ""


def _preflight(environ: Environ, verbs: Verbs, headers: Headers, start_response: StartResponse) -> Iterable[bytes]:
    """Any page may ask; without an Origin it is a plain question for the methods (RFC 9110, 9.3.7)."""
    methods = ", ".join([*verbs, "OPTIONS"])
    headers.append(("allow", methods))
    if origin := environ.get("HTTP_ORIGIN"):
        headers += preflight(origin, methods)
    start_response("204 No Content", headers)
    return []


def action_of(path: str) -> str:
    """What was asked for, as the audit log names it: `session.create` under any of its paths."""
    if known := _ACTIONS.get(path):
        return known
    return "manual.status" if path.startswith(manual.MESSAGES) else OTHER


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None
