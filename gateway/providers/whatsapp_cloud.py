"""`whatsapp-cloud://PHONE_NUMBER_ID:ACCESS_TOKEN@graph.facebook.com/TEMPLATE[?…]`: WhatsApp, by Meta's Cloud API.

`POST /v25.0/PHONE_NUMBER_ID/messages` with TEMPLATE, an authentication template with a copy-code button: the code
stands in its body and in its button. Published below
https://developers.facebook.com/documentation/business-messaging/whatsapp/ as templates/authentication-templates,
support/error-codes and webhooks/reference/messages/status; signature and greeting are the Graph API's Webhooks'.

Behind the `?` may stand:
- `lang=en:en_US,ru:ru,*:en_US`: the template's language for each of ours, `*` for all others; without it a message
  in `ru` asks for a template in `ru`;
- `secret`, the app's, without which no report is believed, and `verify`, the token that Meta greets us with;
- `version` of the Graph API, and `api`, another server than that of the URL.
"""

import hmac
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

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
    one_line,
)
from gateway.providers.calls import Answer, Calls
from gateway.providers.parameters import SECRET, read_address, read_parameters, split_url

log = logging.getLogger(__name__)

VERSION = "v25.0"
EXAMPLE = "whatsapp-cloud://PHONE_NUMBER_ID:ACCESS_TOKEN@graph.facebook.com/TEMPLATE?lang=en:en_US"

LONGEST_CODE = 15  # characters
PAIR_RATE = 6.0  # seconds between two messages to the same number

_ID = re.compile(r"[0-9]{1,32}")
_TEMPLATE = re.compile(r"[a-z0-9_]{1,512}")
_VERSION = re.compile(r"v[0-9]{1,3}\.[0-9]{1,2}")
_LANGUAGES = re.compile(r"(?:[a-z]{2,3}|\*):[A-Za-z_]{2,10}(?:,(?:[a-z]{2,3}|\*):[A-Za-z_]{2,10})*")

_TROUBLE = "trouble at WhatsApp"
_TOKEN = "the access token is not accepted"  # noqa: S105 - a text
_RIGHTS = "the access token may not do this"
_RESTRICTED = "the account is restricted"

# The recipient's or the template's: trying again changes nothing.
_FINAL = {
    130497: "the account may not write to this country",
    131021: "the recipient is the sender",
    131026: "the recipient can't be reached by WhatsApp",
    131030: "the recipient is not among those of a test number",
}
_FINAL_TEMPLATE = range(132000, 133000)

# Passes, or is the operator's to mend in the account: the message has nothing to do with it.
_LATER = {
    0: _TOKEN,
    190: _TOKEN,
    3: _RIGHTS,
    10: _RIGHTS,
    131005: _RIGHTS,
    368: _RESTRICTED,
    131031: _RESTRICTED,
    131042: "the account's payment fails",
    133010: "the phone number is not registered",
    1: _TROUBLE,
    2: _TROUBLE,
    131000: _TROUBLE,
    131016: _TROUBLE,
    131057: "the account is under maintenance",
    133004: _TROUBLE,
    4: "too many calls by the app",
    80007: "too many calls by the account",
    130429: "too many messages",
    131048: "too many messages are marked as spam",
    131056: "too many messages to this recipient",
}
_LATER_RIGHTS = range(200, 300)


class Account(msgspec.Struct, frozen=True):
    """What a URL says; `base` is the server with the API's version."""

    base: str
    phone_number_id: str
    token: str
    template: str
    languages: dict[str, str]
    secret: bytes
    verify: str


class WhatsAppCloudProvider:
    """See `gateway.providers.Provider` and `Reporting`."""

    def __init__(self, account: Account, options: Options) -> None:
        self._account = account
        self._number = f"{account.base}/{account.phone_number_id}"
        self._calls = Calls("WhatsApp", options)

    async def send(self, message: Message) -> Receipt:
        if len(message.code) > LONGEST_CODE:
            raise PermanentError(f"WhatsApp takes codes of up to {LONGEST_CODE} characters")
        match await self._call("POST", f"{self._number}/messages", self._body(message)):
            case {"messages": [{"id": str(reference)}, *_]} if reference:
                return Receipt(reference)
        raise TransientError("WhatsApp named no message")

    async def check(self) -> str:
        """Asks for the number's name, which a token for this number may see, and for its quality."""
        number = await self._call("GET", f"{self._number}?fields=verified_name,quality_rating")
        name, quality = _printable(number.get("verified_name")), _printable(number.get("quality_rating"))
        if not self._account.secret:
            return f"{name}, quality {quality}; no delivery reports, which need the app's secret"
        return f"{name}, quality {quality}"

    async def close(self) -> None:
        await self._calls.close()

    def reports(self, headers: Mapping[str, str], body: bytes) -> list[Report]:
        """Several statuses, of several messages, signed with the app's secret.

        The signature covers no time, and Meta repeats for days what was not taken: any age is believed.
        """
        signature = headers.get("x-hub-signature-256", "")
        right = f"sha256={hmac.digest(self._account.secret, body, 'sha256').hex()}"
        signed = hmac.compare_digest(signature.encode("utf-8", "replace"), right.encode())
        if not self._account.secret or not signed:
            raise ForgedReport("x-hub-signature-256 is missing or wrong")
        return list(_reports(body))

    def greeting(self, query: Mapping[str, str]) -> str | None:
        token = query.get("hub.verify_token", "").encode("utf-8", "replace")
        right = hmac.compare_digest(token, self._account.verify.encode())
        if not self._account.verify or not right or query.get("hub.mode") != "subscribe":
            return None
        return query.get("hub.challenge")

    def _body(self, message: Message) -> bytes:
        languages = self._account.languages
        language = languages.get(message.lang) or languages.get("*") or message.lang
        code = [{"type": "text", "text": message.code}]
        components = [
            {"type": "body", "parameters": code},
            {"type": "button", "sub_type": "url", "index": "0", "parameters": code},
        ]
        return msgspec.json.encode(
            {
                "messaging_product": "whatsapp",
                "recipient_type": "individual",
                "to": message.to,
                "type": "template",
                "template": {
                    "name": self._account.template,
                    "language": {"code": language},
                    "components": components,
                },
            }
        )

    async def _call(self, method: str, url: str, body: bytes | None = None) -> dict[str, Any]:
        """What the API answered. Raises `SendError`."""
        headers = {"authorization": f"Bearer {self._account.token}"}
        if body is not None:
            headers["content-type"] = "application/json"
        answer = await self._calls.make(method, url, headers, body)
        match answer.json():
            case {"error": {"code": int(code)} as error}:
                raise _refusal(code, error.get("is_transient") is True, answer)
            case dict() as said if answer.well:
                return said
        raise TransientError(f"WhatsApp answered {answer.status} and made no sense", answer.retry_after)


