"""The delivery loop of a process that is told to end."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from gateway.bill.guard import FRESH
from gateway.channels import Channel
from gateway.delivery import Courier
from gateway.lines import Line
from gateway.providers import Message, PermanentError, Receipt
from gateway.store import Busy, Round, Stop
from tests.delivering import next_due
from tests.world import World, new_phone

LEFT = 2.0  # seconds


class Uneven:
    """A provider that answers the first message at once, and the others never."""

    def __init__(self) -> None:
        self.asked = 0
        self.slow = asyncio.Event()

    async def send(self, message: Message) -> Receipt:  # noqa: ARG002
        self.asked += 1
        if self.asked > 1:
            self.slow.set()
            await asyncio.sleep(60)
        return Receipt()


def test_what_was_sent_is_written_down_though_another_send_outlasts_the_end(world: World) -> None:
    """Else it would be sent once more when its lease ends."""
    sessions = [world.create(new_phone(), channel=Channel.SMS).session_id for _ in range(2)]

    async def run() -> None:
        provider = Uneven()
        courier = Courier(world.gateway, {Channel.SMS: Line((provider,), (0,))}, world.settings)  # type: ignore[arg-type]
        task = asyncio.create_task(courier.run())
        await provider.slow.wait()
        task.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(task), LEFT)

    asyncio.run(run())
    rows = world.gateway.store.sessions(sessions)
    assert [rows[one].sends[0].state for one in sessions] == ["sent", "sending"]
    assert next_due(world.gateway.store, [Channel.SMS]) is not None, "the other is taken over when its lease ends"


def test_what_is_claimed_while_the_process_is_told_to_end_is_sent_and_written_down(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL the loop goes on meanwhile, so that the end may come before the server's answer."""
    session_id = world.create(new_phone(), channel=Channel.SMS).session_id
    deliver, asked = world.gateway.store.deliver, threading.Event()

    def slow(*given: Any) -> Round:
        asked.set()
        time.sleep(0.3)
        return deliver(*given)

    async def run() -> None:
        monkeypatch.setattr(world.gateway.store, "deliver", slow)
        courier = Courier(world.gateway, {Channel.SMS: Line((Uneven(),), (0,))}, world.settings)  # type: ignore[arg-type]
        task = asyncio.create_task(courier.run())
        await asyncio.sleep(0)
        await asyncio.to_thread(asked.wait)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())
    [send] = world.gateway.store.sessions([session_id])[session_id].sends
    assert send.state == "sent"


class Absent:
    """A provider while whose answer the store goes away, but for what is written down."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch, answer: Receipt | PermanentError) -> None:
        self.asked = 0
        self._world, self._patch, self._answer = world, monkeypatch, answer

    async def send(self, message: Message) -> Receipt:  # noqa: ARG002
        self.asked += 1
        self._world.clock.pass_seconds(2 * FRESH / 1000)  # so that it is looked again at what is stopped
        self._patch.setattr(self._world.gateway.store, "stops", self._away)
        if isinstance(self._answer, PermanentError):
            raise self._answer
        return self._answer

    def _away(self) -> list[Stop]:
        raise Busy("away")


async def deliver_until(world: World, provider: object, session_id: str, state: str) -> None:
    """A courier's work until the session's message is in this state."""
    courier = Courier(world.gateway, {Channel.SMS: Line((provider,), (0,))}, world.settings)  # type: ignore[arg-type]
    task = asyncio.create_task(courier.run())
    async with asyncio.timeout(20):
        while world.gateway.store.sessions([session_id])[session_id].sends[0].state != state:
            world.clock.pass_seconds(0.1)
            courier.wake()
            await asyncio.sleep(0.05)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("answer", "state"),
    [(Receipt("1"), "sent"), (PermanentError("no such number"), "failed")],
    ids=["taken", "refused"],
)
def test_what_a_provider_answered_counts_though_the_store_was_away(
    world: World, monkeypatch: pytest.MonkeyPatch, answer: Receipt | PermanentError, state: str
) -> None:
    """Else whoever was sent a code in that moment is sent it once more."""
    session_id = world.create(new_phone(), channel=Channel.SMS).session_id
    provider = Absent(world, monkeypatch, answer)
    asyncio.run(deliver_until(world, provider, session_id, state))
    assert provider.asked == 1


def test_what_ends_while_it_is_claimed_anew_is_not_sent_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease is over, by a clock that was put forward, and it ends while the store still answers."""
    session_id = world.create(new_phone(), channel=Channel.SMS).session_id
    ends, ended = asyncio.Event(), asyncio.Event()

    class Late:
        asked = 0

        async def send(self, message: Message) -> Receipt:  # noqa: ARG002
            self.asked += 1
            world.clock.pass_seconds(2 * world.settings.lease_seconds)
            await ends.wait()
            ended.set()
            return Receipt()

    async def aside(act: Callable[[], Any]) -> Any:
        result = act()
        if ends.is_set():
            return result
        _, taken = result
        if provider.asked and taken:
            ends.set()
            await ended.wait()
            await asyncio.sleep(0.05)
        return result

    provider = Late()
    monkeypatch.setattr(world.gateway.store, "aside", aside)
    asyncio.run(deliver_until(world, provider, session_id, "sent"))
    assert ended.is_set()
    assert provider.asked == 1


def test_what_cannot_be_made_ready_just_now_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session_id = world.create(new_phone(), channel=Channel.SMS).session_id
    by_id, asked = world.gateway.projects.by_id, list[int]()

    def away_once(project_id: int) -> Any:
        asked.append(project_id)
        if len(asked) == 1:
            raise Busy("away")
        return by_id(project_id)

    monkeypatch.setattr(world.gateway.projects, "by_id", away_once)
    asyncio.run(deliver_until(world, Uneven(), session_id, "sent"))
    assert len(asked) > 1
    assert "defect" not in caplog.text
