"""What is PostgreSQL's own: how it starts, what it says when it can't, and what a lost server takes along."""

import asyncio
import gc
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, Literal, LiteralString
from weakref import ref

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from bench.processes import free_ports
from gateway.channels import Channel
from gateway.events import Events
from gateway.store import Busy, Expected, Limit, Link, Opened, Outcome, Store, StoreError, open_store
from gateway.store.entries import Wanted
from gateway.store.postgres import PostgresStore
from gateway.store.postgres_connections import REST_WAIT_SECONDS, WAIT_SECONDS, Connections
from gateway.store.postgres_pool import ANSWER_SECONDS, SILENT_SECONDS, TRY_SECONDS, PooledConnection
from tests.beside import BesideStore
from tests.databases import execute, lose_power
from tests.delivering import claim, finish
from tests.faults.acts import start_again, stopped
from tests.postgres import PostgresServer, unprivileged
from tests.servers import PUBLIC, Servers, until
from tests.test_store import DAY, EVERY, HERE, RIGHT, guess, new, opened, order
from tests.world import START, new_phone

Server = Callable[[], PostgresServer]


@pytest.fixture
def empty(postgres: Server) -> str:
    return postgres().empty_database()


@pytest.fixture(scope="module")
def mortal() -> Iterator[PostgresServer]:
    """A server that the tests may stop and kill; its disk is a disk."""
    with PostgresServer(fsync="on", full_page_writes="on") as server:
        yield server


@pytest.fixture(params=[open_store, BesideStore], ids=["each alone", "side by side"])
def store(mortal: PostgresServer, request: pytest.FixtureRequest) -> Iterator[Store]:
    url = mortal.new_database()
    opened = request.param(url)
    yield opened
    opened.close()


def refused(url: str) -> str:
    with pytest.raises(StoreError) as problem:
        open_store(url).migrate()
    return str(problem.value)


def on_its_connection(store: PostgresStore) -> Callable[..., list[Any]]:
    """Runs a statement as its verbs do."""
    return partial(store.in_the_loop, store._run) if isinstance(store, BesideStore) else store._run


def back(act: Callable[[], Any]) -> Any:
    """What it says once the server is there again; until then it says `Busy`, and at once."""

    def ask() -> Any:
        began = time.monotonic()
        try:
            return (act(),)
        except Busy:
            assert time.monotonic() - began < 4
            return None

    return until(ask, "the store is back", 30)[0]


def is_busy(act: Callable[[], object]) -> bool:
    try:
        act()
    except Busy:
        return True
    return False


# At start


