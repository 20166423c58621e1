"""`kodmobi://SECRET_KEY@api.kod.mobi[/PROVIDER_ID][?api=http://127.0.0.1:8000]`: kod.mobi's Manual API.

Posts `{to, channel, code, provider_id?, callback_url?}` to manual/send (seed: Manual send) with the account's
secret key in `x-api-key`, and the language of the text in `accept-language`. Any server of that contract will
do, another Kodgate included, whose callbacks are its reports: the `MessageStatus`, signed as `gateway.signing`
says with `gateway.aes256.code_key` of the secret key. A callback that isn't signed is not believed. `api` is
the address of a server that has no https.
"""

import hmac
import logging
import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import unquote

import msgspec

from gateway.aes256 import code_key
from gateway.channels import Channel
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
from gateway.providers.calls import Answer, Calls, wait_of
from gateway.providers.parameters import read_address, read_parameters, split_url
from gateway.signing import SIGNATURE_HEADER, is_signed

log = logging.getLogger(__name__)

_EXAMPLE = "kodmobi://SECRET_KEY@api.kod.mobi/1"
_FINAL = {  # the others are the operator's to mend (a key, the balance), or pass
    "ERROR_BAD_REQUEST",
    "ERROR_USER_NOT_AUTHORIZE_ON_CHANNEL",
    "ERROR_PROJECT_HAS_NO_CHANNEL",
    "ERROR_PROJECT_HAS_NO_CHANNELS",
    "ERROR_CHANNEL_NOT_ALLOWED_COUNTRY",
    "ERROR_PHONE_BLOCKED",
}
_UNKNOWN_TOKEN = {"ERROR_SESSION_EXPIRED", "ERROR_BAD_REQUEST"}
_SYS_MESSAGE = re.compile(r"ERROR_[A-Z_]{1,60}")
_FIELD = re.compile(r"[A-Za-z_-]{1,40}")


class _Order(msgspec.Struct, frozen=True, omit_defaults=True):
    to: str
    channel: str
    code: str
    provider_id: int | None = None
    callback_url: str = ""


class _Taken(msgspec.Struct, frozen=True):
    message_id: int


class _Channel(msgspec.Struct, frozen=True):
    type: str


class _Finished(msgspec.Struct, frozen=True):
    message_id: int
    status: Literal["queued", "sending", "sent", "delivered", "failed"]
    error: str = ""


class KodmobiProvider:
    """See `gateway.providers.Provider` and `Reporting`."""

    def __init__(
        self, api: str, secret: str, provider_id: int | None, options: Options, clock: Clock = system_clock
    ) -> None:
        self._api = api
        self._secret = secret
        self._key = code_key(secret)
        self._provider_id = provider_id
        self._report_url = options.report_url
        self._clock = clock
        self._calls = Calls("kod.mobi", options)

    async def send(self, message: Message) -> Receipt:
        order = _Order(message.to, message.channel, message.code, self._provider_id, self._report_url)
        headers = {"accept-language": message.lang, "idempotency-key": self._repeat_key(message)}
        answer = await self._ask("POST", "/manual/send", headers, order)
        return Receipt(str(_read(answer, _Taken).message_id))

    async def check(self) -> str:
        """The account's channels; a token that nobody has is then unknown only to who holds a secret key."""
        channels = _read(await self._ask("GET", "/session/channels"), list[_Channel])
        answer = await self._ask("POST", "/session/verify", {}, {"verify_token": "doctor"})
        if _sys_message(answer) not in _UNKNOWN_TOKEN:
            raise _refusal(answer)
        there = {channel.type for channel in channels}
        return f"the account has {', '.join(one for one in Channel if one in there) or 'no channels'}"

    async def close(self) -> None:
        await self._calls.close()

    def reports(self, headers: Mapping[str, str], body: bytes) -> list[Report]:
        header = headers.get(SIGNATURE_HEADER, "")
        if not is_signed(header, body, self._key, self._clock() // 1000):
            raise ForgedReport(f"{SIGNATURE_HEADER} is missing, wrong or older than 5 minutes")
        try:
            told = msgspec.json.decode(body, type=_Finished)
        except NOT_JSON as problem:
            log.warning("a report of kod.mobi is malformed: %s", problem)
            return []
        if told.status not in ("delivered", "failed"):
            return []  # sent: known since it was taken
        return [Report(str(told.message_id), told.status, told.error)]

    def greeting(self, query: Mapping[str, str]) -> str | None:  # noqa: ARG002 - the interface's
        return None

    async def _ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: Any = None
    ) -> Answer:
        every = {"x-api-key": self._secret, "accept": "application/json", **(headers or {})}
        if body is None:
            return await self._calls.make(method, self._api + path, every)
        every["content-type"] = "application/json"
        return await self._calls.make(method, self._api + path, every, msgspec.json.encode(body))

    def _repeat_key(self, message: Message) -> str:
        """The same at each attempt; another for another message of that id, as a fresh database numbers anew."""
        said = f"{message.id}\0{message.channel}\0{message.to}\0{message.code}"
        return f"kodgate-{message.id}-{hmac.digest(self._key, said.encode(), 'sha256').hex()[:32]}"


def open_provider(url: str, options: Options) -> KodmobiProvider:
    """See `gateway.providers`."""
    parts = split_url(url, _EXAMPLE)
    userinfo, at, host = parts.netloc.rpartition("@")
    secret = unquote(userinfo)
    if not at or not secret.isascii() or not secret.isprintable() or not secret.strip():
        raise WrongProviderUrl(f"names no secret key; an example: {_EXAMPLE}")
    number = parts.path.strip("/")
    if number and not (number.isascii() and number.isdecimal() and len(number) < 16):
        raise WrongProviderUrl(f"has a provider id that is no number; an example: {_EXAMPLE}")
    given = read_parameters(parts.query, ("api",), _EXAMPLE)
    api = read_address(given.get("api", f"https://{host}"), _EXAMPLE)
    return KodmobiProvider(api, secret, int(number) if number else None, options)


def _read(answer: Answer, kind: Any) -> Any:
    """What was answered. Raises the refusal that it is, or `TransientError` where it makes no sense."""
    if not answer.well or _sys_message(answer):
        raise _refusal(answer)
    try:
        return msgspec.convert(answer.json(), kind)
    except msgspec.ValidationError:
        raise TransientError(f"kod.mobi answered {answer.status} with something else than its API's") from None


def _sys_message(answer: Answer) -> str:
    """The contract's name of a refusal, empty where there is none."""
    body = answer.json()
    name = body.get("sys_message") if isinstance(body, dict) else None
    return name if isinstance(name, str) and _SYS_MESSAGE.fullmatch(name) else ""


def _refusal(answer: Answer) -> SendError:
    name = _sys_message(answer)
    if not name:
        return TransientError(f"kod.mobi answered {answer.status}", answer.retry_after)
    given = answer.json().get("error_params")
    params = given if isinstance(given, dict) else {}
    if name in _FINAL:
        fields = params.get("fields")
        wrong = [field for field in fields if _FIELD.fullmatch(field)] if isinstance(fields, dict) else []
        return PermanentError(f"kod.mobi refused: {' '.join([name, *wrong])}")
    return TransientError(f"kod.mobi refused: {name}", wait_of(params.get("timeout")) or answer.retry_after)
