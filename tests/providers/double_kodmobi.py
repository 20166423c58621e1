"""kod.mobi's manual/send as published (seed: Manual send), with the two other calls that a check makes."""

import re
from typing import Any
from urllib.parse import urlsplit

from tests.misbehaving import Answer, Handler, refuses
from tests.providers.double import Double, first_wrong

SECRET = "sk_account:1/2"
PHONE = r"\+[1-9]\d{6,14}"
FIELDS = {"to", "channel", "provider_id", "code", "callback_url"}


def kodmobi_double(behave: Answer) -> Double:
    return Double(_look, refuses(400, "ERROR_BAD_REQUEST"), behave)


def _look(handler: Handler, body: Any) -> str:
    if handler.path != "/manual/send":
        return first_wrong(key=handler.headers["x-api-key"] == SECRET)
    return first_wrong(
        key=handler.headers["x-api-key"] == SECRET,
        method=handler.command == "POST",
        content_type=handler.headers["content-type"] == "application/json",
        fields=isinstance(body, dict) and {"to", "channel"} <= set(body) <= FIELDS,
        to=re.fullmatch(rf"{PHONE}|[^@\s]+@[^@\s]+", body["to"]) is not None,
        channel=body["channel"] in ("telegram", "whatsapp", "sms", "email", "viber"),
        provider_id=isinstance(body.get("provider_id", 1), int),
        code=re.fullmatch(r"\w{4,6}", body.get("code", "0000")) is not None,
        callback_url=urlsplit(body.get("callback_url", "https://x")).scheme in ("http", "https"),
        idempotency_key=0 < len(handler.headers["idempotency-key"]) <= 255,
    )
