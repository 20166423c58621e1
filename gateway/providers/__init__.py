"""Providers: how a channel is reached. One small module each, chosen by the scheme of its URL.

A provider has `async send(message) -> Receipt` and `async close()`. It raises `PermanentError` where trying
again can't help (wrong number, bot blocked) and `TransientError` where it can.
"""

from importlib import import_module
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from gateway.channels import Channel


class Message(msgspec.Struct, frozen=True):
    """What a provider sends: the code, and the text that holds it."""

    id: int
    channel: Channel
    to: str
    code: str
    text: str
    lang: str
    project: str
    project_id: int
    chat_id: int | None = None


class Receipt(msgspec.Struct, frozen=True):
    """The provider took the message; `reference` is its own name for it."""

    reference: str = ""


class SendError(Exception):
    """Why a message did not go; the text is for the operator and holds nothing of the visitor's."""


class PermanentError(SendError):
    """This provider will not deliver this message, however often it is asked."""


class TransientError(SendError):
    """It may work later: after `retry_after` seconds, where the provider said so."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Provider(Protocol):
    """One way to deliver messages."""

    async def send(self, message: Message) -> Receipt:
        """Hand the message over. Raises `PermanentError` or `TransientError`."""

    async def close(self) -> None:
        """Let go of connections."""


class WrongProviderUrl(Exception):
    """The URL names no provider, or is malformed; the text says what and gives an example."""


_MODULES = {"webhook+http": "webhook", "webhook+https": "webhook"}


def check_provider_url(url: str) -> str:
    """The module of a URL's provider, which is not loaded for this. Raises `WrongProviderUrl`."""
    parts = urlsplit(url)
    module = _MODULES.get(parts.scheme)
    if module is None:
        known = ", ".join(f"{scheme}://" for scheme in _MODULES)
        raise WrongProviderUrl(f"{parts.scheme or url!r} is no provider known here; there are {known}")
    if not parts.hostname:
        raise WrongProviderUrl(f"has no host name; an example: {parts.scheme}://sms.example.com/send")
    return module


def make_provider(url: str, timeout: float, concurrency: int) -> Provider:
    """The provider of a URL; each module has `open_provider(url, timeout, concurrency)`."""
    module = import_module(f"gateway.providers.{check_provider_url(url)}")
    provider: Provider = module.open_provider(url, timeout, concurrency)
    return provider
