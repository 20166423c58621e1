"""Delivery: takes committed messages out of the store and hands them to their providers.

A message is claimed by lease, sent, and its outcome written down; a process that dies in between loses its
lease and another one takes over. So a message is delivered at least once, and twice only where a process died
after the provider took it and before that was committed.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from gateway.bill.guard import Ceilings
from gateway.channels import Channel
from gateway.clock import to_iso
from gateway.ids import made_at
from gateway.keyring import Unsealable
from gateway.lines import Line, place_in_turn
from gateway.local import LocalGateway
from gateway.place import place_name
from gateway.providers import Message, PermanentError, Receipt, TransientError, is_reference
from gateway.render import render_message
from gateway.settings import Settings
from gateway.store import Busy, Claimed, Outcome
from gateway.waiting import backoff, to_its_end, wait_for

log = logging.getLogger(__name__)

FIRST_RETRY = 0.5  # seconds; doubles, with jitter, while the session lives
LONGEST_RETRY = 15.0
BATCH = 100  # messages claimed in one transaction
GATHER = 0.005  # seconds: what is sent meanwhile is written down together
ON_THE_WAY_MS = 5000  # a code of three minutes is still said to last three when it is sent seconds later
RESERVE_MS = 60_000  # kept for the next channel: its code has to come and to be typed; half of it has to be left
FIRST_TRIES = 3  # may use half of that: a code that was asked for late is not given up for one hiccup


Instead = tuple[tuple[Channel, ...], Ceilings]
"""The channels that may take over, and what a message of each counts against."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A message as it goes out, None where nobody is left to take it; the places of the providers that may.

    `place` is where in these its turn is.
    """

    message: Message | None
    is_test: bool
    left: list[int]
    place: int
    instead: Instead


Taken = tuple[Claimed, Ready | Exception]
"""What was claimed, made ready, or why it could not be."""

NOBODY: Instead = ((), {})


class Courier:
    """The delivery loop of one process.

    All that a message needs of the store, whatever its provider will say, is read when it is claimed: how it went
    can then be told at once, though the store be away.
    """

    def __init__(self, gateway: LocalGateway, lines: Mapping[Channel, Line], settings: Settings) -> None:
        self._gateway = gateway
        self._store = gateway.store
        self._metrics = gateway.metrics
        self._lines = lines
        self._lease = round(settings.lease_seconds * 1000)
        self._timeout = settings.provider_timeout_seconds
        self._concurrency = settings.provider_concurrency
        self._host = urlsplit(settings.public_url).hostname or "localhost"
        self._wake = asyncio.Event()
        self._busy = {channel: [0] * len(line.providers) for channel, line in lines.items()}
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: set[int] = set()
        self._done: list[Outcome] = []

    def wake(self) -> None:
        """Something was committed: look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled; then finish what is under way."""
        try:
            while True:
                self._wake.clear()
                wait = await to_its_end(self._round())
                if wait:
                    await wait_for(self._wake, wait)
                else:
                    await asyncio.sleep(0)
        finally:
            await self._drain()

    async def _round(self) -> float:
        """Write down what is done, start what is due; how many seconds to wait then."""
        channels = self._open_channels()
        most = min(BATCH, *map(self._room, channels)) if channels else 0
        done, self._done = self._done, []
        try:
            due, taken = await self._store.aside(partial(self._take, done, channels, most))
        except Exception as problem:
            self._done[:0] = done
            if not isinstance(problem, Busy):
                raise
            log.warning("the store is busy, delivery waits: %s", problem)
            return FIRST_RETRY
        self._under_way.difference_update(one.message_id for one in done)
        for claimed, ready in taken:
            self._start(claimed, ready)
        if most and len(taken) == most:
            return 0  # there may be more
        return self._until(due)

    def _take(
        self, done: Sequence[Outcome], channels: Sequence[Channel], most: int
    ) -> tuple[int | None, list[Taken]]:
        """When the next is due, and what is due now."""
        due = self._store.deliver(done, self._gateway.clock(), self._lease, channels, most)
        taken: list[Taken] = []
        away: Busy | None = None  # the others need not wait for the same
        for claimed in due.claimed:
            ready = away or self._ready(claimed)
            away = ready if isinstance(ready, Busy) else None
            taken.append((claimed, ready))
        return due.next_due, taken

    def _ready(self, claimed: Claimed) -> Ready | Exception:
        reach, line = self._gateway.reach, self._lines.get(claimed.channel)
        left = line.left(claimed.id, claimed.given_up, claimed.provider) if line else []
        try:
            if len(left) > 1 and claimed.channel is Channel.TELEGRAM and reach.only_bot(claimed):
                left = [number for number in left if number == 0]
            place = place_in_turn(claimed.attempts, claimed.given_up, left) if left else 0
            message = self._message(claimed, left[place]) if left else None
            is_test = message is not None and self._is_test(message)
            instead = NOBODY
            if claimed.provider is None:
                instead = reach.instead(claimed, claimed.channel, active=claimed.chat_id is not None)
            return Ready(message, is_test, left, place, instead)
        except Exception as problem:
            return problem

    def _start(self, claimed: Claimed, ready: Ready | Exception) -> None:
        if claimed.id in self._under_way:
            return  # its lease ended by a clock that was put forward, or before its outcome was written down
        self._under_way.add(claimed.id)
        task = asyncio.create_task(self._deliver(claimed, ready))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _until(self, due: int | None) -> float:
        if due is None:
            return 60.0
        return max(0.001, (due - self._gateway.clock()) / 1000)

    def _room(self, channel: Channel) -> int:
        """How many more calls the channel's providers take at once."""
        busy = self._busy.get(channel, [0])
        return len(busy) * self._concurrency - sum(busy)

    def _open_channels(self) -> list[Channel]:
        """Those with room for one more call: a slow provider delays no other."""
        return [channel for channel in Channel if self._room(channel) > 0]

    async def _deliver(self, claimed: Claimed, ready: Ready | Exception) -> None:
        try:
            outcome = await self._attempt(claimed, ready)
        except Exception:
            log.exception("message %s: a defect of ours, tried again", claimed.id)
            outcome = self._again(claimed, TransientError("internal error"))
        self._done.append(outcome)
        if len(self._done) == 1:
            asyncio.get_running_loop().call_later(GATHER, self._wake.set)

    async def _attempt(self, claimed: Claimed, ready: Ready | Exception) -> Outcome:
        """Hand the message to the provider whose turn it is."""
        if isinstance(ready, Unsealable):
            return self._failed(claimed, "SECRET_KEYS has lost the key that sealed it")
        if isinstance(ready, Busy | TransientError):
            return self._again(claimed, TransientError(str(ready)))
        if isinstance(ready, Exception):
            raise ready
        line, left, place, message = self._lines.get(claimed.channel), ready.left, ready.place, ready.message
        if line is None or message is None:
            return self._failed(claimed, "the channel has no provider", ready.instead)
        if ready.is_test:
            return Outcome(claimed.id, "sent")
        # Whose turn it was has the text for it: buttons are the bot's alone.
        number = left[place] if message.numbers else self._free(claimed.channel, left, place)
        try:
            receipt = await self._hand_over(claimed.channel, line, number, message)
        except PermanentError as problem:
            return self._refused(claimed, ready, number, problem)
        except TransientError as problem:
            return self._again(claimed, problem, ready.instead, others=place < len(left) - 1)
        self._metrics.delivered(claimed.channel, max(0, self._gateway.clock() - claimed.created_at) / 1000)
        if not is_reference(receipt.reference):
            return Outcome(claimed.id, "sent", tap=receipt.tap)
        instead, ceilings = ready.instead  # for early reports
        return Outcome(claimed.id, "sent", receipt.reference, instead=instead, tap=receipt.tap, ceilings=ceilings)

    async def _hand_over(self, channel: Channel, line: Line, number: int, message: Message) -> Receipt:
        """Raises `PermanentError` or `TransientError`."""
        busy, outcome, began = self._busy[channel], "later", time.perf_counter()
        busy[number] += 1
        try:
            async with asyncio.timeout(self._timeout):
                receipt: Receipt = await line.providers[number].send(message)
            outcome = "sent"
        except PermanentError:
            outcome = "refused"
            raise
        except TimeoutError:
            raise TransientError("the provider did not answer in time") from None
        finally:
            busy[number] -= 1
            self._metrics.attempt(channel, line.name(number), outcome, time.perf_counter() - began)
        return receipt

    def _is_test(self, message: Message) -> bool:
        """Nobody waits for it: its code is known."""
        project = self._gateway.projects.by_id(message.project_id)
        return project is not None and bool(project.settings.test_code(message.to))

    def _free(self, channel: Channel, left: list[int], place: int) -> int:
        """The provider whose turn it is, or the next that is not busy with as many calls as it may have."""
        turns = left[place:] + left[:place]
        return next((number for number in turns if self._busy[channel][number] < self._concurrency), turns[0])

    def _message(self, claimed: Claimed, provider: int) -> Message:
        """As the provider of this number takes it."""
        project = self._gateway.projects.by_id(claimed.project_id)
        if project is None:
            raise TransientError("the project is not known here yet")
        chosen = project.settings
        to = self._gateway.keyring.open(claimed.sealed, claimed.session_id)
        code = self._gateway.code_of(claimed)
        left = claimed.expires_at - self._gateway.clock()
        minutes = max(1, (left + ON_THE_WAY_MS) // 60_000)
        by_bot = claimed.channel is Channel.TELEGRAM and claimed.chat_id is not None and provider == 0
        tap = by_bot and claimed.tap and chosen.one_tap  # no other shows buttons
        text = render_message(
            claimed.channel,
            claimed.lang,
            code=code,
            project=chosen.name,
            minutes=minutes,
            host=self._host,
            project_id=project.id,
            browser=claimed.browser,
            place=place_name(claimed.place, claimed.lang) if claimed.place else "",
            tap=tap,
        )
        return Message(
            id=claimed.id,
            channel=claimed.channel,
            to=to,
            code=code,
            text=text,
            lang=claimed.lang,
            project=chosen.name,
            project_id=project.id,
            chat_id=claimed.chat_id,
            minutes=minutes,
            seconds_left=max(0, left // 1000),
            host=self._host,
            session_id=claimed.session_id,
            numbers=self._gateway.numbers_of(claimed).shown if tap else (),
        )

    def _failed(self, claimed: Claimed, reason: str, instead: Instead = NOBODY, given_up: int = 0) -> Outcome:
        """The channel can't deliver it: the next one takes over, where there is time."""
        log.warning("message %s by %s failed: %s", claimed.id, claimed.channel, reason)
        self._metrics.failed(claimed.channel)
        channels, ceilings = self._in_time(claimed, instead)
        return Outcome(claimed.id, "failed", error=reason, given_up=given_up, instead=channels, ceilings=ceilings)

    def _refused(self, claimed: Claimed, ready: Ready, number: int, problem: PermanentError) -> Outcome:
        """This provider will never deliver it: the next one's turn, at once."""
        if len(ready.left) == 1:
            return self._failed(claimed, str(problem), ready.instead, 1 << number)
        log.info("message %s by %s, provider %s: %s", claimed.id, claimed.channel, number + 1, problem)
        now = self._gateway.clock()
        return Outcome(claimed.id, "queued", error=str(problem), due_at=now, given_up=1 << number)

    def _again(
        self, claimed: Claimed, problem: TransientError, instead: Instead = NOBODY, *, others: bool = False
    ) -> Outcome:
        """It may work later: the other providers' turn at once, this one's after a while.

        Where another channel may take over, it is given up early enough to be of use there.
        """
        wait = problem.retry_after
        if wait is None:
            wait = backoff(claimed.attempts, FIRST_RETRY, LONGEST_RETRY)
        due = self._gateway.clock() + (0 if others else round(wait * 1000))
        channels, _ = self._in_time(claimed, instead)
        kept = _reserve(claimed) if channels and not others else 0
        if due >= claimed.expires_at - (kept if claimed.attempts >= FIRST_TRIES else kept // 2):
            return self._failed(claimed, f"out of time: {problem}", instead)
        log.info("message %s by %s: %s; again at %s", claimed.id, claimed.channel, problem, to_iso(due))
        return Outcome(claimed.id, "queued", error=str(problem), due_at=due)

    def _in_time(self, claimed: Claimed, instead: Instead) -> Instead:
        """Nobody, where the session will hardly outlive another channel's code, which would be paid for."""
        left = claimed.expires_at - self._gateway.clock()
        return instead if left >= _reserve(claimed) // 2 else NOBODY

    async def _drain(self) -> None:
        self._write_down()
        while self._tasks:  # a slow one may outlast the time that is left: what the others did is written down
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            self._write_down()

    def _write_down(self) -> None:
        if not self._done:
            return
        try:
            self._store.deliver(self._done, self._gateway.clock(), 0, [], 0)
            self._done.clear()
        except Busy as problem:
            log.warning("the store is busy, %s outcomes wait for their lease: %s", len(self._done), problem)


def _reserve(claimed: Claimed) -> int:
    """How many ms of its session a channel leaves to the next: of a short one, a third."""
    return min(RESERVE_MS, (claimed.expires_at - made_at(claimed.session_id)) // 3)
