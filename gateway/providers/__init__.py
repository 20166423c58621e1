"""Providers: how a channel is reached. One small module each, chosen by the scheme of its URL.

A module has `open_provider(url, options) -> Provider`, which raises `WrongProviderUrl` for a URL that it can't
use. A provider raises `PermanentError` where trying again can't help (wrong number, bot blocked) and
`TransientError` where it can.
"""

import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Literal, Protocol, runtime_checkable
from urllib.parse import urlsplit

import msgspec

from gateway.channels import Channel


class Message(msgspec.Struct, frozen=True):
    """What a provider sends: the code, and the text that holds it.

    `minutes` is the life that texts tell, `seconds_left` what is left of it; `host` is the site's host name.
    `numbers` are one tap's, where it is offered: what can show them as buttons does (see `Receipt.tap`).
    """

    id: int
    channel: Channel
    to: str
    code: str
    text: str
    lang: str
    project: str
    project_id: int
    chat_id: int | None = None
    minutes: int = 3
    seconds_left: int = 180
    host: str = "localhost"
    session_id: str = ""
    numbers: tuple[int, ...] = ()


class Receipt(msgspec.Struct, frozen=True):
    """The provider took the message; `reference` is its own name for it, which its reports carry.

    `tap`: it shows the message's numbers as buttons.
    """

    reference: str = ""
    tap: bool = False


class Report(msgspec.Struct, frozen=True):
    """What a provider tells later of a message that it took."""

    reference: str
    state: Literal["delivered", "failed"]
    error: str = ""


LONGEST_REFERENCE = 255  # characters: the longest real one has 60
LONGEST_ERROR = 200


def is_reference(text: str) -> bool:
    """Whether a provider's name for a message can be written down, by every store, and shown in a line."""
    return 0 < len(text) <= LONGEST_REFERENCE and text.isprintable()


def storable(reports: Iterable[Report]) -> list[Report]:
    """Those whose message can be one of ours, with what went wrong as one line."""
    return [
        msgspec.structs.replace(report, error=one_line(report.error)[:LONGEST_ERROR])
        for report in reports
        if is_reference(report.reference)
    ]


def one_line(said: str) -> str:
    """What somebody else said, without what can't be printed."""
    return "".join(letter for letter in said if letter.isprintable())


class SendError(Exception):
    """Why a message did not go; the text is for the operator and holds nothing of the visitor's."""


class PermanentError(SendError):
    """This provider will not deliver this message, however often it is asked."""


class TransientError(SendError):
    """It may work later: after `retry_after` seconds, where the provider said so."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class ForgedReport(Exception):
    """A report whose signature is missing, wrong or too old."""


class Options(msgspec.Struct, frozen=True):
    """What every provider is opened with. `timeout` is in seconds, `concurrency` the calls at once.

    `signing_key` is this server's own, for names that nobody else shall guess; `report_url` is where the provider
    may post its reports, empty where nobody can reach us; `production` closes what is for development only.
    """

    timeout: float
    concurrency: int
    signing_key: bytes = b""
    report_url: str = ""
    production: bool = False


class Provider(Protocol):
    """One way to deliver messages."""

    async def send(self, message: Message) -> Receipt:
        """Hand the message over. Raises `PermanentError` or `TransientError`."""

    async def check(self) -> str:
        """Ask the provider, without sending, whether it would take messages; what it said, for the operator.

        Raises `SendError`.
        """

    async def close(self) -> None:
        """Let go of connections."""


@runtime_checkable
class Reporting(Protocol):
    """A provider that tells later how a message went, by posting to `Options.report_url`."""

    def reports(self, headers: Mapping[str, str], body: bytes) -> list[Report]:
        """What a POST tells; header names are in small letters. Raises `ForgedReport`."""

    def greeting(self, query: Mapping[str, str]) -> str | None:
        """The answer to the GET by which some providers make sure of the address; None: refused."""


@runtime_checkable
class Curious(Protocol):
    """A provider that wants to know what became of its message. `reference` is its receipt's."""

    async def checked(self, reference: str, code: str) -> None:
        """The code was entered, rightly. Raises `SendError`."""

    async def revoke(self, reference: str) -> None:
        """The code no longer opens anything. Raises `SendError`."""


