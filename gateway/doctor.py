"""`kodgate doctor`: looks at everything that a login needs, without sending anything."""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, InvalidURL
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from gateway.bill.commands import lines_of_ceilings, lines_of_stops
from gateway.bootstrap import build_gateway, has_its_keys, missing_of_first_project
from gateway.channels import NAMES, PAID, Channel
from gateway.direct import open_directly
from gateway.errors import BadRequest, GatewayError, SessionExpired
from gateway.lines import Line
from gateway.misspelt import misspelt
from gateway.opening import open_lines
from gateway.projects import missing_of_challenge
from gateway.providers import Provider, SendError, TransientError
from gateway.settings import AN_ADDRESS, Settings, SettingsError
from gateway.store import SQLITE, Busy, StoreError, is_there, without_password
from gateway.verbs import Caller

PATIENCE = 5.0  # seconds for the Bot API's answer
LOOPBACK = ("127.0.0.1", "::1")  # where nobody but this machine's own proxy comes from


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    subject: str
    well: bool
    text: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at one thing after the other."""
    yield Finding("settings", True, f"{settings.kodgate_env}, {settings.public_url}")
    for line in misspelt():
        yield Finding("settings", False, line)
    yield _public_url(settings)
    yield _live_url(settings)
    if settings.hosted:
        yield _upstream(settings)
        return
    yield _proxies(settings)
    if is_there(settings.database_url):
        yield _store(settings)
        yield from _challenges(settings)
        yield from _bill(settings)
    else:
        yield from _store_to_come(settings)
    yield from _telegram(settings)
    try:
        lines = open_lines(settings, None)
    except SettingsError as problem:
        yield Finding("providers", False, str(problem))
        return
    for channel in Channel:
        yield from _channel(settings, channel, lines)
    if not lines and not settings.telegram_bot_token:
        yield Finding(
            "channels", False, "none is on, so nobody can log in: set TELEGRAM_BOT_TOKEN or one of the …_URL"
        )


def _upstream(settings: Settings) -> Finding:
    from gateway.hosted import HostedGateway

    gateway = HostedGateway(settings)
    try:
        project, _ = gateway.authenticate(settings.kodmobi_public_key)
        channels = gateway.channels(Caller(project))
        # A token that nobody has: refused for being unknown, where the secret key is the account's.
        with suppress(SessionExpired, BadRequest):
            gateway.verify(Caller(project, secret=True), "doctor")
    except GatewayError as refusal:
        return Finding("upstream", False, f"{settings.kodmobi_url}: {refusal.text('en')}")
    finally:
        gateway.close()
    names = ", ".join(channel.name for channel in channels)
    return Finding("upstream", True, f"{settings.kodmobi_url}, {project.settings.name}: {names}")


def _store(settings: Settings) -> Finding:
    try:
        gateway = build_gateway(settings, changes=False)
        gateway.store.ping()
        projects, ours = gateway.store.projects(), has_its_keys(gateway, settings)
    except (SettingsError, StoreError, Busy) as problem:
        return Finding("store", False, str(problem))
    if not projects and (missing := missing_of_first_project(settings)):
        return Finding("first project", False, missing)
    if not ours:
        return Finding(
            "store",
            False,
            "the first project has other keys than PROJECT_PUBLIC_KEY and PROJECT_SECRET_KEY; the next start of "
            f"web or bot gives it these, and {settings.project_keys_overlap_seconds} s later refuses the others",
        )
    return Finding("store", True, f"{without_password(settings.database_url)}, {len(projects)} project(s)")


def _store_to_come(settings: Settings) -> Iterator[Finding]:
    """Nothing is made here: a path that is mistyped would look well."""
    path = Path(settings.database_url.removeprefix(SQLITE))
    there = next(folder for folder in path.absolute().parents if folder.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        where = f"there is none yet at {settings.database_url}: kodgate migrate, or the first start, makes it"
        yield Finding("store", True, where)
    else:
        yield Finding("store", False, f"DATABASE_URL: can't create {path}: {there} can't be written into")
    if missing := missing_of_first_project(settings):
        yield Finding("first project", False, missing)


def _challenges(settings: Settings) -> Iterator[Finding]:
    """Where a CAPTCHA provider is asked, web's only thread would wait for it."""
    try:
        projects = build_gateway(settings, changes=False).store.projects()
    except (SettingsError, StoreError, Busy):
        return  # said already
    for project in projects:
        chosen = project.settings
        if chosen.challenge == "off" or chosen.challenge_provider == "altcha":
            continue
        subject = f"challenge of project {project.id}"
        if missing := missing_of_challenge(chosen):
            yield Finding(subject, False, missing)
        elif settings.web_threads == 1:
            patience = settings.challenge_timeout_seconds
            yield Finding(
                subject,
                False,
                f"{chosen.challenge_provider} may take {patience:g} s, and web's only thread would serve nobody "
                "meanwhile: set WEB_THREADS=4",
            )
        else:
            yield Finding(subject, True, f"{chosen.challenge_provider}, when it is {chosen.challenge}")


