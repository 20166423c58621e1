"""Verbs that wait for PostgreSQL side by side, in one thread, over one connection: what is that way's own.

That each verb does the same so, and what an outage does to it, tests/test_store.py and test_postgres.py show.
"""

import asyncio
import errno
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import uvloop

from bot.bots import Bots, ServedBot
from bot.live import Live
from gateway.book import MAX_AGE
from gateway.channels import Channel
from gateway.contact import parse_contact
from gateway.delivery import Courier
from gateway.events import Events
from gateway.leases import Lease
from gateway.lines import Line
from gateway.providers import Message, Receipt
from gateway.store import Busy
from gateway.store.postgres import PostgresStore
from gateway.store.postgres_beside import LINE_SECONDS, LOOK_EVERY, STUCK_SECONDS
from gateway.store.postgres_connections import WAIT_SECONDS, Connections
from gateway.store.postgres_pool import SILENT_SECONDS
from gateway.tokens import LiveClaim
from gateway.verbs import Created
from tests.databases import chosen, execute
from tests.faults.acts import stopped
from tests.postgres import PostgresServer
from tests.servers import until
from tests.world import World, make_world, new_phone

Server = Callable[[], PostgresServer]
MINE = "SELECT pg_backend_pid()"
CONNECTIONS = 2


@pytest.fixture
def store(postgres: Server) -> Iterator[PostgresStore]:
    url = postgres().new_database()
    store = PostgresStore(url, "", CONNECTIONS)
    yield store
    store.close()
    postgres().give_back(url)


def beside(store: PostgresStore, *acts: Callable[[], Any]) -> list[Any]:
    """Begun in the same turn of a loop; what each returned or raised."""

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*map(store.aside, acts), return_exceptions=True)

    return uvloop.run(all_of_them())


def test_many_go_over_one_connection_in_one_thread_and_each_gets_its_own_answer(store: PostgresStore) -> None:
    def ask(number: int) -> tuple[int, int, int]:
        [(first, pid)] = store._run("SELECT %s::bigint, pg_backend_pid()", (number,))
        [(second,)] = store._run("SELECT %s::bigint", (first + 1000,))
        return first, second - 1000, pid, threading.get_ident()  # type: ignore[return-value]

    answers = beside(store, *(partial(ask, number) for number in range(300)))
    assert [answer[:2] for answer in answers] == [(number, number) for number in range(300)]
    assert {answer[2:] for answer in answers} == {(answers[0][2], threading.get_ident())}


def test_each_is_a_transaction_of_its_own(store: PostgresStore) -> None:
    """One that fails takes none along, before or behind it."""
    keep = "INSERT INTO meta VALUES (%s, '')"
    acts = [partial(store._run, keep, (name,)) for name in ("one", "two", "two", "three")]
    answers = beside(store, *acts)
    assert [type(answer) for answer in answers] == [list, list, psycopg.errors.UniqueViolation, list]
    there = execute(store._url, "SELECT name FROM meta WHERE value = '' ORDER BY name")
    assert there == [("one",), ("three",), ("two",)]


def test_what_cant_be_prepared_is_told_to_all_who_ask_it_and_is_prepared_later(store: PostgresStore) -> None:
    ask = "SELECT count(*) FROM later"
    assert [type(answer) for answer in beside(store, *[partial(store._run, ask)] * 5)] == [Busy] * 5
    execute(store._url, "CREATE TABLE later (x int)")
    try:
        assert beside(store, *[partial(store._run, ask)] * 5) == [[(0,)]] * 5
    finally:
        execute(store._url, "DROP TABLE later")


def test_a_value_that_cant_be_written_stops_nobody_else(store: PostgresStore) -> None:
    ask = "SELECT %s::text"
    texts = ("before", "a\x00b", "\udc80", "behind")
    answers = beside(store, *(partial(store._run, ask, (text,)) for text in texts))
    assert answers == [[("before",)], [("a\N{REPLACEMENT CHARACTER}b",)], [("?",)], [("behind",)]]
    [odd, fine] = beside(store, partial(store._run, ask, (object(),)), partial(store._run, ask, ("fine",)))
    assert isinstance(odd, psycopg.ProgrammingError)
    assert fine == [("fine",)]


