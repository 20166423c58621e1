"""Reading a request: its fields, wherever they stand and whatever the Content-Type says.

The published examples send JSON under `application/x-www-form-urlencoded`, or under nothing at all.
"""

from typing import Any
from urllib.parse import parse_qsl

import msgspec

from gateway.channels import Channel
from gateway.codes import SHORTEST
from gateway.decoding import NOT_JSON
from gateway.errors import BadRequest, SessionExpired
from gateway.i18n import N_

Fields = dict[str, Any]
Environ = dict[str, Any]

REPEAT_KEY = "Idempotency-Key"  # the header (IETF draft of that name) stands among the fields

_MOST_FIELDS = 100
_LONGEST_NUMBER = 15  # digits
_LONGEST_SESSION_ID = 64  # characters; a ULID has 26
YES_WORDS = frozenset(spelt for word in ("true", "1", "yes", "on") for spelt in (word, word.title(), word.upper()))
NO_WORDS = frozenset(
    spelt for word in ("false", "0", "no", "off", "") for spelt in (word, word.title(), word.upper())
)


def query_fields(environ: Environ) -> Fields:
    """The fields of a query string. Raises `BadRequest`."""
    text: str = environ.get("QUERY_STRING", "")
    return _form(text if text.isascii() else text.encode("latin-1").decode("utf-8", "replace"), "query")


def body_fields(environ: Environ, limit: int, *, may_be_empty: bool = False) -> Fields:
    """The fields of a body of at most `limit` bytes. Raises `BadRequest`."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if length.isdecimal() and int(length) > limit:
        raise BadRequest("body", N_("is larger than %(limit)s bytes"), limit=limit)
    body = environ["wsgi.input"].read(limit + 1)
    if len(body) > limit:
        raise BadRequest("body", N_("is larger than %(limit)s bytes"), limit=limit)
    if may_be_empty and not body:
        return {}
    if environ.get("CONTENT_TYPE", "").lower().startswith("application/x-www-form-urlencoded"):
        start = body[:64].lstrip()[:1]
        if start not in (b"{", b"["):
            return _form(body.decode("utf-8", "replace"), "body")
    return _json(body)


def text(fields: Fields, name: str) -> str:
    """A text that must be there. Raises `BadRequest`."""
    value = fields.get(name)
    if value is None or value == "":
        raise BadRequest(name, N_("is missing"))
    if not isinstance(value, str):
        raise BadRequest(name, N_("must be a text"))
    return value


def text_or_none(fields: Fields, name: str) -> str | None:
    """A text, None where it is absent, null or empty. Raises `BadRequest`."""
    return None if fields.get(name) in (None, "") else text(fields, name)


def code(fields: Fields) -> Any:
    """A code as it was entered. Raises `BadRequest` where there is none."""
    if fields.get("code") is None:
        raise BadRequest("code", N_("is missing"))
    return _whole(fields["code"])


def session_id(fields: Fields) -> str:
    """A session's ULID, in capitals as ours are written. Raises `BadRequest`, `SessionExpired`."""
    given = text(fields, "session_id").strip().upper()
    if len(given) > _LONGEST_SESSION_ID or not given.isascii() or not given.isprintable():
        raise SessionExpired  # nobody ever made that one, and no upstream or database shall be asked for it
    return given


def channel(fields: Fields, name: str = "type") -> Channel | None:
    """A channel, None where it is absent or empty. Raises `BadRequest`."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    try:
        return Channel(value)
    except ValueError:
        raise BadRequest(name, N_("must be one of: %(names)s"), names=", ".join(Channel)) from None


def number(fields: Fields, name: str) -> int | None:
    """A whole number from 1, None where it is absent. Raises `BadRequest`."""
    value = _whole(fields.get(name))
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _LONGEST_NUMBER:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 10**_LONGEST_NUMBER:
        return value
    raise BadRequest(name, N_("must be a whole number"))


def own_code(fields: Fields) -> str | None:
    """A code that the caller brought; a number has lost its leading zeros, of the shortest code at least."""
    value = _whole(fields.get("code"))
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return f"{value:0{SHORTEST}d}"
    return text(fields, "code")


def flag(fields: Fields, name: str, default: bool) -> bool:
    """A yes or no. Raises `BadRequest`."""
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, (str, int)):
        if value in (True, 1) or value in YES_WORDS:
            return True
        if value in (False, 0) or value in NO_WORDS:
            return False
    raise BadRequest(name, N_("must be true or false"))


def _whole(value: Any) -> Any:
    """To JSON, 7032.0 is the number 7032."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _form(encoded: str, field: str) -> Fields:
    if not encoded:
        return {}
    try:
        return dict(parse_qsl(encoded, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise BadRequest(field, N_("has too many fields")) from None


def _json(body: bytes) -> Fields:
    try:
        fields = msgspec.json.decode(body)
    except NOT_JSON:
        raise BadRequest("body", N_("is not JSON")) from None
    if not isinstance(fields, dict):
        raise BadRequest("body", N_("must be a JSON object"))
    return fields