def _bill(settings: Settings) -> Iterator[Finding]:
    """Whether somebody could run up the bill, or does."""
    try:
        gateway = build_gateway(settings, changes=False)
        stops, full = lines_of_stops(gateway), lines_of_ceilings(gateway)
    except (SettingsError, StoreError, Busy):
        return  # said already
    for project in gateway.store.projects():
        if not project.settings.countries and set(PAID) & settings.provider_urls.keys():
            yield Finding(
                f"countries of project {project.id}",
                False,
                "never chosen, so codes that cost money go everywhere: "
                f"kodgate project set {project.id} countries=RU,KZ (or all)",
            )
    for line in stops:
        yield Finding("bill guard", True, line)
    for line in full:
        yield Finding("bill guard", False, line)


def _public_url(settings: Settings) -> Finding:
    secure = urlsplit(settings.public_url).scheme == "https"
    if settings.production and not secure:
        return Finding("PUBLIC_URL", False, "is not https: codes and cookies would travel in the open")
    return Finding("PUBLIC_URL", True, settings.public_url)


def _live_url(settings: Settings) -> Finding:
    schemes = [urlsplit(url).scheme for url in (settings.public_url, settings.live_url)]
    if settings.production and schemes == ["https", "http"]:
        return Finding("LIVE_URL", False, "is http, and browsers let no page of https listen there")
    return Finding("LIVE_URL", True, settings.live_url)


def _proxies(settings: Settings) -> Finding:
    """Limits count by address: where a proxy's is taken for everybody's, a few visitors shut out all."""
    if settings.trusted_proxies:
        believed = ", ".join(map(str, settings.trusted_proxies))
        return Finding("TRUSTED_PROXIES", True, f"{settings.address_header} is believed from {believed}")
    if settings.production and settings.host in LOOPBACK:
        return Finding(
            "TRUSTED_PROXIES",
            False,
            f"is empty, but on HOST={settings.host} visitors come through a proxy, whose address would be taken "
            "for everybody's, so that all share one visitor's limits: set TRUSTED_PROXIES=127.0.0.1",
        )
    return Finding("TRUSTED_PROXIES", True, "none: whoever connects is taken for the visitor")


def _telegram(settings: Settings) -> Iterator[Finding]:
    if not settings.telegram_bot_token:
        yield Finding("Telegram", True, "off: TELEGRAM_BOT_TOKEN is not set")
        return
    if settings.sandbox:
        yield Finding("Telegram", True, f"played by the sandbox at {settings.sandbox_url}")
        return
    try:
        me = _bot_api(settings, "getMe")
        yield Finding("Telegram", True, f"@{me['username']}")
        if settings.telegram_mode == "webhook":
            yield _webhook(settings, me["id"], _bot_api(settings, "getWebhookInfo"))
    except HTTPError as problem:
        unknown = problem.code in (401, 404)
        yield Finding(
            "Telegram", False, "Telegram does not know this TELEGRAM_BOT_TOKEN" if unknown else str(problem)
        )
    except InvalidURL:  # whose text is the address, in which the token is
        yield Finding("Telegram", False, f"TELEGRAM_API_URL must be {AN_ADDRESS}")
    except (OSError, HTTPException) as problem:
        why = str(problem).strip() or type(problem).__name__
        yield Finding("Telegram", False, f"{settings.telegram_api_url} can't be reached: {why}")
    except (ValueError, KeyError, TypeError):
        yield Finding("Telegram", False, f"another program answers at {settings.telegram_api_url}")


def _webhook(settings: Settings, bot_id: int, info: Mapping[str, Any]) -> Finding:
    """Bot API: WebhookInfo. The bot process sets it at start, and says in its log what Telegram says of it."""
    ours = f"{settings.live_url}/telegram/{bot_id}"
    waiting = info.get("pending_update_count", 0)
    if info.get("url") != ours:
        where = info["url"] or "nowhere"
        return Finding(
            "webhook", False, f"updates go to {where}, not to {ours}: start the bot process, which sets it"
        )
    if waiting and (last := info.get("last_error_message")):
        return Finding("webhook", False, f"{waiting} updates wait, as Telegram can't bring them to {ours}: {last}")
    return Finding("webhook", True, f"{ours}, {waiting} wait")


def _bot_api(settings: Settings, method: str) -> dict[str, Any]:
    """What a method without parameters gives. Raises `OSError` and `HTTPException`, or, for what is no answer of
    the Bot API's, `ValueError`, `KeyError` and `TypeError`.
    """
    address = f"{settings.telegram_api_url}/bot{settings.telegram_bot_token}/{method}"
    with open_directly(address, timeout=PATIENCE) as answer:
        return dict(json.load(answer)["result"])


def _channel(settings: Settings, channel: Channel, lines: Mapping[Channel, Line]) -> Iterator[Finding]:
    line = lines.get(channel)
    if line is None:
        if channel is not Channel.TELEGRAM:
            yield Finding(NAMES[channel], True, f"off: {channel.upper()}_URL is not set")
        return
    for provider, one in zip(line.providers, settings.provider_urls[channel], strict=True):
        subject = f"{NAMES[channel]} by {urlsplit(one.url).scheme}://"
        if settings.sandbox and one.url.endswith(f"{settings.sandbox_url}/inbox"):
            yield Finding(subject, True, "played by the sandbox")
            continue
        try:
            yield Finding(subject, True, asyncio.run(_ask(provider)))
        except SendError as problem:
            yield Finding(subject, False, str(problem))


async def _ask(provider: Provider) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            return await provider.check()
    except TimeoutError:
        raise TransientError("did not answer in time") from None
    finally:
        await provider.close()
