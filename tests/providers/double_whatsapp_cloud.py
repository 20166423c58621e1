"""Meta's Cloud API for one phone number, as its documentation of the WhatsApp Business Platform has it."""

import hashlib
import hmac
import re
from typing import Any

from tests.misbehaving import Answer, Handler, says
from tests.providers.double import Double, first_wrong

WAMID = "wamid.HBgLNzk1MjI5NjYyMzYVAgARGBI4QTdCMzA5QTM2N0RGRkU4NkIA"
ACCEPTED = {
    "messaging_product": "whatsapp",
    "contacts": [{"input": "+79522966236", "wa_id": "79522966236"}],
    "messages": [{"id": WAMID, "message_status": "accepted"}],
}
NUMBER = {"verified_name": "Shop", "quality_rating": "GREEN", "id": "106540352242922"}


def refuses(code: int, status: int = 400, **more: Any) -> Answer:
    """An error as the Graph API tells it; its texts name the recipient, which nobody else may."""
    error = {
        "message": f"(#{code}) +79522966236 can't have 482173",
        "type": "OAuthException",
        "code": code,
        "error_data": {"messaging_product": "whatsapp", "details": "79522966236"},
        "fbtrace_id": "AbCdEf",
        **more,
    }
    return says({"error": error}, status)


def whatsapp_cloud_double(number: str, token: str, behave: Answer) -> Double:
    def look(handler: Handler, body: Any) -> str:
        if handler.headers["authorization"] != f"Bearer {token}":
            return "token"
        if handler.command == "GET":
            return first_wrong(
                path=handler.path == f"/v25.0/{number}?fields=verified_name,quality_rating", body=body is None
            )
        return first_wrong(
            method=handler.command == "POST",
            path=handler.path == f"/v25.0/{number}/messages",
            content_type=handler.headers["content-type"] == "application/json",
        ) or _wrong_message(body)

    return Double(look, refuses(100), behave)


def _wrong_message(body: Any) -> str:
    try:
        template = body["template"]
        components = template["components"]
        codes = [component["parameters"] for component in components]
        return _wrong_part(body, template, components, codes)
    except (AttributeError, IndexError, KeyError, TypeError):
        return "shape"


def _wrong_part(body: Any, template: Any, components: Any, codes: Any) -> str:
    return first_wrong(
        fields=set(body) == {"messaging_product", "recipient_type", "to", "type", "template"},
        product=body["messaging_product"] == "whatsapp",
        recipient=body["recipient_type"] == "individual",
        to=re.fullmatch(r"\+?[1-9][0-9]{6,14}", body["to"]) is not None,
        type=body["type"] == "template",
        template=set(template) == {"name", "language", "components"},
        name=re.fullmatch(r"[a-z0-9_]{1,512}", template["name"]) is not None,
        language=set(template["language"]) == {"code"},
        language_code=re.fullmatch(r"[a-z]{2,3}(_[A-Z]{2})?", template["language"]["code"]) is not None,
        body=len(components) == 2 and set(components[0]) == {"type", "parameters"},
        body_type=components[0]["type"] == "body",
        button={name: components[1].get(name) for name in components[1] if name != "parameters"}
        == {"type": "button", "sub_type": "url", "index": "0"},
        the_same_code_twice=codes[0] == codes[1],
        code=[set(one) for one in codes[0]] == [{"type", "text"}] and codes[0][0]["type"] == "text",
        code_length=1 <= len(codes[0][0]["text"]) <= 15,
    )


def sign_report(secret: str, body: bytes) -> dict[str, str]:
    """The header of a webhook's POST."""
    return {"x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}
