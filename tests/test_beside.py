"""Verbs that wait for PostgreSQL side by side, in one thread, over one connection: what is that way's own.

That each verb does the same so, and what an outage does to it, tests/test_store.py and test_postgres.py show.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
import uvloop

from gateway.store import Busy
from gateway.store.postgres import PostgresStore
from gateway.store.postgres_beside import LINE_SECONDS, LOOK_EVERY
from gateway.store.postgres_connections import WAIT_SECONDS
from tests.databases import execute
from tests.postgres import PostgresServer

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
        await asyncio.sleep(0.1)
        former = set(pids)
        assert former
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


def test_a_lock_of_somebody_else_is_waited_for_no_longer_than_a_statement_may_take(store: PostgresStore) -> None:
    """Those behind it wait as long, and are done."""
    store.keep("held", b"1")
    with psycopg.connect(store._url) as other:
        other.execute("SELECT FROM meta WHERE name = 'held' FOR UPDATE")
        [held, behind] = beside(
            store, partial(store.replace, "held", b"2"), partial(store._run, "SELECT 1::bigint")
        )
    assert isinstance(held, Busy)
    assert "statement timeout" in str(held)
    assert behind == [(1,)]


def test_ordinary_threads_use_the_pool_meanwhile(store: PostgresStore) -> None:
    async def both() -> None:
        asked = asyncio.create_task(store.aside(partial(store._run, "SELECT pg_backend_pid(), pg_sleep(0.3)")))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        [(pid,)] = await asyncio.to_thread(store._run, MINE)
        assert time.monotonic() - began < 0.15
        assert pid != (await asked)[0][0]

    uvloop.run(both())
