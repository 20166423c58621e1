"""A receiver of Apprise's own JSON notifications, its json:// service."""

import re
from typing import Any

from tests.misbehaving import Answer, Handler, says
from tests.providers.double import Double, first_wrong

TYPES = {"version": str, "title": str, "message": str, "attachments": list, "type": str}


def apprise_double(behave: Answer) -> Double:
    return Double(_look, says({"error": "malformed"}, 400), behave)


def _look(handler: Handler, body: Any) -> str:
    return first_wrong(
        method=handler.command == "POST",
        path=re.fullmatch(r"/notify/(\d{7,15}|[^/@]+@[^/@]+)/?(\?a=b)?", handler.path) is not None,
        content_type=handler.headers["content-type"] == "application/json",
        fields=isinstance(body, dict) and {name: type(value) for name, value in body.items()} == TYPES,
        type=body["type"] == "info",
        user=handler.headers["authorization"] == "Basic a29kZ2F0ZTpzM2NyZXQ=",
    )
