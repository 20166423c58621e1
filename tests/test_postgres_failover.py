"""A standby takes over from a PostgreSQL server that is gone: real streaming replication on loopback."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool.base import AttemptWithBackoff

from bench.processes import free_ports
from gateway.channels import Channel
from gateway.store import Busy, Link, Store, StoreError, open_store
from gateway.store.postgres_connections import full_url
from tests.databases import execute
from tests.faults.acts import start_again, stopped
from tests.looping import LoopThread
from tests.postgres import PostgresServer, Standby
from tests.servers import Servers, until
from tests.test_bot import met
from tests.test_postgres import back, is_busy
from tests.test_store import HERE, new, opened, order
from tests.world import START, new_phone


@pytest.fixture
def primary() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def url(primary: PostgresServer) -> str:
    return primary.new_database()


@pytest.fixture
def standby(primary: PostgresServer, url: str) -> Iterator[Standby]:
    with Standby(primary) as server:
        yield server


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened_one = open_store(url)
    yield opened_one
    opened_one.close()


def same_at(server: PostgresServer, url: str) -> str:
    """The same database, at that server."""
    return server.url(url.rpartition("/")[2])


def either(url: str, standby: Standby) -> str:
    """The URL of the database at whichever of two servers takes writes."""
    at, _, name = url.rpartition("/")
    return f"{at},127.0.0.1:{standby.port}/{name}"


def follows(standby: Standby, url: str, select: str) -> None:
    """Wait until what was committed is there, too."""
    here = same_at(standby, url)
    until(lambda: execute(here, select) == execute(url, select), "the standby follows")


def test_what_a_standby_does_not_have_is_void_and_activations_stand(
    primary: PostgresServer, standby: Standby, url: str, store: Store
) -> None:
    session = opened(store, new(), order(Channel.SMS)).session
    store.activate(Link(1, HERE, 9, 70, 70), START)
    era = store.era()
    follows(standby, url, "SELECT count(*) FROM activation")
    primary.stop(kill=True)
    standby.promote()
    promoted = open_store(same_at(standby, url))
    assert promoted.era() != era
    assert promoted.session(1, session.id) is None, "its code may have been used, and the standby not know"
    fresh = opened(promoted, new(), None).session
    assert (fresh.chat_id, fresh.active) == (70, True)
    promoted.close()


def test_a_standby_that_is_not_promoted_is_busy_whatever_is_asked(
    standby: Standby, url: str, store: Store
) -> None:
    session = opened(store, new(), order(Channel.SMS)).session
    follows(standby, url, "SELECT count(*) FROM session")
    there = open_store(same_at(standby, url))
    verbs: list[Callable[[], object]] = [
        there.ping,
        there.era,
        lambda: there.session(1, session.id),
        lambda: opened(there, new(), None),
        lambda: there.deliver([], START, 1000, [Channel.SMS], 10),
        lambda: there.activate(Link(1, HERE, 9, 70, 70), START),
        lambda: there.spend(session.id, 1),
        lambda: there.hold("poll", "me", START, 1000),
    ]
    for verb in verbs:
        with pytest.raises(Busy):
            verb()
    with pytest.raises(StoreError, match="read-only: a standby, perhaps"):
        there.migrate()
    standby.promote()
    assert back(lambda: opened(there, new(), None))
    there.close()


def test_an_address_that_leads_to_the_primary_again_is_followed(
    primary: PostgresServer, standby: Standby, url: str
) -> None:
    """A name server's answer was old, say: the connections that were made meanwhile are well, and of no use."""
    with Relay(standby.port) as relay:
        store = open_store(url.replace(str(primary.port), str(relay.port)))
        for _ in range(3):
            with pytest.raises(Busy):
                store.ping()
        relay.to = primary.port
        back(store.ping)
        assert back(lambda: opened(store, new(), None))
        store.close()


def test_of_two_servers_the_one_that_takes_writes_is_found(
    primary: PostgresServer, standby: Standby, url: str
) -> None:
    name = url.rpartition("/")[2]
    store = open_store(f"postgresql://kodgate@127.0.0.1:{standby.port},127.0.0.1:{primary.port}/{name}")
    assert store.migrate() == 0
    assert opened(store, new(), None)
    primary.stop(kill=True)
    until(lambda: is_busy(store.ping), "its last connections break")
    standby.promote()
    back(store.ping)
    store.close()


