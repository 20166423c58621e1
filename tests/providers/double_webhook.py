"""An operator's own sender, as docs/providers.md describes the request to it."""

import re
from typing import Any

from gateway.channels import Channel
from gateway.signing import is_signed
from tests.misbehaving import Answer, Handler, says
from tests.providers.double import Double, first_wrong

TYPES = {
    "message_id": int,
    "channel": str,
    "to": str,
    "code": str,
    "text": str,
    "lang": str,
    "project": str,
}


def webhook_double(key: bytes, at: int, behave: Answer) -> Double:
    """Wants each request signed with `key` about `at` (unix seconds), and unsigned where that is empty."""

    def look(handler: Handler, body: Any) -> str:
        header = handler.headers.get("x-kodgate-signature")
        key_of_repeats = handler.headers.get("idempotency-key", "")
        return first_wrong(
            method=handler.command in ("POST", "HEAD"),
            path=handler.path == "/send?from=kodgate",
            content_type=handler.headers["content-type"] == "application/json",
            fields=isinstance(body, dict) and {name: type(value) for name, value in body.items()} == TYPES,
            channel=body["channel"] in set(Channel),
            to=re.fullmatch(r"\+\d{7,15}|\S+@\S+", body["to"]) is not None,
            idempotency_key=re.fullmatch(rf"{body['message_id']}-[0-9a-f]{{16}}", key_of_repeats) is not None,
            signature=is_signed(header or "", handler.sent, key, at) if key else header is None,
        )

    return Double(look, says({"error": "malformed"}, 400), behave)
