"""The delivery loop: of a process that is told to end, while the store is away, and as time runs out."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.bill.guard import FRESH
from gateway.channels import Channel
from gateway.contact import parse_contact
from gateway.delivery import RESERVE_MS, Courier
from gateway.lines import Line
from gateway.providers import Message, PermanentError, Receipt, SendError, TransientError
from gateway.store import Busy, Round, Stop
from gateway.verbs import Draft
from tests.delivering import next_due
from tests.world import World, make_world, new_phone

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


async def deliver_until(world: World, provider: object, session_id: str, state: str, step: float = 0.1) -> None:
    """A courier's work until the session's message is in this state."""

    def there() -> bool:
        return world.gateway.store.sessions([session_id])[session_id].sends[0].state == state

    await deliver(world, {Channel.SMS: line_of(provider)}, there, step)


def line_of(*providers: Any) -> Line:
    return Line(providers, (0,) * len(providers))


async def deliver(
    world: World, lines: Mapping[Channel, Line], done: Callable[[], bool], step: float = 0.1
) -> None:
    """A courier's work until it is done; `step`: how many seconds pass between two looks."""
    courier = Courier(world.gateway, lines, world.settings)
    task = asyncio.create_task(courier.run())
    async with asyncio.timeout(20):
        while not done():
            world.clock.pass_seconds(step)
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


class Saying:
    """A provider that says one thing after the other, of which the last stays, and keeps what it was handed."""

    def __init__(self, *answers: Receipt | SendError) -> None:
        self.messages: list[Message] = []
        self._answers = list(answers)

    async def send(self, message: Message) -> Receipt:
        self.messages.append(message)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, SendError):
            raise answer
        return answer


def deliveries(world: World, session_id: str) -> dict[Channel, str]:
    return dict(world.gateway.progress(world.caller(), session_id).deliveries)


def test_a_channel_that_is_away_leaves_the_next_one_time(world: World) -> None:
    """Else a code is paid for that comes when it opens nothing any more."""
    session_id = world.create(new_phone(), channel=Channel.SMS).session_id

    class Slow(Saying):
        async def send(self, message: Message) -> Receipt:
            world.clock.pass_seconds(40)
            return await super().send(message)

    away, next_one = Slow(TransientError("away", 1)), Saying(Receipt())
    lines = {Channel.SMS: line_of(away), Channel.WHATSAPP: line_of(next_one)}
    over = {"sms": "failed", "whatsapp": "sent"}
    asyncio.run(deliver(world, lines, lambda: deliveries(world, session_id) == over))
    assert len(away.messages) == 3
    assert next_one.messages[0].seconds_left * 1000 >= RESERVE_MS / 2


@pytest.mark.parametrize("answer", [PermanentError("no such number"), TransientError("away")])
def test_a_channel_that_fails_at_the_end_is_the_last(world: World, answer: SendError) -> None:
    session_id = world.create(new_phone(), send=False).session_id
    world.clock.pass_seconds(155)
    world.gateway.send(world.caller(), session_id, Channel.SMS)
    asyncio.run(deliver_until(world, Saying(answer), session_id, "failed", step=1))
    assert deliveries(world, session_id) == {"sms": "failed"}


def test_a_channel_that_was_chosen_late_is_not_given_up_for_one_hiccup(world: World) -> None:
    session_id = world.create(new_phone(), send=False).session_id
    world.clock.pass_seconds(130)
    world.gateway.send(world.caller(), session_id, Channel.SMS)
    asyncio.run(deliver_until(world, Saying(TransientError("away"), Receipt()), session_id, "sent"))
    assert deliveries(world, session_id) == {"sms": "sent"}


def test_a_servers_own_message_which_no_channel_takes_over_is_tried_to_its_end(world: World) -> None:
    caller = world.caller("sk_development")
    number = world.gateway.manual_send(caller, Draft(parse_contact(new_phone()), Channel.SMS)).message_id
    began, line = world.clock(), line_of(Saying(TransientError("away", 20)))

    def failed() -> bool:
        message = world.gateway.store.manual(caller.project.id, number)
        return message is not None and message.state == "failed"

    asyncio.run(deliver(world, {Channel.SMS: line}, failed, step=5))
    assert world.clock() - began >= 150_000


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("linked", [True, False])
def test_only_the_bot_is_handed_numbers_to_tap(tmp_path: Path, linked: bool) -> None:
    """What has no buttons would speak of numbers that are not there."""
    world, phone = make_world(tmp_path, telegram_url="webhook+https://telegram.example.com"), new_phone()
    if linked:
        world.activate(phone)
    browser = replace(world.caller(), browser_key="the browser's own secret")
    session_id = world.gateway.create(browser, parse_contact(phone), Channel.TELEGRAM).session_id
    bot = Saying(TransientError("away") if linked else PermanentError("the bot is not activated"))
    sender = Saying(Receipt())
    lines = {Channel.TELEGRAM: line_of(bot, sender)}
    asyncio.run(deliver(world, lines, lambda: deliveries(world, session_id) == {"telegram": "sent"}))
    told = [(len(message.numbers), "Tap the number" in message.text) for message in bot.messages + sender.messages]
    assert told == [(3, True) if linked else (0, False), (0, False)]
