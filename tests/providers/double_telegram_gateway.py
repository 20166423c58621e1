"""An account of Telegram Gateway's: its four methods as https://core.telegram.org/gateway/api has them."""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Any

from tests.misbehaving import Answer, Handler, says
from tests.providers.double import Double, first_wrong

_TEXT = re.compile(r".+", re.DOTALL)
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
_METHODS: dict[str, tuple[dict[str, re.Pattern[str]], dict[str, re.Pattern[str]]]] = {
    "/checkSendAbility": ({"phone_number": _PHONE}, {}),
    "/sendVerificationMessage": (
        {"phone_number": _PHONE},
        {
            "request_id": _TEXT,
            "sender_username": re.compile(r"[A-Za-z]\w{3,31}"),
            "code": re.compile(r"[0-9]{4,8}"),
            "callback_url": re.compile(r"https://.{1,248}"),
            "payload": re.compile(r".{0,128}"),
        },
    ),
    "/checkVerificationStatus": ({"request_id": _TEXT}, {"code": _TEXT}),
    "/revokeVerificationMessage": ({"request_id": _TEXT}, {}),
}


@dataclass
class Account:
    """What the double remembers: each request's number and, once sent, its code; `fees` counts those taken."""

    requests: dict[str, str] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    revoked: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    fees: int = 0

    def answer(self, handler: Handler) -> None:
        body = handler.server.seen[-1][3]
        method = getattr(self, "_" + handler.path.removeprefix("/"))
        result = method(body)
        said = {"ok": False, "error": result} if isinstance(result, str) else {"ok": True, "result": result}
        says(said, 400 if isinstance(result, str) else 200)(handler)

    def _checkSendAbility(self, body: dict[str, Any]) -> Any:
        self.fees += 1
        request_id = f"request-{self.fees}"
        self.requests[request_id] = body["phone_number"]
        return self._status(request_id)

    def _sendVerificationMessage(self, body: dict[str, Any]) -> Any:
        request_id = body["request_id"]
        if request_id not in self.requests:
            return "REQUEST_ID_INVALID"
        if self.requests[request_id] != body["phone_number"]:
            return "PHONE_NUMBER_MISMATCH"
        if request_id in self.codes:
            return "MESSAGE_ALREADY_SENT"
        self.codes[request_id] = body["code"]
        return self._status(request_id) | {"delivery_status": {"status": "sent", "updated_at": 1_761_640_000}}

    def _checkVerificationStatus(self, body: dict[str, Any]) -> Any:
        if body["request_id"] not in self.requests:
            return "REQUEST_ID_INVALID"
        if self.codes.get(body["request_id"]) == body.get("code"):
            self.confirmed.append(body["request_id"])
        return self._status(body["request_id"])

    def _revokeVerificationMessage(self, body: dict[str, Any]) -> Any:
        if body["request_id"] not in self.codes:
            return "REQUEST_ID_INVALID"
        self.revoked.append(body["request_id"])
        return True

    def _status(self, request_id: str) -> dict[str, Any]:
        return {"request_id": request_id, "phone_number": self.requests[request_id], "request_cost": 0.01}


def telegram_gateway_double(token: str, behave: Answer) -> Double:
    def look(handler: Handler, body: Any) -> str:
        if handler.path not in _METHODS:
            return f"no method {handler.path}"
        required, optional = _METHODS[handler.path]
        texts = {name: value for name, value in (body or {}).items() if name != "ttl"}
        forms = required | optional
        return first_wrong(
            method=handler.command == "POST",
            token=handler.headers["authorization"] == f"Bearer {token}",
            content_type=handler.headers["content-type"] == "application/json",
            required=set(required) <= set(texts),
            known=set(texts) <= set(forms),
            forms=all(name in forms and _fits(forms[name], value) for name, value in texts.items()),
            ttl=len(texts) == len(body or {}) or _lives(handler.path, body["ttl"]),
        )

    return Double(look, says({"ok": False, "error": "DOUBLE_SAW_A_WRONG_REQUEST"}, 400), behave)


def _fits(form: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def _lives(path: str, ttl: object) -> bool:
    return path == "/sendVerificationMessage" and type(ttl) is int and 30 <= ttl <= 3600


def sign_report(token: str, timestamp: int | str, body: bytes) -> dict[str, str]:
    """The headers of a report: «Checking report integrity»."""
    key = hashlib.sha256(token.encode()).digest()
    signature = hmac.new(key, f"{timestamp}\n".encode() + body, hashlib.sha256).hexdigest()
    return {"x-request-timestamp": str(timestamp), "x-request-signature": signature}
