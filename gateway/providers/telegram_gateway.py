"""`telegram-gateway://TOKEN[?sender=@channel][&api=https://…]`: the code comes from Telegram's account for codes.

Telegram Gateway API, https://core.telegram.org/gateway/api as of 26 February 2025. TOKEN is the account's,
`sender` a verified channel of its owner that codes come from instead, `api` another server than Telegram's.

A message is two calls: `checkSendAbility`, which costs the fee and names a `request_id`, then
`sendVerificationMessage` with our own code under that name. One fee is taken for a `request_id`, and one message
sent; so it is kept while a message is tried again, which then is neither paid for nor sent twice.

The API names its errors in a field, but publishes no list. The names here are those met by
https://github.com/apifonica/tg-gateway-go (errors.go); one that we don't know may pass, and is tried again.
"""

import asyncio
import hashlib
import hmac
import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from gateway.clock import Clock, system_clock
from gateway.decoding import NOT_JSON
from gateway.providers import (
    ForgedReport,
    Message,
    Options,
    PermanentError,
    Receipt,
    Report,
    SendError,
    TransientError,
    WrongProviderUrl,
)
from gateway.providers.calls import Calls, wait_of
from gateway.providers.parameters import SECRET, read_address, read_parameters, split_url

log = logging.getLogger(__name__)

API = "https://gatewayapi.telegram.org"
EXAMPLE = "telegram-gateway://TOKEN?sender=@channel"

SHORTEST_LIFE, LONGEST_LIFE = 30, 3600  # seconds that `ttl` may be
LONGEST_CALLBACK_URL = 256  # bytes
OLDEST_REPORT = 300  # seconds
MOST_REQUESTS = 1000  # kept for messages that are tried again

_CODE = re.compile(r"[0-9]{4,8}")
_SENDER = re.compile(r"@?([A-Za-z][A-Za-z0-9_]{3,31})")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_ERROR = re.compile(r"([A-Z_]{1,64}?)(?:_([0-9]{1,9}))?")

# Faults of the number, the code or this provider's URL. Those of the account (ACCESS_TOKEN_…, BALANCE_NOT_ENOUGH)
# are its operator's to mend, and not the message's.
_FINAL = ("PHONE_NUMBER_", "CODE_", "SENDER_", "CALLBACK_URL_", "PAYLOAD_", "TTL_", "REQUEST_ID_")

# Of a request that nobody has: what it is answered with tells whether the token is accepted.
_NO_REQUEST = "0"


class _Refused(Exception):
    """The API's `ok: false`."""

    def __init__(self, error: str, retry_after: float | None) -> None:
        super().__init__(error)
        self.error = error
        self.retry_after = retry_after

    def reason(self) -> SendError:
        """What it means for the message."""
        known = _ERROR.fullmatch(self.error)
        if not known:  # not repeated: it could hold anything
            return TransientError("Telegram Gateway refused, and did not say why", self.retry_after)
        name, number = known.groups()
        text = f"Telegram Gateway refused: {name}"
        if "FLOOD" in name:
            return TransientError(text, wait_of(int(number or 0)) or self.retry_after)
        if name.startswith(_FINAL):
            return PermanentError(text)
        return TransientError(text, self.retry_after)


