"""Live streams of one process: read together, and let go where the store is away."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
import pytest

from bench.processes import free_ports
from bot.live import AT_ONCE, Live
from bot.serving import listen
from gateway.events import Events
from gateway.store import Busy, SessionRow
from gateway.tokens import LiveClaim, live_tokens
from gateway.verbs import Caller, Progress
from tests.world import World, new_phone

ANSWERED_WITHIN = 10


@dataclass
class Reads:
    """What the streams ask the store for; it is away while `wrong` is something."""

    world: World
    sizes: list[int] = field(default_factory=list)
    wrong: Exception | None = None

    def sessions(self, session_ids: Sequence[str]) -> dict[str, SessionRow]:
        self.sizes.append(len(session_ids))
        if self.wrong:
            raise self.wrong
        return type(self.world.gateway.store).sessions(self.world.gateway.store, session_ids)


@pytest.fixture
def reads(world: World, monkeypatch: pytest.MonkeyPatch) -> Reads:
    reads = Reads(world)
    monkeypatch.setattr(world.gateway.store, "sessions", reads.sessions)
    return reads


class Pages:
    """Pages of `sessions`, each with its stream open."""

    def __init__(self, world: World, live: Live, http: aiohttp.ClientSession, url: str) -> None:
        self.live = live
        self._world, self._http, self._url = world, http, url
        self._tokens = live_tokens(world.gateway.keyring, world.clock)
        self._opened: list[aiohttp.ClientResponse] = []

    def close(self) -> None:
        for page in self._opened:
            page.close()

    async def open(self, session_id: str) -> aiohttp.ClientResponse:
        project = self._world.caller().project.id
        token = self._tokens.sign(LiveClaim(project, session_id, "en"))
        self._opened.append(await self._http.get(f"{self._url}/live/{token}"))
        return self._opened[-1]


async def event(page: aiohttp.ClientResponse) -> str:
    """The data of its next event; nothing where the stream has ended."""
    async for line in page.content:
        if line.startswith(b"data: "):
            return line[6:].decode()
    return ""


def play(world: World, act: Callable[[Pages], Awaitable[None]]) -> None:
    async def run() -> None:
        live = Live(world.gateway, world.settings, Events(world.gateway.store, world.clock))
        [port] = free_ports(1)
        listener = await listen(world.settings, port, {"/live/{token}": live.stream})
        try:
            async with aiohttp.ClientSession() as http, asyncio.timeout(ANSWERED_WITHIN):
                pages = Pages(world, live, http, f"http://127.0.0.1:{port}")
                try:
                    await act(pages)
                finally:
                    pages.close()
        finally:
            live.close()
            await listener.close()

    asyncio.run(run())


def test_streams_that_wake_at_once_are_read_at_once(world: World, reads: Reads) -> None:
    sessions = [world.create(new_phone(), send=False).session_id for _ in range(20)]

    async def act(pages: Pages) -> None:
        opened = [await pages.open(session_id) for session_id in [*sessions, sessions[0]]]
        for page in opened:
            assert '"live"' in await event(page)
        reads.sizes.clear()
        for session_id in sessions:
            world.gateway.check(world.caller(), session_id, world.code_of(session_id))
        pages.live.wake(sessions)
        for page in opened:
            assert '"used"' in await event(page)
            assert await event(page) == "", "it has ended"

    play(world, act)
    assert reads.sizes == [len(sessions)]


def test_more_than_one_look_takes_are_read_in_turns(world: World, reads: Reads) -> None:
    session_id = world.create(new_phone(), send=False).session_id

    async def act(pages: Pages) -> None:
        claim = LiveClaim(1, session_id, "en")
        told = await asyncio.gather(*(pages.live._standing(claim) for _ in range(AT_ONCE + 1)))
        assert [one.progress.state for one in told if one] == ["live"] * (AT_ONCE + 1)

    play(world, act)
    assert reads.sizes == [1, 1]


@pytest.mark.parametrize("wrong", [Busy("away"), RuntimeError("a defect")], ids=["busy", "defect"])
def test_where_the_store_is_away_streams_end_and_the_pages_may_come_back(
    world: World, reads: Reads, wrong: Exception
) -> None:
    session_id = world.create(new_phone(), send=False).session_id

    async def act(pages: Pages) -> None:
        page = await pages.open(session_id)
        assert '"live"' in await event(page)
        reads.wrong = wrong
        pages.live.wake([session_id])
        assert await ends(page)
        reads.wrong = None
        assert '"live"' in await event(await pages.open(session_id))

    play(world, act)


async def ends(page: aiohttp.ClientResponse) -> bool:
    """Without another event; in the middle of what it said, where it was a defect."""
    try:
        return await event(page) == ""
    except aiohttp.ClientPayloadError:
        return True


def test_a_session_that_can_t_be_told_ends_its_own_stream_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange, sound = (world.create(new_phone(), send=False).session_id for _ in range(2))
    progress_of = world.gateway.progress_of

    def stumbles(caller: Caller, session: SessionRow) -> Progress:
        if session.id == strange:
            raise RuntimeError("a defect")
        return progress_of(caller, session)

    async def act(pages: Pages) -> None:
        opened = [await pages.open(session_id) for session_id in (strange, sound)]
        assert ['"live"' in await event(page) for page in opened] == [True, True]
        monkeypatch.setattr(world.gateway, "progress_of", stumbles)
        pages.live.wake([strange, sound])
        assert await ends(opened[0])
        assert '"live"' in await event(opened[1])

    play(world, act)


def test_of_a_project_that_is_not_known_yet_nobody_is_told_that_a_login_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = world.create(new_phone(), send=False).session_id

    async def act(pages: Pages) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(world.gateway, "project", lambda _: None)
            assert await ends(await pages.open(session_id))
        assert '"live"' in await event(await pages.open(session_id))

    play(world, act)