def test_processes_that_start_at_once_on_an_empty_database_all_get_it(postgres: Server, empty: str) -> None:
    fork = multiprocessing.get_context("fork")
    together, told = fork.Barrier(6), fork.Queue()

    def start() -> None:
        together.wait()
        told.put(open_store(empty).migrate())

    processes = [fork.Process(target=start) for _ in range(6)]
    for process in processes:
        process.start()
    ran = sorted(told.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert ran[:5] == [0] * 5
    assert ran[5] > 0


def test_whatever_is_wrong_is_one_line_that_names_the_setting(postgres: Server, empty: str) -> None:
    port = postgres().port
    for url, part in (
        (f"postgresql://kodgate@127.0.0.1:{free_ports(1)[0]}/x", "refused"),
        (f"postgresql://kodgate@127.0.0.1:{port}/nowhere", '"nowhere" does not exist'),
        (f"postgresql://stranger@127.0.0.1:{port}/postgres", '"stranger" does not exist'),
        (f"postgresql://kodgate@127.0.0.1:{port}/postgres?shoe=9", "shoe"),
        ("postgresql://kodgate@nowhere.invalid/x", "nowhere.invalid"),
    ):
        said = refused(url)
        assert said.startswith("DATABASE_URL: ")
        assert part in said
        assert "\n" not in said


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cant_hold_every_language_is_refused(postgres: Server, encoding: str) -> None:
    name = f"in_{encoding.lower()}"
    postgres().sql(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    said = refused(postgres().url(name))
    assert said.startswith(f"DATABASE_URL: the database's encoding is {encoding}, and UTF8 is needed")


def test_a_newer_schema_a_missing_right_and_a_read_only_server_are_refused(postgres: Server, empty: str) -> None:
    open_store(empty).migrate()
    execute(empty, "INSERT INTO migration VALUES (999, 'from the future')")
    assert "newer Kodgate (migration 999)" in refused(empty)
    execute(empty, "DELETE FROM migration WHERE number = 999")

    execute(empty, "CREATE ROLE guest LOGIN")
    assert "permission denied" in refused(empty.replace("kodgate@", "guest@"))
    without_schema = postgres().empty_database().replace("kodgate@", "guest@")
    assert "permission denied" in refused(without_schema)

    name = empty.rpartition("/")[2]
    execute(empty, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert "read-only" in refused(empty)
    store = open_store(empty)
    with pytest.raises(Busy, match="read-only"):
        store.ping()
    store.close()


def test_a_process_says_so_and_ends_with_code_2(tmp_path: Path) -> None:
    url = f"postgresql://kodgate:not-to-be-seen@127.0.0.1:{free_ports(1)[0]}/x"
    for command in ("migrate", "web", "bot"):
        ended = subprocess.run(
            [sys.executable, "-m", "gateway.cli", command],
            env={"DATABASE_URL": url, "PATH": "/usr/bin"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 2
        assert ended.stderr.count("\n") == 1, ended.stderr
        assert "DATABASE_URL: connection" in ended.stderr
        assert "not-to-be-seen" not in ended.stderr


# A server that comes and goes


def test_a_restart_loses_nothing_that_was_answered(mortal: PostgresServer, store: Store) -> None:
    session = opened(store, new(), order(Channel.SMS)).session
    store.activate(Link(1, HERE, 9, 70, 70), START)
    mortal.stop()
    with pytest.raises(Busy):
        store.session(1, session.id)
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(Busy):
            store.session(1, session.id)
    assert time.monotonic() - began < 10, "while it is down, nobody waits long"
    mortal.start()
    assert back(lambda: store.session(1, session.id)).state == "live"
    tried = guess(store, session.id, RIGHT)
    assert tried
    assert tried.right
    assert guess(store, session.id, RIGHT) is None


def test_what_came_before_a_crash_is_void_and_activations_stand(mortal: PostgresServer, store: Store) -> None:
    opened(store, new(), None)
    store.activate(Link(1, HERE, 9, 70, 70), START)
    era = store.era()
    mortal.stop(kill=True)
    mortal.start()
    fresh = back(lambda: opened(store, new(), None)).session
    assert fresh.chat_id == 70
    assert store.era() != era


def test_a_number_that_a_crash_may_have_forgotten_is_not_given_again(store: Store) -> None:
    """Providers know a message by it, servers their own; and readers pass over events that they have seen."""
    opened(store, new(), order(Channel.SMS))
    [first] = claim(store, START, 1000, [Channel.SMS], 10)
    finish(store, [Outcome(first.id, "sent")], START)
    events = Events(store, lambda: START)
    lose_power(store, START)
    fresh = opened(store, new(HERE), order(Channel.SMS)).session
    [second] = claim(store, START, 1000, [Channel.SMS], 10)
    assert second.id >= first.id + 100_000
    finish(store, [Outcome(second.id, "sent")], START)
    assert store.last_event() >= events.seen + 100_000
    assert events.new() == [fresh.id]


@pytest.mark.parametrize("before", ["SELECT 1", "ANALYZE"])
def test_a_young_table_is_not_read_from_end_to_end(store: Store, before: str) -> None:
    """A plan that was made for an empty table, or for ten rows, stays while it grows."""
    assert _read_whole(store, before) <= {"incarnation"}


def _read_whole(store: Store, before: str) -> set[str]:
    assert isinstance(store, PostgresStore)
    run = on_its_connection(store)
    for number in range(10):
        _log_in(store, number)
    run(before)
    run("SELECT pg_stat_reset()")
    for number in range(10, 100):
        _log_in(store, number)
    run("SELECT pg_stat_force_next_flush()")
    read: dict[str, int] = dict(
        run("SELECT relname, seq_tup_read FROM pg_stat_user_tables WHERE seq_tup_read > 0")
    )
    assert read.get("incarnation", 0) > 90, "what is read is counted"
    return set(read)


def _log_in(store: Store, number: int) -> None:
    session = opened(store, new(number.to_bytes(16, "big")), order(Channel.SMS)).session
    claimed = store.deliver([], START, 1000, EVERY, 10).claimed
    assert store.deliver([Outcome(one.id, "sent") for one in claimed], START, 1000, EVERY, 10).claimed == []
    assert store.session(1, session.id)
    guess(store, session.id, RIGHT)
    assert store.events_since(2 * number, 10)


def test_an_orderly_restart_is_none(mortal: PostgresServer, store: Store) -> None:
    session, era = opened(store, new(), None).session, store.era()
    mortal.stop()
    mortal.start()
    assert back(lambda: opened(store, new(), None)).session.id == session.id
    assert store.era() == era


def test_a_backend_that_is_killed_is_a_crash_too(mortal: PostgresServer, store: Store) -> None:
    assert isinstance(store, PostgresStore)
    era = store.era()
    [(pid,)] = store._run("SELECT pg_backend_pid()")
    subprocess.run(["kill", "-9", str(pid)], check=True)
    until(lambda: back(store.era) != era, "the server has noticed, and ended the other connections as well", 30)


def test_a_server_that_is_stopped_is_busy_in_time(mortal: PostgresServer, store: Store) -> None:
    """It answers nothing, and takes connections all the same. Once it goes on, so do we."""
    assert store.projects() == []
    with stopped(mortal):
        for most in (SILENT_SECONDS, WAIT_SECONDS, REST_WAIT_SECONDS):
            began = time.monotonic()
            with pytest.raises(Busy):
                store.projects()
            assert time.monotonic() - began < most + 1
    assert back(store.projects) == []


def test_a_statement_that_waits_for_somebodys_lock_is_given_up(mortal: PostgresServer, store: Store) -> None:
    """By the server, so that nothing of it is done later."""
    session_id = opened(store, new(), None).session.id
    assert isinstance(store, PostgresStore)
    with psycopg.connect(store._url) as other:
        other.execute("SELECT FROM session FOR UPDATE")
        began = time.monotonic()
        with pytest.raises(Busy, match="statement timeout"):
            store.queue(1, session_id, Channel.SMS, START, 0)
        assert ANSWER_SECONDS <= time.monotonic() - began < SILENT_SECONDS
    assert execute(store._url, "SELECT count(*) FROM message") == [(0,)]


def test_one_ended_connection_costs_one_answer(mortal: PostgresServer, store: Store) -> None:
    assert isinstance(store, PostgresStore)
    url = store._url
    assert store.projects() == []
    for _ in range(3):
        until(lambda: _is_settled(store), "no connection is just being made")
        execute(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kodgate'")
        with pytest.raises(Busy):
            store.projects()
        assert store.projects() == []


def _is_settled(store: PostgresStore) -> bool:
    pool = store._connections._pool
    assert pool
    there = pool.get_stats()
    return there["pool_available"] == there["pool_size"]


def test_an_outage_is_told_of_once_and_its_reason_each_time(
    mortal: PostgresServer, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert store.projects() == []
    mortal.stop()
    until(lambda: is_busy(store.ping), "it is away")
    for _ in range(5):
        with pytest.raises(Busy, match=r"no connection to the database server: .*refused"):
            store.projects()
    mortal.start()
    assert back(store.projects) == []
    told = [record.getMessage() for record in caplog.records]
    assert [line.partition(":")[0] for line in told] == [
        "the database server is away",
        "the database server is there again",
    ]


def test_an_activation_is_on_the_disk_and_updates_do_not_wait_for_it(store: Store) -> None:
    """As far as can be seen: the server writes by itself now and then, and others write as well."""
    assert isinstance(store, PostgresStore)
    number, link = count(1), Link(1, b"d" * 16, 1, 7, 7)

    def on_the_disk(before: Callable[[int], object], act: Callable[[int], object]) -> int:
        """How often, of twenty times, all was on the disk once it was done."""
        times = 0
        for one in islice(number, 20):
            before(one)
            act(one)
            [(done,)] = store._run("SELECT pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn()")
            times += done
        return times

    assert on_the_disk(lambda _: store.deactivate(1, 7, START), lambda _: store.activate(link, START)) >= 15
    take = partial(store.take_update, 1, now=START, lease=1000)
    expect = partial(store.expect, 1, expected=Expected(1, "session"))
    assert on_the_disk(lambda _: None, take) < 20
    assert on_the_disk(take, partial(store.end_update, 1, handled=True)) < 20
    assert on_the_disk(take, partial(store.end_update, 1, handled=False)) < 20
    assert on_the_disk(lambda _: None, expect) < 20
    assert on_the_disk(expect, partial(store.expect, 1, expected=None)) < 20


def test_who_waits_in_vain_leaves_nothing_behind(mortal: PostgresServer, store: Store) -> None:
    """psycopg's own pool would keep them all, with what they were at, until the server is there again."""
    assert isinstance(store, PostgresStore)
    assert store.projects() == []
    mortal.stop()
    asked = [ref(_ask_in_vain(store)) for _ in range(20)]
    gc.collect()
    pool = store._connections._pool
    assert pool
    assert len(pool._waiting) == 0
    assert [one() for one in asked] == [None] * len(asked)
    mortal.start()
    assert back(store.projects) == []


class _Request:
    """What a verb was asked with."""


def _ask_in_vain(store: Store) -> _Request:
    request = _Request()
    with pytest.raises(Busy):
        store.projects()
    return request


def test_a_server_that_comes_back_is_connected_to_though_nobody_asks(mortal: PostgresServer, store: Store) -> None:
    assert isinstance(store, PostgresStore)
    assert store.projects() == []
    mortal.stop()
    for _ in range(3):
        with pytest.raises(Busy):
            store.projects()
    time.sleep(3 * TRY_SECONDS)
    mortal.start()
    pool = store._connections._pool
    assert pool
    until(lambda: pool.get_stats().get("pool_available", 0) > 0, "the pool has connected by itself")
    assert store.projects() == []


def test_what_breaks_late_takes_nothing_new_along(mortal: PostgresServer, store: Store) -> None:
    """All connections of before are let go of once; one that is found broken later does not end the new ones."""
    assert isinstance(store, PostgresStore)
    connections = store._connections
    early, late = connections.take(WAIT_SECONDS), connections.take(WAIT_SECONDS)
    mortal.stop(kill=True)
    _give_back_broken(connections, early)
    start_again(mortal)
    back(store.ping)
    [(since,)] = connections.run("SELECT pg_backend_pid()")
    _give_back_broken(connections, late)
    assert connections.run("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", (since,)) == [(1,)]


def _give_back_broken(connections: Connections, connection: PooledConnection) -> None:
    """As who used it does; the orphans of a killed server go on for a moment."""

    def broken() -> Exception | None:
        try:
            connection.execute("SELECT 1")
        except psycopg.OperationalError as problem:
            return problem
        return None

    connections.note(connection, until(broken, "it breaks"))
    connections.give_back(connection)


def test_a_plan_from_before_a_migration_is_made_anew(store: Store) -> None:
    assert isinstance(store, PostgresStore)
    run, ask = on_its_connection(store), "SELECT * FROM project"
    for _ in range(3):
        assert run(ask) == []  # prepared by now
    execute(store._url, "ALTER TABLE project ADD COLUMN IF NOT EXISTS note text")
    with pytest.raises(Busy, match="cached plan"):
        run(ask)
    assert back(lambda: run(ask)) == []
    execute(store._url, "ALTER TABLE project DROP COLUMN note")


def test_a_pool_that_closes_while_one_asks_is_none_that_is_busy(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread closes it after the pool's look at whether it is open, and before one waits in its queue."""
    assert isinstance(store, PostgresStore)
    connections, asked = store._connections, list[bool]()
    look = ConnectionPool._check_open_getconn

    def looks_and_is_closed(pool: ConnectionPool[Any]) -> None:
        look(pool)
        asked.append(True)
        if len(asked) == 1:
            connections.close()

    assert store.projects() == []
    until(lambda: _is_settled(store), "it has been given back")
    monkeypatch.setattr(ConnectionPool, "_check_open_getconn", looks_and_is_closed)
    assert store.projects() == []
    assert len(asked) >= 2


def test_texts_that_postgres_cant_hold_are_kept_as_far_as_they_go(store: Store) -> None:
    assert store.session(1, "\x00" * 26) is None
    session = opened(store, new(), order(Channel.SMS)).session
    store.report(Channel.SMS, "a\x00b\udc80", "failed", "odd\x00", (), START)
    [claimed] = claim(store, START, 1000, EVERY, 10)
    assert claimed.session_id == session.id


def test_a_watch_outlives_its_server(mortal: PostgresServer, store: Store) -> None:
    async def look() -> list[bool]:
        watch = store.watch()
        seen = [await watch.changed(0.05)]
        await asyncio.to_thread(mortal.stop)
        seen.append(await watch.changed(5))  # lost: nobody knows what was missed
        seen.append(await watch.changed(0.05))
        await asyncio.to_thread(mortal.start)
        while not await watch.changed(1):
            pass
        seen.append(await watch.changed(0.05))
        await asyncio.to_thread(back, lambda: opened(store, new(), order(Channel.SMS)))
        seen.append(await watch.changed(5))
        watch.close()
        return seen

    assert asyncio.run(look()) == [False, True, False, False, True]


def test_a_watch_outlives_a_pool_that_comes_back_later(
    mortal: PostgresServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a pooler in session mode it hears what it says itself, which goes through the pool."""
    listeners = "FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
    run, away = Connections.run, list[bool]()

    def comes_back_later(connections: Connections, statement: str, values: Any = ()) -> Any:
        if away and away.pop():
            raise Busy("no connection to the database server is free")
        return run(connections, statement, values)

    async def look() -> list[bool]:
        watch = store.watch()
        away.append(True)
        await asyncio.to_thread(mortal.sql, f"SELECT pg_terminate_backend(pid) {listeners}")
        seen = [await watch.changed(5)]
        seen += [await watch.changed(0.05), await watch.changed(0.05)]
        await asyncio.to_thread(until, lambda: mortal.sql(f"SELECT 1 {listeners}") == [(1,)], "one listens")
        watch.close()
        return seen

    monkeypatch.setattr("gateway.store.postgres_watch.is_pooled", lambda _: True)
    monkeypatch.setattr(Connections, "run", comes_back_later)

    assert asyncio.run(look()) == [True, False, True]


def test_web_answers_503_while_the_server_is_away_and_serves_again(mortal: PostgresServer, tmp_path: Path) -> None:
    with Servers(tmp_path, ("web",), DATABASE_URL=mortal.new_database()) as run:
        session = run.create(new_phone(), send=False)
        mortal.stop()
        answer = run.check(session["session_id"], run.code_of(session["session_id"]))
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert run.http.get(f"{run.web}/healthz").status_code == 503
        mortal.start()
        until(lambda: run.health("web") == 200, "web is well again", 30)
        assert run.check(session["session_id"], run.code_of(session["session_id"])).status_code == 200
        assert run.http.get(f"{run.web}/session/channels", headers=PUBLIC).status_code == 200


# Exact under races


def test_events_are_seen_in_their_order_whoever_commits_first(store: Store) -> None:
    sessions = [opened(store, new(bytes([number]) * 16), None).session.id for number in range(60)]
    assert isinstance(store, PostgresStore)
    url = store._url

    def guessing(mine: list[str]) -> None:
        other = open_store(url)
        for session_id in mine:
            guess(other, session_id, RIGHT)
        other.close()

    workers = [
        multiprocessing.get_context("fork").Process(target=guessing, args=(sessions[one::4],)) for one in range(4)
    ]
    for worker in workers:
        worker.start()
    seen: list[tuple[int, str]] = []
    end = time.monotonic() + 30
    while len(seen) < 60 and time.monotonic() < end:
        seen += store.events_since(seen[-1][0] if seen else 0, 1000)
    for worker in workers:
        worker.join()
    assert sorted(session_id for _, session_id in seen) == sorted(sessions), "none was overtaken by the reader"


def test_the_purge_does_not_wait_for_who_is_at_work(store: Store) -> None:
    assert isinstance(store, PostgresStore)
    for number in range(5):
        opened(store, new(bytes([number]) * 16), order(Channel.SMS))
    with psycopg.connect(store._url) as other:
        other.execute("SELECT 1 FROM session WHERE destination = %s FOR UPDATE", (bytes([2]) * 16,))
        while store.purge(START + DAY, 100):
            pass
        assert execute(store._url, "SELECT count(*) FROM session") == [(1,)]
    while store.purge(START + DAY, 100):
        pass
    assert execute(store._url, "SELECT count(*) FROM session") == [(0,)]


# Locks, in the order that docs/architecture.md names


@contextmanager
def at_work(store: PostgresStore, held: LiteralString, *values: object) -> Iterator[Callable[..., object]]:
    """Somebody in a transaction that has this lock, and how they take another one."""
    with psycopg.connect(store._url) as other:
        other.execute(held, values)
        yield other.execute


def waits(store: PostgresStore) -> None:
    blocked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    until(lambda: execute(store._url, blocked), "it waits for a lock")


@pytest.mark.parametrize("state", ["failed", "sent"])
def test_failed_messages_wait_for_a_session_before_they_have_what_its_visitor_needs(
    store: Store, state: Literal["failed", "sent"]
) -> None:
    """Of what was sent, a report has said that it failed."""
    assert isinstance(store, PostgresStore)
    ceilings = {Channel.VIBER: Limit(b"ceiling", "ceiling", 1, 100, 100)}
    outcome = partial(Outcome, instead=(Channel.VIBER,), ceilings=ceilings)
    ids = [opened(store, new(bytes([n]) * 16, START + n), order(Channel.SMS)).session.id for n in range(3)]
    first, second, third = (one.id for one in claim(store, START + 3, 1000, EVERY, 10))
    store.report(Channel.SMS, "R", "failed", "no", (), START + 3)
    finish(store, [outcome(first, "failed")], START + 3)  # from now on the ceiling has a row
    round_of_two = [outcome(second, "failed"), outcome(third, state, "R")]
    last = "SELECT 1 FROM session WHERE id = %s FOR UPDATE"
    with ThreadPoolExecutor(1) as courier, at_work(store, last, ids[2]) as take:
        delivering = courier.submit(finish, store, round_of_two, START + 3)
        waits(store)
        take("SELECT 1 FROM usage FOR UPDATE NOWAIT")
        take("SELECT 1 FROM message FOR UPDATE NOWAIT")
    delivering.result()
    assert execute(store._url, "SELECT due FROM usage") == [(START + 6,)]


def test_who_comes_back_to_the_bot_holds_all_destinations_before_anybody_is_told(store: Store) -> None:
    assert isinstance(store, PostgresStore)
    for project_id in (1, 2):
        opened(store, new(project_id=project_id), order(Channel.TELEGRAM))
        store.activate(Link(project_id, HERE, 9, 70, 70), START)
    store.deactivate(9, 70, START)
    last = "SELECT hold_destination(2, %s)"
    with ThreadPoolExecutor(1) as bot, at_work(store, last, HERE) as take:
        coming = bot.submit(store.reactivate, 9, 70, START)
        waits(store)
        take("SET LOCAL lock_timeout = '10ms'")
        take("SELECT pg_advisory_xact_lock(1802462055, 0)")
    assert coming.result() == 0
    assert [entry.action for entry in store.audit(Wanted())][-2:] == ["bot.activate"] * 2


# Behind a pooler


@pytest.fixture
def pooled(postgres: Server) -> Iterator[str]:
    """The URL of a database by way of PgBouncer in transaction mode."""
    bouncer = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if not bouncer:
        pytest.skip("needs Debian's pgbouncer")
    url = postgres().new_database()
    [port] = free_ports(1)
    folder, who = unprivileged(Path(tempfile.mkdtemp(prefix="kodgate-pgbouncer-")))
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={postgres().port} user=kodgate\n"
        f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nauth_type=any\npool_mode=transaction\nunix_socket_dir=\ndefault_pool_size=4\n"
    )
    process = subprocess.Popen([bouncer, "-q", folder / "pgbouncer.ini"], cwd=folder, **who)
    through = f"postgresql://kodgate@127.0.0.1:{port}/{url.rpartition('/')[2]}"
    try:
        until(lambda: _answers(through), "PgBouncer starts")
        yield through
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)
        postgres().give_back(url)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def test_everything_goes_through_a_pooler_in_transaction_mode(pooled: str) -> None:
    store = open_store(pooled)
    assert store.migrate() == 0
    for number in range(30):
        session = opened(store, new(bytes([number]) * 16), order(Channel.SMS)).session
        tried = guess(store, session.id, RIGHT)
        assert tried
        assert tried.right
    store.close()


def test_nor_is_a_young_table_behind_a_pooler(pooled: str) -> None:
    """Statements keep no plan there, functions do."""
    store = open_store(pooled)
    try:
        assert _read_whole(store, "ANALYZE") <= {"incarnation"}
    finally:
        store.close()


def test_behind_a_pooler_a_watch_looks_now_and_then_or_listens_besides(
    pooled: str, postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async def look(listen_url: str) -> tuple[bool, bool]:
        store = open_store(pooled, listen_url)
        watch = store.watch()
        first = await watch.changed(0.4)
        assert isinstance(await asyncio.to_thread(store.open_session, new(), order(Channel.SMS)), Opened)
        second = await watch.changed(5)
        watch.close()
        store.close()
        return first, second

    assert asyncio.run(look("")) == (True, True)
    assert "DATABASE_LISTEN_URL" in caplog.text
    execute(pooled, "DELETE FROM message")
    caplog.clear()
    direct = postgres().url(pooled.rpartition("/")[2])
    execute(direct, "DELETE FROM session")
    assert asyncio.run(look(direct)) == (False, True)
    assert caplog.text == ""
