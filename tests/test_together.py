"""Requests that share a commit: none is told before it, one's refusal is one's own, a failure loses nothing."""

import resource
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from gateway.channels import Channel
from gateway.store import Busy, Refused, Tried
from gateway.store.sqlite import SqliteStore
from tests.databases import execute
from tests.delivering import claim
from tests.faults.acts import children
from tests.servers import PUBLIC, Servers, until
from tests.test_races import together as at_once
from tests.test_store import EVERY, PAUSE, RIGHT, guess, new, opened, order, toll
from tests.world import START, World, make_world, new_phone

ONE, TWO, THREE = b"1" * 16, b"2" * 16, b"3" * 16


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(str(tmp_path / "store.sqlite3"))
    opened.migrate()
    yield opened
    opened.close()


def seen(store: SqliteStore) -> int:
    """How many sessions another process sees."""
    [(count,)] = execute(f"sqlite:///{store._path}", "SELECT count(*) FROM session")
    return int(count)


def test_others_see_all_of_it_at_its_end_and_nothing_before(store: SqliteStore) -> None:
    with store.together():
        first, second = opened(store, new(ONE), None).session, opened(store, new(TWO), None).session
        assert guess(store, first.id) is not None, "it sees itself"
        assert seen(store) == 0
    assert seen(store) == 2
    found = store.sessions([first.id, second.id])
    assert [found[one.id].attempts_left for one in (first, second)] == [4, 5]


def test_what_one_writes_in_vain_is_taken_back_and_the_others_stays(store: SqliteStore) -> None:
    with store.together():
        opened(store, new(ONE), None, toll(1, b"a"))
        over = store.open_session(new(TWO), order(Channel.SMS), toll(1, b"a", b"b"))
        third = opened(store, new(THREE), None, toll(1, b"b")).session
    assert isinstance(over, Refused)
    assert seen(store) == 2
    assert claim(store, START, 1000, EVERY, 10) == [], "nothing was queued"
    later = store.open_session(new(TWO), None, toll(1, b"a"))
    assert later == over, "its strike counts"
    assert third.id in store.sessions([third.id])


def test_a_right_code_is_accepted_once_within(store: SqliteStore) -> None:
    session = opened(store, new(), None).session
    with store.together():
        tried = [store.try_code(1, session.id, [RIGHT], START, PAUSE) for _ in range(5)]
    assert [isinstance(one, Tried) and one.right for one in tried] == [True, False, False, False, False]


def test_who_fails_first_takes_nothing_along(store: SqliteStore) -> None:
    opened(store, new(ONE), None, toll(1, b"a"))
    with store.together():
        assert isinstance(store.open_session(new(TWO), None, toll(1, b"a")), Refused)
        opened(store, new(THREE), None)
    assert seen(store) == 2


def test_a_block_that_fails_leaves_nothing_and_the_next_is_as_ever(store: SqliteStore) -> None:
    def write_and_fail() -> None:
        with store.together():
            opened(store, new(ONE), None)
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    assert seen(store) == 0
    opened(store, new(ONE), None)
    assert seen(store) == 1


@pytest.mark.parametrize("others", [1, 2, 3])
def test_where_sqlite_takes_all_back_none_is_said_to_be_done(
    store: SqliteStore, others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it may on a full disk, in whichever verb that happens."""

    def no_room(db: sqlite3.Connection, _: object) -> None:
        db.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    def write() -> None:
        with store.together():
            for number in range(others):
                opened(store, new(bytes([number] * 16)), None)
            with monkeypatch.context() as full:
                full.setattr("gateway.store.sqlite._insert_session", no_room)
                with pytest.raises(Busy, match="disk is full"):
                    store.open_session(new(TWO), None)
            opened(store, new(THREE), None)

    with pytest.raises(Busy, match="taken back"):
        write()
    assert seen(store) == 0
    opened(store, new(ONE), None)
    assert seen(store) == 1


def test_a_commit_that_fails_leaves_nothing(store: SqliteStore) -> None:
    opened(store, new(ONE), None)
    log = store._path.with_name("store.sqlite3-wal")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def write() -> None:
        with store.together():
            opened(store, new(TWO), None)
            opened(store, new(THREE), None)
            resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, hard))

    try:
        with pytest.raises(Busy):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert seen(store) == 1
    opened(store, new(TWO), None)
    assert seen(store) == 2


def test_what_was_not_committed_is_in_no_audit_log(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with block(world):
        kept = world.create(new_phone()).session_id

    def write_and_fail() -> None:
        with block(world):
            world.create(new_phone())
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    world.gateway.audit.flush()
    noted = execute(world.settings.database_url, "SELECT session_id FROM audit WHERE action = 'session.create'")
    assert noted == [(kept,)]
    world.gateway.close()


def block(world: World) -> AbstractContextManager[None]:
    together = world.gateway.together()
    assert together is not None
    return together


def test_requests_that_cant_be_committed_together_are_told_so_and_lose_nothing(tmp_path: Path) -> None:
    with Servers(tmp_path, ("web",), AUDIT_FLUSH_SECONDS="0.2") as servers:
        servers.create(new_phone(), send=False)
        [worker] = children(servers.pid("web"))
        log = tmp_path / "kodgate.sqlite3-wal"
        most = resource.prlimit(worker, resource.RLIMIT_FSIZE, (log.stat().st_size, resource.RLIM_INFINITY))

        def create(client: httpx.Client, _: int) -> httpx.Response:
            body = {"to": new_phone(), "send": False}
            return client.post(f"{servers.web}/session/create", json=body, headers=PUBLIC)

        refused = at_once(40, create)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, most)
        assert Counter(answer.status_code for answer in refused) == {503: 40}
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert "requests were not done together" in servers.log("web")
        done = at_once(40, create)
        assert Counter(answer.status_code for answer in done) == {200: 40}
        assert execute(servers.database_url, "SELECT count(*) FROM session") == [(41,)]
        noted = "SELECT count(*) FROM audit WHERE action = 'session.create' AND reason = ''"
        until(lambda: execute(servers.database_url, noted) == [(41,)], "each is in the audit log, once")
