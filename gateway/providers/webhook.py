"""`webhook+http(s)://…[#secret=KEY]`: posts the message as JSON to a sender of the operator's own.

The body is `{message_id, channel, to, code, text, lang, project}`, signed as `gateway.signing` says with the KEY
of the URL, else with this server's own; `idempotency-key` is the message's, the same at each attempt. Any 2xx
means taken, and a `reference` or `id` in a JSON answer is the sender's own name for the message; 408, 425, 429 and
5xx are tried again (after their Retry-After), everything else is final.

The sender may report later, signed with the same key: `{"reference": "…", "status": "delivered" | "failed",
"error": "…"}`, or a list of these. Both forms are ours; `docs/providers.md` tells who writes a sender.
"""

import hashlib
import logging
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

import msgspec

from gateway.clock import Clock, system_clock
from gateway.decoding import NOT_JSON
from gateway.providers import (
    LONGEST_REFERENCE,
    ForgedReport,
    Message,
    Options,
    PermanentError,
    Receipt,
    Report,
    TransientError,
    WrongProviderUrl,
)
from gateway.providers.calls import Calls
from gateway.signing import SIGNATURE_HEADER, is_signed, sign

log = logging.getLogger(__name__)

_EXAMPLE = "webhook+https://sms.example.com/send#secret=…"


class _Body(msgspec.Struct, frozen=True):
    message_id: int
    channel: str
    to: str
    code: str
    text: str
    lang: str
    project: str


class _Told(msgspec.Struct, frozen=True):
    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_REFERENCE)]
    status: Literal["delivered", "failed"]
    error: str = ""


class WebhookProvider:
    """See `gateway.providers.Provider` and `Reporting`. Without a key nothing is signed and no report believed."""

    def __init__(self, url: str, key: bytes, options: Options, clock: Clock = system_clock) -> None:
        self._url = url
        self._key = key
        self._clock = clock
        self._calls = Calls("the webhook", options)

    async def send(self, message: Message) -> Receipt:
        body = msgspec.json.encode(
            _Body(
                message.id, message.channel, message.to, message.code, message.text, message.lang, message.project
            )
        )
        headers = {"content-type": "application/json", "idempotency-key": _repeat_key(message)}
        if self._key:
            headers[SIGNATURE_HEADER] = sign(body, self._key, self._clock() // 1000)
        answer = await self._calls.make("POST", self._url, headers, body)
        if answer.may_work_later:
            raise TransientError(f"the webhook answered {answer.status}", answer.retry_after)
        if not answer.well:
            raise PermanentError(f"the webhook answered {answer.status}")
        return Receipt(_reference(answer.json()))

    async def check(self) -> str:
        """A webhook has no question to ask without sending: whether it can be reached has to do."""
        answer = await self._calls.make("HEAD", self._url)
        return f"reached, answers {answer.status}"

    async def close(self) -> None:
        await self._calls.close()

    def reports(self, headers: Mapping[str, str], body: bytes) -> list[Report]:
        header = headers.get(SIGNATURE_HEADER, "")
        if not self._key or not is_signed(header, body, self._key, self._clock() // 1000):
            raise ForgedReport(f"{SIGNATURE_HEADER} is missing, wrong or older than 5 minutes")
        try:
            told = msgspec.json.decode(body, type=_Told | list[_Told])
        except NOT_JSON as problem:
            log.warning("a webhook's report is malformed: %s", problem)
            return []
        every = told if isinstance(told, list) else [told]
        return [Report(one.reference, one.status, one.error) for one in every]

    def greeting(self, query: Mapping[str, str]) -> str | None:  # noqa: ARG002 - the interface's
        return None


def open_provider(url: str, options: Options) -> WebhookProvider:
    """See `gateway.providers`."""
    address, _, fragment = url.removeprefix("webhook+").partition("#")
    name, _, secret = fragment.partition("=")
    if fragment and (name != "secret" or not secret):
        raise WrongProviderUrl(f"has something else than #secret=… at its end; an example: {_EXAMPLE}")
    try:
        urlsplit(address).port  # noqa: B018 - raises where it is none
    except ValueError:
        raise WrongProviderUrl(f"has no valid port; an example: {_EXAMPLE}") from None
    return WebhookProvider(address, unquote(secret).encode(), options)


def _repeat_key(message: Message) -> str:
    """The same at each attempt; another for another message of that id, as a restored database repeats numbers.

    A session's id, which is its browser's business, has 80 random bits: the hash tells nothing of it.
    """
    said = f"{message.session_id}\0{message.channel}\0{message.code}"
    return f"{message.id}-{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def _reference(answer: object) -> str:
    """The sender's own name for the message, empty where it gave none."""
    if isinstance(answer, dict):
        for name in ("reference", "id"):
            value = answer.get(name)
            if isinstance(value, str) and 0 < len(value) <= LONGEST_REFERENCE:
                return value
    return ""