def test_more_than_a_socket_takes_at_once_goes_out_bit_by_bit(store: PostgresStore) -> None:
    large = "x" * 400_000
    answers = beside(store, *[partial(store._run, "SELECT length(%s::text), %s::text", (large, large))] * 40)
    assert answers == [[(len(large), large)]] * 40


def test_what_nobody_waits_for_any_more_is_done_all_the_same(store: PostgresStore) -> None:
    """As a browser goes away in the middle of its request."""

    async def goes_away() -> None:
        asked = asyncio.create_task(store.aside(partial(store.keep, "asked", b"for")))
        await asyncio.sleep(0)
        asked.cancel()
        assert await store.aside(partial(store._run, MINE))

    uvloop.run(goes_away())
    assert store.keep("asked", b"later") == b"for"


def test_a_connection_that_is_lost_costs_those_who_are_under_way(store: PostgresStore) -> None:
    async def loses_it() -> None:
        [(pid,)] = await store.aside(partial(store._run, MINE))
        asked = [asyncio.create_task(store.aside(partial(store._run, "SELECT pg_sleep(1)"))) for _ in range(3)]
        await asyncio.sleep(0.2)
        await asyncio.to_thread(execute, store._url, f"SELECT pg_terminate_backend({pid})")
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Busy] * 3
        [(other,)] = await store.aside(partial(store._run, MINE))
        assert other != pid

    uvloop.run(loses_it())


def test_under_load_without_a_pause_a_connection_goes_back_now_and_then(store: PostgresStore) -> None:
    """Else one that the pool would let go of, as it is too old or leads to the wrong server, would be kept."""

    async def asks_on() -> None:
        ends = time.monotonic() + 3 * LINE_SECONDS
        pids = set()

        async def asks(after: float) -> None:
            await asyncio.sleep(after)
            while time.monotonic() < ends:
                [(pid, _)] = await store.aside(partial(store._run, "SELECT pg_backend_pid(), pg_sleep(0.002)"))
                pids.add(pid)

        loads = [asyncio.create_task(asks(number / 1000)) for number in range(4)]
        while not pids:
            await asyncio.sleep(0.01)
        former = set(pids)
        pool = store._connections._pool
        assert pool
        pool.drain()
        await asyncio.sleep(1.5 * LINE_SECONDS)
        pids.clear()
        await asyncio.gather(*loads)
        assert pids
        assert not pids & former

    uvloop.run(asks_on())


def test_who_finds_no_free_connection_waits_for_one_and_is_told_in_time(store: PostgresStore) -> None:
    taken = [store._connections.take(WAIT_SECONDS) for _ in range(CONNECTIONS)]

    async def asks() -> None:
        asked = asyncio.create_task(store.aside(partial(store._run, MINE)))
        await asyncio.sleep(0.3)
        store._connections.give_back(taken.pop())
        [(pid,)] = await asked
        await asyncio.sleep(LINE_SECONDS + 2 * LOOK_EVERY)
        again = store._connections.take(WAIT_SECONDS)
        assert again.info.backend_pid == pid
        taken.append(again)
        began = time.monotonic()
        with pytest.raises(Busy, match="no connection to the database server is free"):
            await store.aside(partial(store._run, MINE))
        assert WAIT_SECONDS <= time.monotonic() - began < WAIT_SECONDS + 0.5
        began = time.monotonic()
        with pytest.raises(Busy):
            await store.aside(partial(store._run, MINE))
        assert time.monotonic() - began < 0.5, "the next ones wait hardly at all"

    uvloop.run(asks())
    for connection in taken:
        store._connections.give_back(connection)


def test_who_comes_late_to_a_free_connection_takes_it(store: PostgresStore) -> None:
    """The machine may have kept a process from going on for longer than it meant to wait."""
    connections = store._connections
    connections.give_back(connections.take(10 * WAIT_SECONDS))
    for _ in range(20):
        connections.give_back(connections.take(0))


