"""Live streams on our own store: a widget's stream is woken by what was committed for its session."""

import asyncio
import logging
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import msgspec
from aiohttp import web

from bot.streams import Streams
from gateway.events import Events
from gateway.local import LocalGateway
from gateway.settings import Settings
from gateway.store import Busy, SessionRow
from gateway.tokens import LiveClaim
from gateway.verbs import Caller, Progress
from gateway.waiting import wait_for

log = logging.getLogger(__name__)

GRACE_MS = 1000  # a session that expires is told so when it is over for certain
AT_ONCE = 100  # sessions read by one statement, and told: some 10 ms, while which nobody else is served


class Standing(NamedTuple):
    """How it is with a session, and whether its project is discreet."""

    progress: Progress
    discreet: bool


Asked = list[tuple[LiveClaim, asyncio.Future[Standing | None]]]


class Live(Streams):
    """Streams that the store's events wake."""

    def __init__(self, gateway: LocalGateway, config: Settings, events: Events) -> None:
        super().__init__(gateway.keyring, gateway.clock, config)
        self._gateway = gateway
        self._events = events
        self._listeners: dict[str, set[asyncio.Event]] = {}
        self._asked: Asked = []
        self._reading: set[asyncio.Task[None]] = set()
        self._closing = False

    def wake(self, sessions: Iterable[str]) -> None:
        """Something was committed for these: wake their streams."""
        for session_id in sessions:
            for listener in self._listeners.get(session_id, ()):
                listener.set()

    def close(self) -> None:
        """End every stream; the browsers come back on their own."""
        self._closing = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.set()

    async def tell(self, response: web.StreamResponse, claim: LiveClaim) -> None:
        woken = asyncio.Event()
        listeners = self._listeners.setdefault(claim.session_id, set())
        listeners.add(woken)
        try:
            await self._tell(response, claim, woken)
        finally:
            listeners.discard(woken)
            if not listeners:
                self._listeners.pop(claim.session_id, None)

    async def _tell(self, response: web.StreamResponse, claim: LiveClaim, woken: asyncio.Event) -> None:
        told = 0
        while not self._closing:
            woken.clear()
            told, until = await self._news(response, claim, told)
            if not until:
                return
            await self._wait(response, woken, until)

    async def _news(self, response: web.StreamResponse, claim: LiveClaim, told: int) -> tuple[int, int]:
        """Tell where it stands; returns that as a hash, and until when to wait for more: Unix ms, 0 for no more.

        What it reads is given back with its end: thousands of streams wait at once.
        """
        number = self._events.seen
        try:
            standing = await self._standing(claim)
        except Busy:
            return told, 0  # the page comes back
        if standing is None:
            await response.write(b'event: progress\ndata: {"state":"expired"}\n\n')
            return told, 0
        progress, discreet = standing  # in a discreet project, that something was sent is no news
        news = hash(self.encode(_still(progress))) if discreet else 0
        if not discreet or news != told:
            await self.write(response, progress, number)
        if progress.state not in ("live", "approved"):  # an approved one is still to be collected
            return news, 0
        return news, progress.expires_at + GRACE_MS

    async def _standing(self, claim: LiveClaim) -> Standing | None:
        """None: there is no such session.

        It is read together with all that is asked for in the same turn of the loop: one commit wakes many streams.
        Raises `Busy`.
        """
        loop = asyncio.get_running_loop()
        if not self._asked:
            loop.call_soon(self._read)
        answer: asyncio.Future[Standing | None] = loop.create_future()
        self._asked.append((claim, answer))
        return await answer

    def _read(self) -> None:
        loop = asyncio.get_running_loop()
        asked, self._asked = self._asked[:AT_ONCE], self._asked[AT_ONCE:]
        if self._asked:
            loop.call_soon(self._read)
        task = loop.create_task(self._answer(asked))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _answer(self, asked: Asked) -> None:
        try:
            standings = await self._gateway.aside(partial(self._look, [claim for claim, _ in asked]))
        except Exception as problem:
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(problem)
            if isinstance(problem, Busy):
                log.warning("the store is busy, %s live streams end and come back: %s", len(asked), problem)
            else:
                log.exception("%s live streams end: a defect of ours", len(asked))
            return
        for (_, answer), standing in zip(asked, standings, strict=True):
            if answer.done():  # the page may be gone
                continue
            if isinstance(standing, Exception):
                answer.set_exception(standing)
            else:
                answer.set_result(standing)

    def _look(self, claims: list[LiveClaim]) -> list[Standing | Exception | None]:
        sessions = self._gateway.store.sessions(list({claim.session_id for claim in claims}))
        return [self._looked(claim, sessions.get(claim.session_id)) for claim in claims]

    def _looked(self, claim: LiveClaim, session: SessionRow | None) -> Standing | Exception | None:
        if session is None or session.project_id != claim.project_id:
            return None
        try:
            project = self._gateway.project(claim.project_id)
            if project is None:
                return Busy("the project is not known here yet")
            progress = self._gateway.progress_of(Caller(project, lang=claim.lang), session)
        except Busy:  # the others need not wait for the same
            raise
        except Exception as problem:  # its stream's alone
            return problem
        return Standing(progress, project.settings.discreet)

    async def _wait(self, response: web.StreamResponse, woken: asyncio.Event, until: int) -> None:
        """Until woken or the session's end, with a comment now and then to keep the connection."""
        while not woken.is_set():
            left = (until - self.clock()) / 1000
            if left <= 0:
                return
            await wait_for(woken, min(self.heartbeat, left))
            if not woken.is_set():
                await self.beat(response)


def _still(progress: Progress) -> Progress:
    """Without its channels' times, which run by themselves."""
    channels = [msgspec.structs.replace(channel, timeout=0) for channel in progress.channels]
    return msgspec.structs.replace(progress, channels=channels)
