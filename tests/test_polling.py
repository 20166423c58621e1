"""A bot of this process that polls the sandbox's Bot API: how it begins and ends, and what it has in hand."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from aiogram.client.session.aiohttp import AiohttpSession

from bot import bots, updates
from bot.bots import Bots, ServedBot
from gateway.i18n import LANGUAGES
from gateway.store import Busy
from tests.servers import Person, Servers, becomes
from tests.world import World, new_phone

LONG = 30  # seconds for which the Bot API lets somebody's answer wait: longer than any of these tests
_numbers = itertools.count(100)


@pytest.fixture(scope="module")
def telegram(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with Servers(tmp_path_factory.mktemp("telegram"), ("sandbox",)) as running:
        yield running


class Polled:
    """A bot with a queue of its own, and the process that serves it."""

    def __init__(self, telegram: Servers, world: World) -> None:
        self.id = next(_numbers)
        self.username = f"sandbox_{self.id}_bot"
        self._telegram = telegram
        self._world = world

    def serve(self, work: Callable[[ServedBot], Awaitable[None]], **changes: Any) -> None:
        """What a process does from its start to its end, with `work` in between."""
        chosen = {"telegram_mode": "polling", "telegram_api_url": self._telegram.sandbox, **changes}
        config = self._world.settings.model_copy(update=chosen)

        async def process() -> None:
            served = ServedBot(f"{self.id}:sandbox", self._world.gateway, config, lambda: None)
            serving = asyncio.create_task(served.run())
            try:
                await work(served)
            finally:
                serving.cancel()
                with suppress(asyncio.CancelledError):
                    await serving
                await served.bot.session.close()

        asyncio.run(process())

    def somebody(self) -> Person:
        return Person(self._telegram, self._telegram.person(new_phone()).user_id, self.username)

    def says(self, method: str, **values: Any) -> Any:
        """A call of the Bot API, by whoever else knows the token."""
        url = f"{self._telegram.sandbox}/bot{self.id}:sandbox/{method}"
        return self._telegram.http.post(url, json=values).raise_for_status().json()["result"]

    def calls(self, method: str) -> list[dict[str, Any]]:
        asked = {"method": method, "bot": self.username}
        found: list[dict[str, Any]] = self._telegram.http.get(
            f"{self._telegram.sandbox}/api/calls", params=asked
        ).json()
        return found

    def unconfirmed(self) -> int:
        """How many updates Telegram keeps."""
        return int(self.says("getWebhookInfo")["pending_update_count"])


@pytest.fixture
def polled(telegram: Servers, world: World, monkeypatch: pytest.MonkeyPatch) -> Polled:
    for name in ("PATIENCE", "AGAIN", "FIRST_BACKOFF", "LONGEST_BACKOFF"):
        monkeypatch.setattr(updates, name, 0.05)
    return Polled(telegram, world)


def slow(telegram: Servers) -> Any:
    """The next answer waits, and its update is in hand all the while."""
    return telegram.fault(method="sendMessage", status=429, retry_after=LONG, times=1)


def met(telegram: Servers) -> bool:
    return not telegram.http.get(f"{telegram.sandbox}/api/faults").json()


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_what_was_in_hand_at_the_end_comes_again_at_the_next_start(
    telegram: Servers, world: World, polled: Polled, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    ann, bob = polled.somebody(), polled.somebody()

    async def is_at_it(served: ServedBot) -> None:
        note = served.handling._end
        if end == "killed":  # so it gives back nothing
            monkeypatch.setattr(served.handling, "_end", lambda update, *, done: done and note(update, done=done))
        with slow(telegram):
            ann.does("text", text="/help")
            await becomes(lambda: met(telegram))
            polls = len(polled.calls("getUpdates"))
            bob.does("text", text="/help")
            await becomes(lambda: bool(bob.heard()))  # nobody else waits for it
            await becomes(lambda: len(polled.calls("getUpdates")) > polls)

    async def begins_anew(_: ServedBot) -> None:
        await becomes(lambda: bool(ann.heard()))
        await becomes(lambda: polled.unconfirmed() == 0)

    polled.serve(is_at_it)
    world.clock.pass_seconds(world.settings.poll_lease_seconds + 1)
    polled.serve(begins_anew)
    assert (len(ann.heard()), len(bob.heard())) == (1, 1)


def test_one_that_is_slow_keeps_out_nobody_however_many_come(
    telegram: Servers, polled: Polled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "BATCH", 3)
    ann, others = polled.somebody(), [polled.somebody() for _ in range(7)]

    async def run(_: ServedBot) -> None:
        with slow(telegram):
            ann.does("text", text="/help")
            await becomes(lambda: met(telegram))
            for other in others:
                other.does("text", text="/help")
            await becomes(lambda: all(other.heard() for other in others))

    polled.serve(run)
    assert all(len(other.heard()) == 1 for other in others)


def test_while_the_store_is_away_nothing_is_given_up_nor_confirmed(
    world: World, polled: Polled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "BATCH", 2)
    monkeypatch.setattr(updates, "SLOWEST", 2.0)
    people = [polled.somebody() for _ in range(3)]
    take, until = world.gateway.store.take_update, time.monotonic() + 3  # longer than anything may take

    def is_away(*given: Any) -> Any:
        if time.monotonic() < until:
            raise Busy("away")
        assert polled.unconfirmed() == 3
        monkeypatch.setattr(world.gateway.store, "take_update", take)
        return take(*given)

    async def run(_: ServedBot) -> None:
        monkeypatch.setattr(world.gateway.store, "take_update", is_away)
        for person in people:
            person.does("text", text="/help")
        await becomes(lambda: all(person.heard() for person in people))

    polled.serve(run)


def test_a_webhook_that_somebody_else_sets_is_deleted_and_nothing_is_lost(
    telegram: Servers, polled: Polled
) -> None:
    ann = polled.somebody()

    async def run(_: ServedBot) -> None:
        await becomes(lambda: bool(polled.calls("getUpdates")))
        polled.says("setWebhook", url="http://127.0.0.1:9/")
        ann.does("text", text="/help")
        await becomes(lambda: len(ann.heard()) == 1)
        assert len(polled.calls("deleteWebhook")) == 2  # the first as it began to poll
        with telegram.fault(method="getUpdates", status=409, times=3):  # another process polls, too
            ann.does("text", text="/help")  # ends the poll that waits
            await becomes(lambda: met(telegram))
        ann.does("text", text="/help")
        await becomes(lambda: len(ann.heard()) == 3)
        assert len(polled.calls("deleteWebhook")) == 2

    polled.serve(run)


def test_commands_that_cant_be_hung_up_hold_up_nobody(telegram: Servers, polled: Polled) -> None:
    ann = polled.somebody()

    async def run(served: ServedBot) -> None:
        ann.does("text", text="/help")
        await becomes(lambda: bool(ann.heard()))
        assert served.username == polled.username

    with telegram.fault(method="setMyCommands", status=429, retry_after=LONG, times=1000):
        polled.serve(run)
    assert len(polled.calls("setMyCommands")) == 1


def test_the_bot_begins_no_sooner_than_it_is_told_and_hangs_up_its_commands_once(
    telegram: Servers, polled: Polled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bots, "AWAY_RETRY", 0.05)

    async def run(_: ServedBot) -> None:
        await becomes(lambda: len(polled.calls("setWebhook")) >= 3)
        await becomes(lambda: bool(polled.says("getMyCommands", language_code=LANGUAGES[-1])))

    with telegram.fault(method="getMe", status=429, retry_after=1, times=1):
        polled.serve(run, telegram_mode="webhook", live_url="http://no.https.example")
    assert len(polled.calls("setMyCommands")) == 1 + len(LANGUAGES)
    refused, told, *_ = polled.calls("getMe")
    assert told["at"] - refused["at"] >= 1


def test_connections_of_all_bots_are_closed_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    many = 5

    async def run() -> None:
        served, together = Bots(world.gateway, world.settings, takes_updates=False), asyncio.Barrier(many)
        for number in range(many):
            served._start(f"{1000 + number}:sandbox")

        async def close(_: AiohttpSession) -> None:
            await together.wait()

        monkeypatch.setattr(AiohttpSession, "close", close)
        async with asyncio.timeout(5):
            await served.close()

    asyncio.run(run())