def test_a_lock_of_somebody_else_is_waited_for_no_longer_than_a_statement_may_take(store: PostgresStore) -> None:
    """Those right behind it wait as long, and are done; what comes later does not wait."""
    store.keep("held", b"1")
    both = [store._connections.take(10 * WAIT_SECONDS) for _ in range(CONNECTIONS)]  # made before time counts
    for connection in both:
        store._connections.give_back(connection)

    async def asks() -> tuple[Any, Any]:
        replacing = asyncio.create_task(store.aside(partial(store.replace, "held", b"2")))
        behind = asyncio.create_task(store.aside(partial(store._run, "SELECT 1::bigint")))
        await asyncio.sleep(2 * STUCK_SECONDS)
        began = time.monotonic()
        for number in range(20):
            assert await store.aside(partial(store._run, "SELECT %s::bigint", (number,))) == [(number,)]
        assert time.monotonic() - began < 1
        assert not behind.done()
        held, after = await asyncio.gather(replacing, behind, return_exceptions=True)
        return held, after

    with psycopg.connect(store._url) as other:
        other.execute("SELECT FROM meta WHERE name = 'held' FOR UPDATE")
        held, behind = uvloop.run(asks())
    assert isinstance(held, Busy)
    assert "statement timeout" in str(held)
    assert behind == [(1,)]
    pool = store._connections._pool
    assert pool
    until(lambda: pool.get_stats()["pool_available"] == pool.get_stats()["pool_size"], "all are given back")