def test_a_primary_that_falls_silent_is_left_for_the_one_that_was_promoted(
    primary: PostgresServer, standby: Standby, url: str
) -> None:
    """Its machine is gone, say: nothing refuses a connection, nothing answers, and the URL names it first."""
    store = open_store(either(url, standby))
    store.ping()
    with stopped(primary):
        standby.promote()
        began = time.monotonic()
        back(store.ping)
        assert time.monotonic() - began < 15
    store.close()


@pytest.mark.parametrize(
    ("url", "environment", "several"),
    [
        ("postgresql://a,b/x", {}, True),
        ("postgresql:///x?hostaddr=127.0.0.1,127.0.0.2", {}, True),
        ("postgresql:///x", {"PGHOST": "a,b"}, True),
        ("postgresql://a,b/x", {"PGTARGETSESSIONATTRS": "any"}, False),
        ("postgresql://a/x", {"PGHOST": "b,c"}, False),
        ("postgresql:///x?host=/run/postgresql", {}, False),
    ],
)
def test_of_several_servers_one_that_takes_writes_is_asked_for_and_none_waited_for_long(
    url: str, environment: dict[str, str], several: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    said = conninfo_to_dict(full_url(url))
    assert ("target_session_attrs" in said) is several
    own = conninfo_to_dict(
        full_url(f"{url}{'&' if '?' in url else '?'}target_session_attrs=any&connect_timeout=9")
    )
    assert (own["target_session_attrs"], own["connect_timeout"]) == ("any", "9")


def test_what_each_of_several_servers_said_is_told_in_one_line(standby: Standby) -> None:
    [nobody] = free_ports(1)
    with pytest.raises(StoreError) as problem:
        open_store(f"postgresql://kodgate@127.0.0.1:{nobody},127.0.0.1:{standby.port}/postgres").migrate()
    said = str(problem.value)
    assert f"127.0.0.1:{nobody}: connection to server" in said
    assert "refused" in said
    assert said.endswith("session is read-only")
    assert "\n" not in said


def test_a_server_that_was_long_away_is_found_soon(
    primary: PostgresServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """psycopg's pool would wait twice as long each time, for minutes; here so much longer that seconds show it."""
    monkeypatch.setattr(AttemptWithBackoff, "DELAY_BACKOFF", 100.0)
    store.ping()
    primary.stop()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        with pytest.raises(Busy):
            store.ping()
    start_again(primary)
    began = time.monotonic()
    back(store.ping)
    assert time.monotonic() - began < 10


def test_people_log_in_after_a_failover_without_anything_being_started_anew(
    primary: PostgresServer, standby: Standby, url: str, tmp_path: Path
) -> None:
    with Servers(tmp_path, DATABASE_URL=either(url, standby)) as run:
        phone = new_phone()
        session_id, person = met(run, phone)
        person.hears("asks who is logging in")
        person.does("contact")
        person.hears(run.code_of(session_id))
        follows(standby, url, "SELECT count(*) FROM activation WHERE active")
        primary.stop(kill=True)
        until(lambda: run.health("web") == 503, "its last connections break")
        assert run.check(session_id, run.code_of(session_id)).status_code == 503
        standby.promote()
        for name in ("web", "bot"):
            until(lambda name=name: run.health(name) == 200, f"{name} is well again", 30)  # type: ignore[misc]
        void = run.check(session_id, run.code_of(session_id))
        assert void.status_code == 410, "it may have been used, and the standby not know"
        again = run.create(phone, "telegram")["session_id"]
        person.hears(run.code_of(again))  # the activation has outlived it
        assert run.check(again, run.code_of(again)).status_code == 200


class Relay:
    """An address that leads somewhere else from one moment to the next; what is connected stays so."""

    def __init__(self, to: int) -> None:
        [self.port] = free_ports(1)
        self.to = to
        self._thread = LoopThread()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> "Relay":
        self._thread.start()
        self._server = self._thread.run(asyncio.start_server(self._lead, "127.0.0.1", self.port))
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.run(self._end())
        self._thread.stop()

    async def _end(self) -> None:
        assert self._server
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back_there = await asyncio.open_connection("127.0.0.1", self.to)
        try:
            await asyncio.gather(_pass_on(reader, back_there), _pass_on(there, writer))
        finally:
            writer.close()
            back_there.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while part := await reader.read(65_536):
        writer.write(part)
        await writer.drain()
    writer.close()