def open_provider(url: str, options: Options) -> WhatsAppCloudProvider:
    """See `gateway.providers`."""
    parts = split_url(url, EXAMPLE)
    number, token = unquote(parts.username or ""), unquote(parts.password or "")
    if not _ID.fullmatch(number) or not SECRET.fullmatch(token):
        raise WrongProviderUrl(
            f"needs the phone number's id and an access token before its @; an example: {EXAMPLE}"
        )
    template = parts.path.removeprefix("/")
    if not _TEMPLATE.fullmatch(template):
        raise WrongProviderUrl(f"needs a template's name as its path; an example: {EXAMPLE}")
    given = read_parameters(parts.query, ("lang", "secret", "verify", "version", "api"), EXAMPLE)
    version = given.get("version", VERSION)
    if not _VERSION.fullmatch(version):
        raise WrongProviderUrl(
            f"has a version that is none of the Graph API, such as {VERSION}; an example: {EXAMPLE}"
        )
    api = read_address(given.get("api", f"https://{parts.netloc.rpartition('@')[2]}"), EXAMPLE)
    account = Account(
        base=f"{api}/{version}",
        phone_number_id=number,
        token=token,
        template=template,
        languages=_languages(given.get("lang", "")),
        secret=given.get("secret", "").encode(),
        verify=given.get("verify", ""),
    )
    return WhatsAppCloudProvider(account, options)


def _languages(given: str) -> dict[str, str]:
    if not given:
        return {}
    if not _LANGUAGES.fullmatch(given):
        raise WrongProviderUrl(f"has a lang that is no list such as en:en_US,*:ru; an example: {EXAMPLE}")
    return dict(pair.split(":") for pair in given.split(","))


def _refusal(code: int, passes: bool, answer: Answer) -> SendError:
    """What an error means for the message; Meta asks to go by its code rather than by the HTTP status."""
    text = _error(code)
    if code in _FINAL or code in _FINAL_TEMPLATE:
        return PermanentError(text)
    if code in _LATER or code in _LATER_RIGHTS or passes or answer.may_work_later:
        return TransientError(text, answer.retry_after or (PAIR_RATE if code == 131056 else None))
    return PermanentError(text)


def _error(code: int) -> str:
    if code in _FINAL_TEMPLATE:
        meaning = "the template is missing, paused or another one"
    elif code in _LATER_RIGHTS:
        meaning = _RIGHTS
    else:
        meaning = _FINAL.get(code) or _LATER.get(code) or "the message is refused"
    return f"WhatsApp error {code}: {meaning}"


def _reports(body: bytes) -> Iterator[Report]:
    """Those of statuses that end something; what is malformed or unknown is left out, and the rest counts."""
    try:
        told = msgspec.json.decode(body)
    except NOT_JSON:
        log.warning("a report of WhatsApp is malformed")
        return
    for entry in _objects(told, "entry"):
        for change in _objects(entry, "changes"):
            for status in _objects(change.get("value"), "statuses"):
                match status:
                    case {"id": str(reference), "status": "delivered" | "read"}:
                        yield Report(reference, "delivered")
                    case {"id": str(reference), "status": "failed", "errors": [{"code": int(code)}, *_]}:
                        yield Report(reference, "failed", _error(code))
                    case {"id": str(reference), "status": "failed"}:
                        yield Report(reference, "failed", "WhatsApp did not say why")


def _objects(parent: object, name: str) -> list[dict[str, Any]]:
    children = parent.get(name) if isinstance(parent, dict) else None
    return [child for child in children if isinstance(child, dict)] if isinstance(children, list) else []


def _printable(said: object) -> str:
    """A provider's word in one line of the operator's terminal."""
    return (one_line(said)[:80] if isinstance(said, str) else "") or "unknown"