@pytest.mark.parametrize("run", [uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def test_an_end_right_behind_a_message_is_noticed_at_once(
    store: PostgresStore, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    """The server leaves what it has not read, so that the kernel resets the connection: both in one event."""

    async def is_ended() -> None:
        [(pid,)] = await store.aside(partial(store._run, MINE))
        asked = [asyncio.create_task(store.aside(partial(store._run, "SELECT pg_sleep(0.5)"))) for _ in range(10)]
        await asyncio.sleep(0.2)
        began = time.monotonic()
        execute(store._url, f"SELECT pg_terminate_backend({pid})")  # the loop looks once all has happened
        await asyncio.to_thread(time.sleep, 0.1)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert time.monotonic() - began < 1
        assert [type(answer) for answer in answers] == [Busy] * 10

    for _ in range(5):
        run(is_ended())


def test_who_was_stopped_himself_does_not_take_the_server_for_silent(store: PostgresStore) -> None:
    async def sleeps() -> None:
        assert await store.aside(partial(store._run, MINE))  # connected
        asked = asyncio.create_task(store.aside(partial(store._run, "SELECT 1::bigint")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # by now it is sent
        time.sleep(SILENT_SECONDS + LOOK_EVERY)
        assert await asked == [(1,)]

    uvloop.run(sleeps())


def test_a_server_that_is_stopped_is_given_up_though_no_file_can_be_opened(
    postgres: Server, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dup(_: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    async def asks() -> None:
        assert await store.aside(partial(store._run, MINE))
        with stopped(postgres()), monkeypatch.context() as patch:
            patch.setattr(os, "dup", dup)
            with pytest.raises(Busy, match="no answer from the server"):
                await store.aside(partial(store._run, MINE))
        for _ in range(50):
            with suppress(Busy):
                assert await store.aside(partial(store._run, MINE))
                return
            await asyncio.sleep(0.1)
        pytest.fail("it serves nobody any more")

    uvloop.run(asks())


def test_after_its_end_no_answer_goes_to_somebody_else(store: PostgresStore) -> None:
    async def ends() -> None:
        former = asyncio.create_task(store.aside(partial(store._run, "SELECT pg_sleep(0.3)")))
        await asyncio.sleep(0.1)
        store.close()
        assert await store.aside(partial(store._run, "SELECT 7::bigint")) == [(7,)]
        await asyncio.sleep(0.4)
        assert not former.done()

    uvloop.run(ends())


def test_a_verb_that_fails_at_what_it_asks_fails_alone(store: PostgresStore) -> None:
    [too_large, fine] = beside(
        store, partial(store._run, "SELECT %s", (2**70,)), partial(store._run, "SELECT 1::bigint")
    )
    assert isinstance(too_large, OverflowError)
    assert fine == [(1,)]


def test_while_one_looks_the_others_go_on_with_what_is_known(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with chosen("postgres", postgres):
        world = make_world(tmp_path)
        gateway, store = world.gateway, world.gateway.store
        assert isinstance(store, PostgresStore)
        asked: Counter[str] = Counter()
        run = store._run

        def counting(statement: str, values: Any = ()) -> list[Any]:
            asked[statement.partition(" FROM ")[2].split()[0] if " FROM " in statement else ""] += 1
            return run(statement, values)

        def create(phone: str) -> Any:
            return gateway.create(world.caller(), parse_contact(phone))

        create(new_phone())
        world.clock.pass_seconds(3)
        monkeypatch.setattr(gateway.projects, "_read_at", gateway.projects._read_at - 2 * MAX_AGE)
        monkeypatch.setattr(store, "_run", counting)
        monkeypatch.setattr(store._connections, "run", counting)
        answers = beside(store, *(partial(create, new_phone()) for _ in range(50)))
        assert {type(answer) for answer in answers} == {Created}
        looked = {table: times for table, times in asked.items() if not table.startswith("open_session")}
        assert max(looked.values()) == 1, looked
        assert {"project", "api_key", "stop"} <= set(looked)


def written(words: str) -> dict[str, Any]:
    """An update, as Telegram sends it."""
    person = {"id": 7, "is_bot": False, "first_name": "Ann"}
    message = {"message_id": 1, "date": 1_790_000_000, "chat": {"id": 7, "type": "private"}, "from": person}
    return {"update_id": 5, "message": {**message, "text": words}}


def test_an_update_that_is_given_up_while_it_is_taken_can_be_taken_again(postgres: Server, tmp_path: Path) -> None:
    async def gives_up(world: World) -> None:
        config = world.settings.model_copy(update={"telegram_mode": "webhook"})
        served = ServedBot("1:sandbox", world.gateway, config, lambda: None)
        update = served.handling.read(written("/help"))
        assert update
        handling = asyncio.create_task(served.handling.handle(update))
        await asyncio.sleep(0)
        handling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handling
        handled = await served.handling.handle(update)
        assert handled
        assert handled.last
        await served.bot.session.close()

    with chosen("postgres", postgres):
        asyncio.run(gives_up(make_world(tmp_path)))


class Referring:
    """A provider that gives a reference, while whose answer all that is known grows old."""

    def __init__(self, grow_old: Callable[[], None]) -> None:
        self._grow_old = grow_old

    async def send(self, message: Message) -> Receipt:  # noqa: ARG002
        self._grow_old()
        return Receipt("1")


def test_the_bots_loop_itself_waits_for_no_answer(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever it serves waits with it, two seconds long, each time it asks while the server is away."""

    async def all_of_it(world: World) -> None:
        gateway, config = world.gateway, world.settings
        session_id = world.create(new_phone(), channel=Channel.SMS).session_id
        live = Live(gateway, config, Events(gateway.store, world.clock))
        served = ServedBot(
            "1:sandbox", gateway, config.model_copy(update={"telegram_mode": "webhook"}), lambda: None
        )
        another = config.model_copy(update={"telegram_bot_token": "5:sandbox"})
        bots = Bots(gateway, another, takes_updates=False)
        bots._start("5:sandbox").username = "another_bot"

        def grow_old() -> None:
            gateway.projects.forget()
            world.clock.pass_seconds(2)

        taken, in_the_loop = Connections._taken, threading.get_ident()

        def not_in_the_loop(connections: Connections) -> Any:
            assert threading.get_ident() != in_the_loop, "the loop waits for this"
            return taken(connections)

        monkeypatch.setattr(Connections, "_taken", not_in_the_loop)
        grow_old()
        assert await Lease(gateway.store, world.clock, "purge", 60).held()
        grow_old()
        claim = LiveClaim(1, session_id, "en")
        told = await live._standing(claim)
        assert told
        grow_old()
        asked_for_help = served.handling.read(written("/help"))
        assert asked_for_help
        handled = await served.handling.handle(asked_for_help)
        assert handled
        assert handled.last
        looking = asyncio.create_task(bots.run())
        grow_old()
        line = Line((Referring(grow_old),), (0,))  # type: ignore[arg-type]
        sending = asyncio.create_task(Courier(gateway, {Channel.SMS: line}, config).run())
        async with asyncio.timeout(20):
            while told.progress.deliveries != {Channel.SMS: "sent"}:
                await asyncio.sleep(0.05)
                told = await live._standing(claim)
                assert told
            while (await gateway.aside(gateway.store.projects))[0].settings.bot_id != 5:
                await asyncio.sleep(0.05)
        for task in (looking, sending):
            assert not task.done()
            task.cancel()
        await asyncio.wait((looking, sending))
        await bots.close()
        await served.bot.session.close()

    with chosen("postgres", postgres):
        asyncio.run(all_of_it(make_world(tmp_path)))


def test_an_activation_waits_for_the_disk_elsewhere(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whatever is asked behind it waits for the disk as well. Where it fails, that is told."""
    ask, asked = Connections._ask, list[tuple[str, bool]]()

    def noting(connections: Connections, statement: str, values: Any) -> list[Any]:
        asked.append((statement, threading.get_ident() == in_the_loop))
        if len(asked) > 1:
            raise psycopg.OperationalError("the disk is gone")
        return ask(connections, statement, values)

    async def activates(world: World) -> None:
        monkeypatch.setattr(Connections, "_ask", noting)
        aside = world.gateway.aside
        await aside(partial(world.activate, new_phone(), 8))
        with pytest.raises(Busy, match="the disk is gone"):
            await aside(partial(world.activate, new_phone(), 9))
        monkeypatch.undo()
        await aside(partial(world.activate, new_phone(), 10))

    in_the_loop = threading.get_ident()
    with chosen("postgres", postgres):
        uvloop.run(activates(make_world(tmp_path)))
    assert asked == [("SELECT durably()", False)] * 2


def test_ordinary_threads_use_the_pool_meanwhile(store: PostgresStore) -> None:
    async def both() -> None:
        asked = asyncio.create_task(store.aside(partial(store._run, "SELECT pg_backend_pid(), pg_sleep(0.3)")))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        [(pid,)] = await asyncio.to_thread(store._run, MINE)
        assert time.monotonic() - began < 0.15
        assert pid != (await asked)[0][0]

    uvloop.run(both())


def test_in_all_confusion_everybody_gets_his_own_answer(store: PostgresStore) -> None:
    """Statements that fail, are large or slow, people who go away, connections that end: four seconds of it."""
    chance, large = random.Random(2026), "x" * 200_000
    asked = [
        lambda tag: store._run("SELECT %s::bigint", (tag,)),
        lambda tag: store._run("SELECT %s::bigint, %s::text", (tag, large)),
        lambda tag: store._run("SELECT %s::bigint, %s::text", (tag, f"a\x00{tag}")),
        lambda tag: store._run("SELECT %s::bigint, pg_sleep(0.01)", (tag,)),
    ]
    fails = [
        lambda: store._run("SELECT 1/%s::bigint", (0,)),
        lambda: store._run("SELECT %s::text::bigint", ("no number",)),
        lambda: store._run(f"SELECT {chance.randrange(5)} FROM nowhere"),  # noqa: S608 - our own
    ]
    ended = (Busy, psycopg.errors.DivisionByZero, psycopg.errors.InvalidTextRepresentation)
    answered: Counter[str] = Counter()

    def verb(number: int) -> int:
        for step in range(chance.randint(1, 4)):
            if chance.random() < 0.2:
                with suppress(*ended):
                    chance.choice(fails)()
            tag = 10 * number + step
            [(mine, *_)] = chance.choices(asked, (12, 1, 2, 1))[0](tag)
            assert mine == tag
        return number

    async def visitor(first: int, until: float) -> None:
        number = first
        while time.monotonic() < until:
            number += 1
            task = asyncio.create_task(store.aside(partial(verb, number)))
            if chance.random() < 0.03:
                await asyncio.sleep(chance.random() / 100)
                task.cancel()
            try:
                async with asyncio.timeout(10):
                    assert await task == number
                answered["well"] += 1
            except asyncio.CancelledError:
                answered["gone"] += 1
            except Busy as problem:
                answered[str(problem)] += 1

    async def ends_connections(until: float) -> None:
        theirs = "datname = current_database() AND application_name = 'kodgate'"
        end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {theirs}"  # noqa: S608 - our own
        while time.monotonic() < until:
            await asyncio.sleep(chance.random() / 2)
            await asyncio.to_thread(execute, store._url, end)

    async def all_of_it() -> None:
        until = time.monotonic() + 4
        visitors = (visitor(number * 1_000_000, until) for number in range(25))
        await asyncio.gather(ends_connections(until), *visitors)
        await asyncio.sleep(LINE_SECONDS + 2 * LOOK_EVERY)

    uvloop.run(all_of_it())
    assert answered["well"] > 500, answered
    assert not any("no answer" in said for said in answered), answered
    pool = store._connections._pool
    assert pool
    until(lambda: pool.get_stats()["pool_available"] == pool.get_stats()["pool_size"], "all are given back")