class TelegramGatewayProvider:
    """See `gateway.providers.Provider` and `Reporting`."""

    def __init__(self, token: str, sender: str, api: str, options: Options, clock: Clock = system_clock) -> None:
        self._api = api
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        self._report_key = hashlib.sha256(token.encode()).digest()
        self._clock = clock
        self._timeout = options.timeout
        self._calls = Calls("Telegram Gateway", options)
        self._same_for_all: dict[str, object] = {}
        if sender:
            self._same_for_all["sender_username"] = sender
        if _is_callback_url(options.report_url):
            self._same_for_all["callback_url"] = options.report_url
        self._requests: dict[int, str] = {}

    async def send(self, message: Message) -> Receipt:
        if not _CODE.fullmatch(message.code):
            raise PermanentError(
                "Telegram Gateway takes codes of 4 to 8 digits, this one has letters or another length"
            )
        try:
            async with asyncio.timeout(self._timeout):
                return await self._send(message)
        except TimeoutError:
            raise TransientError("Telegram Gateway did not answer in time") from None
        except _Refused as refused:
            raise refused.reason() from None

    async def checked(self, reference: str, code: str) -> None:
        """Tell Telegram that the message's code was entered rightly, by which it counts conversions.

        Raises `SendError`.
        """
        await self._tell("checkVerificationStatus", request_id=reference, code=code)

    async def revoke(self, reference: str) -> None:
        """Ask Telegram to take the message back, which it does unless it was delivered. Raises `SendError`."""
        if await self._tell("revokeVerificationMessage", request_id=reference) is not True:
            raise TransientError("Telegram Gateway did not take the revocation")

    async def check(self) -> str:
        """Asks after a request that nobody has, which is free; `checkSendAbility` takes the fee of a message."""
        try:
            await self._call("checkVerificationStatus", request_id=_NO_REQUEST)
        except _Refused as refused:
            if not refused.error.startswith("REQUEST_ID_"):
                raise refused.reason() from None
        if "callback_url" not in self._same_for_all:
            return "accepts the token; no delivery reports, which need an https address of ours"
        return "accepts the token"

    async def close(self) -> None:
        await self._calls.close()

    def reports(self, headers: Mapping[str, str], body: bytes) -> list[Report]:
        """One report, of one message: `RequestStatus`, signed with HMAC-SHA-256 over the time and the body."""
        timestamp = headers.get("x-request-timestamp", "")
        signature = headers.get("x-request-signature", "")
        signed = b"%s\n%s" % (timestamp.encode("utf-8", "replace"), body)
        right = hmac.digest(self._report_key, signed, "sha256").hex()
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), right.encode()):
            raise ForgedReport("x-request-signature is missing or wrong")
        if not _TIMESTAMP.fullmatch(timestamp) or abs(self._clock() // 1000 - int(timestamp)) > OLDEST_REPORT:
            raise ForgedReport("x-request-timestamp is more than 5 minutes away")
        match _decode(body):
            case {"request_id": str(reference), "delivery_status": {"status": "delivered" | "read"}}:
                return [Report(reference, "delivered")]
            case {"request_id": str(reference), "delivery_status": {"status": "expired"}}:
                return [Report(reference, "failed", "Telegram did not deliver it in time")]
            case {"request_id": str()}:  # sent, revoked, or nothing of the delivery
                return []
        log.warning("a report of Telegram Gateway is malformed")
        return []

    def greeting(self, query: Mapping[str, str]) -> str | None:  # noqa: ARG002 - the interface's
        return None

    async def _send(self, message: Message) -> Receipt:
        request_id = self._requests.get(message.id) or await self._ask(message)
        try:
            result = await self._call(
                "sendVerificationMessage",
                phone_number=message.to,
                request_id=request_id,
                code=message.code,
                ttl=min(LONGEST_LIFE, max(SHORTEST_LIFE, message.seconds_left)),
                payload=str(message.id),
                **self._same_for_all,
            )
        except _Refused as refused:
            if refused.error.startswith("REQUEST_ID_"):
                self._requests.pop(message.id, None)
                raise TransientError("Telegram Gateway has forgotten the request") from None
            if refused.error != "MESSAGE_ALREADY_SENT":
                raise
            # An attempt before this one did it, and its answer was lost.
        else:
            if _request_id(result) != request_id:
                raise TransientError("Telegram Gateway answered for another request")
        self._requests.pop(message.id, None)
        return Receipt(request_id)

    async def _ask(self, message: Message) -> str:
        """Whether the number can be reached: its `request_id`, kept for as long as the message may be tried."""
        request_id = _request_id(await self._call("checkSendAbility", phone_number=message.to))
        self._requests[message.id] = request_id
        if len(self._requests) > MOST_REQUESTS:
            del self._requests[next(iter(self._requests))]
        return request_id

    async def _tell(self, method: str, **parameters: object) -> Any:
        try:
            return await self._call(method, **parameters)
        except _Refused as refused:
            raise refused.reason() from None

    async def _call(self, method: str, **parameters: object) -> Any:
        """A method's result. Raises `_Refused` or `TransientError`."""
        body = msgspec.json.encode(parameters)
        answer = await self._calls.make("POST", f"{self._api}/{method}", self._headers, body)
        match answer.json():
            case {"ok": True, "result": result} if answer.well:
                return result
            case {"ok": False, "error": str(error)} if answer.status < 500:
                raise _Refused(error, answer.retry_after)
        raise TransientError(f"Telegram Gateway answered {answer.status} and made no sense", answer.retry_after)


def open_provider(url: str, options: Options, clock: Clock = system_clock) -> TelegramGatewayProvider:
    """See `gateway.providers`."""
    parts = split_url(url, EXAMPLE)
    token = unquote(parts.netloc)  # not its hostname, whose letters are made small
    if not SECRET.fullmatch(token) or "@" in token or parts.path not in ("", "/"):
        raise WrongProviderUrl(f"needs the account's token alone before its ?; an example: {EXAMPLE}")
    given = read_parameters(parts.query, ("sender", "api"), EXAMPLE)
    sender = _SENDER.fullmatch(given.get("sender", ""))
    if "sender" in given and not sender:
        raise WrongProviderUrl(f"has a sender that is no name of a channel; an example: {EXAMPLE}")
    api = read_address(given.get("api", API), EXAMPLE)
    return TelegramGatewayProvider(token, sender[1] if sender else "", api, options, clock)


def _is_callback_url(url: str) -> bool:
    """Whether Telegram would post to it; one that it refuses would cost the message."""
    return url.startswith("https://") and len(url.encode()) <= LONGEST_CALLBACK_URL


def _request_id(status: object) -> str:
    match status:
        case {"request_id": str(request_id)} if request_id:
            return request_id
    raise TransientError("Telegram Gateway named no request")


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except NOT_JSON:
        return None