class WrongProviderUrl(Exception):
    """The URL names no provider, or is malformed; the text says what and gives an example."""


class Scheme(msgspec.Struct, frozen=True):
    """A kind of provider URL: its module, an example, the channels it can serve, and whether it names a host."""

    module: str
    example: str
    channels: tuple[Channel, ...] = (Channel.WHATSAPP, Channel.VIBER, Channel.SMS, Channel.EMAIL)
    needs_host: bool = True


_SECOND_URL = re.compile(r",[a-zA-Z][a-zA-Z0-9+.-]*://")
_WEBHOOK = Scheme("webhook", "webhook+https://sms.example.com/send", tuple(Channel))
_SMTP = Scheme("smtp", "smtp://user:password@smtp.example.com:587/?from=login@example.com", (Channel.EMAIL,))
SCHEMES = {  # a name that ends with a plus stands in front of any other scheme
    "smtp": _SMTP,
    "smtps": _SMTP,
    "webhook+http": _WEBHOOK,
    "webhook+https": _WEBHOOK,
    "kodmobi": Scheme("kodmobi", "kodmobi://SECRET_KEY@api.kod.mobi/1"),
    "log": Scheme("log", "log://", needs_host=False),
    "apprise+": Scheme("through_apprise", "apprise+twilio://ACCOUNT_SID:AUTH_TOKEN@FROM_PHONE", needs_host=False),
    "telegram-gateway": Scheme("telegram_gateway", "telegram-gateway://TOKEN", (Channel.TELEGRAM,)),
    "whatsapp-cloud": Scheme(
        "whatsapp_cloud",
        "whatsapp-cloud://PHONE_NUMBER_ID:ACCESS_TOKEN@graph.facebook.com/TEMPLATE",
        (Channel.WHATSAPP,),
    ),
}


class WeightedUrl(msgspec.Struct, frozen=True):
    """A provider's URL, and its share of the messages where the operator gave one (0: none, in order)."""

    url: str
    weight: int = 0


def split_urls(setting: str) -> tuple[WeightedUrl, ...]:
    """`URL URL…`, or `3*URL 1*URL…`, as a setting has them."""
    found = []
    for part in setting.split():
        weight, star, url = part.partition("*")
        weighted = star and weight.isdecimal() and weight.isascii()
        found.append(WeightedUrl(url, int(weight)) if weighted else WeightedUrl(part))
    return tuple(found)


def check_provider_url(url: str, channel: Channel) -> Scheme:
    """A URL's scheme, for which nothing is loaded. Raises `WrongProviderUrl`."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise WrongProviderUrl(f"is malformed; an example: {_WEBHOOK.example}") from None
    if _SECOND_URL.search(url):
        raise WrongProviderUrl("holds several URLs with commas between them; put spaces there")
    scheme = _scheme(parts.scheme)
    if scheme is None:
        # A URL without a scheme is not repeated: it may be the bare secret, or USER:PASSWORD, which parses as one.
        has_scheme = parts.scheme and url[len(parts.scheme) :].startswith("://")
        given = f"{parts.scheme}://" if has_scheme else "a URL without a scheme"
        known = ", ".join(_shown(name) for name, one in SCHEMES.items() if channel in one.channels)
        raise WrongProviderUrl(f"{given} is no provider known here; there are {known}")
    if channel not in scheme.channels:
        raise WrongProviderUrl(f"{parts.scheme}:// can't send by {channel}")
    if scheme.needs_host and not host:
        raise WrongProviderUrl(f"has no host name; an example: {scheme.example}")
    return scheme


def make_provider(url: str, channel: Channel, options: Options) -> Provider:
    """The provider of a URL. Raises `WrongProviderUrl`."""
    module = import_module(f"gateway.providers.{check_provider_url(url, channel).module}")
    provider: Provider = module.open_provider(url, options)
    return provider


def _scheme(name: str) -> Scheme | None:
    prefix, plus, inner = name.partition("+")
    return SCHEMES.get(name) or (SCHEMES.get(prefix + plus) if inner else None)


def _shown(name: str) -> str:
    return f"{name}…://" if name.endswith("+") else f"{name}://"
