"""Telegram without its bot, by Telegram's Gateway: sent at once, and told how the session ended."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bot.endings import Endings
from gateway.channels import Channel
from gateway.lines import Line
from gateway.providers import Message, Receipt
from gateway.store import Busy, EndedSend, Outcome
from tests.delivering import claim, finish
from tests.providers.double_telegram_gateway import Account, telegram_gateway_double
from tests.servers import Servers, becomes, until
from tests.world import World, new_phone

TOKEN = "AAGtoken"


def test_the_gateway_sends_and_is_told_of_right_codes_and_of_closed_sessions(tmp_path: Path) -> None:
    account = Account()
    with telegram_gateway_double(TOKEN, account.answer) as double:
        url = f"telegram-gateway://{TOKEN}?api={double.url}"
        with Servers(tmp_path, TELEGRAM_URL=url) as servers:
            phone = new_phone()
            created = servers.create(phone, "telegram")
            telegram = next(channel for channel in created["channels"] if channel["type"] == "telegram")
            assert telegram["is_active"], "nobody has to start the bot first"
            [code] = until(lambda: list(account.codes.values()), "the code is sent")
            assert code == servers.code_of(created["session_id"])
            assert servers.check(created["session_id"], code).status_code == 200
            until(lambda: account.confirmed == ["request-1"], "the right code is told")

            phone = new_phone()
            person = servers.person(phone)
            for what in ("start", "contact"):
                person.does(what)
            person.hears("connected")
            by_bot = servers.create(phone, "telegram")["session_id"]
            person.hears(servers.code_of(by_bot))
            assert servers.check(by_bot, servers.code_of(by_bot)).status_code == 200

            other = servers.create(new_phone(), "telegram")["session_id"]
            until(lambda: "request-2" in account.codes, "the code is sent")
            wrong = "000000" if servers.code_of(other) != "000000" else "000001"
            for _ in range(5):
                servers.check(other, wrong)
            until(lambda: account.revoked == ["request-2"], "the closed session's message is taken back")
        assert double.wrong == []
        asked_after = [
            body["request_id"] for _, path, _, body in double.seen if path == "/checkVerificationStatus"
        ]
    assert account.confirmed == asked_after == ["request-1"], "of what the bot has sent it hears nothing"


class Attentive:
    """A provider that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def send(self, message: Message) -> Receipt:  # noqa: ARG002
        return Receipt()

    async def checked(self, reference: str, code: str) -> None:
        self.told.append((reference, code))

    async def revoke(self, reference: str) -> None:
        self.told.append((reference, "revoked"))


def used_sessions(world: World, count: int) -> list[str]:
    """Each with a message that its provider named, and a right code."""
    store, now = world.gateway.store, world.clock()
    sessions = [world.create(new_phone(), channel=Channel.SMS).session_id for _ in range(count)]
    for send in claim(store, now, 10_000, [Channel.SMS], 10):
        finish(store, [Outcome(send.id, "sent", reference=f"reference-{send.session_id}")], now)
    for session_id in sessions:
        world.gateway.check(world.caller(), session_id, world.code_of(session_id))
    return sessions


def test_a_provider_is_told_once_though_more_news_of_the_session_follows(world: World) -> None:
    """That it was sent may be read when it is over already, and a provider's report comes later still."""
    sessions = used_sessions(world, 2)

    async def run() -> list[tuple[str, str]]:
        provider = Attentive()
        line = Line((provider,), (0,))  # type: ignore[arg-type]
        endings = Endings(world.gateway, {Channel.SMS: line}, world.settings)
        task = asyncio.create_task(endings.run())
        for news in ([sessions[0]], sessions, sessions):
            endings.wake(news)
            await becomes(lambda news=news: len(provider.told) >= len(news))  # type: ignore[misc]
        await asyncio.sleep(0.1)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return provider.told

    assert asyncio.run(run()) == [(f"reference-{one}", world.code_of(one)) for one in sessions]


def test_who_has_lost_the_lease_tells_no_more_though_news_goes_on_coming(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where questions take time, news comes meanwhile, and the next look may never come."""
    store, sessions = world.gateway.store, used_sessions(world, 2)
    provider = Attentive()
    endings = Endings(world.gateway, {Channel.SMS: Line((provider,), (0,))}, world.settings)  # type: ignore[arg-type]
    ended_sends = store.ended_sends

    def slow(session_id: str) -> list[EndedSend]:
        """Meanwhile there is other news, and another process takes over."""
        endings.wake([sessions[1]])
        world.clock.pass_seconds(2 * world.settings.lease_seconds)
        assert store.hold("endings", "another", world.clock(), 60_000)
        return ended_sends(session_id)

    async def run() -> None:
        task = asyncio.create_task(endings.run())
        endings.wake([sessions[0]])
        await becomes(lambda: bool(provider.told))
        await asyncio.sleep(0.1)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    monkeypatch.setattr(store, "ended_sends", slow)
    asyncio.run(run())
    assert [reference for reference, _ in provider.told] == [f"reference-{sessions[0]}"]


def test_a_code_is_looked_up_beside_the_loop_and_is_not_told_while_the_store_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its project may have to be read anew."""
    sessions, provider, beside = used_sessions(world, 1), Attentive(), list[bool]()
    caplog.set_level(logging.INFO, "bot.endings")
    endings = Endings(world.gateway, {Channel.SMS: Line((provider,), (0,))}, world.settings)  # type: ignore[arg-type]
    aside = False

    async def noted(act: Callable[[], Any]) -> Any:
        nonlocal aside
        aside = True
        try:
            return act()
        finally:
            aside = False

    def away(project_id: int) -> None:
        beside.append(aside)
        raise Busy("away")

    async def run() -> None:
        task = asyncio.create_task(endings.run())
        endings.wake(sessions)
        await becomes(lambda: "sms was not told of a session's end: away" in caplog.text)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    monkeypatch.setattr(world.gateway.store, "aside", noted)
    monkeypatch.setattr(world.gateway.projects, "by_id", away)
    asyncio.run(run())
    assert beside == [True]
    assert provider.told == []
