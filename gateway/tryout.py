"""`kodgate send`: one real message by each of a channel's providers, and what they said."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from gateway.channels import Channel
from gateway.contact import Contact
from gateway.doctor import Finding
from gateway.opening import open_lines
from gateway.providers import Message, PermanentError, Provider, SendError, TransientError
from gateway.render import render_message
from gateway.settings import Settings

MINUTES = 3  # that the message says its code lives


async def try_out(settings: Settings, channel: Channel, to: Contact, lang: str) -> AsyncIterator[Finding]:
    """Send a code that opens nothing, by each provider in turn. Raises `SettingsError`."""
    line = open_lines(settings, None).get(channel)
    message = _message(settings, channel, to, lang)
    urls = settings.provider_urls.get(channel, ())
    for provider, one in zip(line.providers if line else (), urls, strict=True):
        began = time.monotonic()
        subject = f"{channel} by {urlsplit(one.url).scheme}://"
        try:
            reference = await _send(provider, message, settings.provider_timeout_seconds)
        except SendError as problem:
            kind = "for good" if isinstance(problem, PermanentError) else "for now"
            yield Finding(subject, False, f"refused {kind}: {problem}")
        else:
            named = f", its name for it is {reference}" if reference else ""
            yield Finding(subject, True, f"taken in {(time.monotonic() - began) * 1000:.0f} ms{named}")


async def _send(provider: Provider, message: Message, timeout: float) -> str:
    try:
        async with asyncio.timeout(timeout):
            return (await provider.send(message)).reference
    except TimeoutError:
        raise TransientError(f"no answer within {timeout:g} s") from None
    finally:
        await provider.close()


def _message(settings: Settings, channel: Channel, to: Contact, lang: str) -> Message:
    code = f"{secrets.randbelow(1_000_000):06d}"
    host = urlsplit(settings.public_url).hostname or "localhost"
    text = render_message(channel, lang, code=code, project=settings.project_name, minutes=MINUTES, host=host)
    return Message(
        id=time.time_ns() // 1_000_000,  # like no other, so that a provider does not take it for a repeat
        channel=channel,
        to=to.value,
        code=code,
        text=text,
        lang=lang,
        project=settings.project_name,
        project_id=0,
        minutes=MINUTES,
        seconds_left=MINUTES * 60,
        host=host,
    )
