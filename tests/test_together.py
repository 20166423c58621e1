"""Requests that share a commit: none is told before it, one's refusal is one's own, a failure loses nothing."""

import asyncio
import io
import json
import logging
import resource
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest

from gateway import errors
from gateway.channels import Channel
from gateway.log import set_up_logging
from gateway.store import Busy, Link, Refused, SessionRow, Store, Tried
from gateway.store.sqlite import SqliteStore
from gateway.store.sqlite_connections import Together
from tests.databases import execute
from tests.delivering import claim
from tests.faults.acts import children
from tests.servers import PUBLIC, Servers, until
from tests.test_races import together as at_once
from tests.test_store import EVERY, PAUSE, RIGHT, guess, new, opened, order, toll
from tests.world import START, World, make_world, new_phone
from web.api import is_quick
from web.door import Door
from web.fields import Environ
from web.wsgi import make_application

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


def failing(db: sqlite3.Connection, *_: object) -> NoReturn:
    """As SQLite does on a disk that is full, or fails, be it while it writes or reads."""
    if db.in_transaction:
        db.execute("ROLLBACK")
    problem = sqlite3.OperationalError("disk I/O error")
    problem.sqlite_errorcode = sqlite3.SQLITE_IOERR
    raise problem


def write_in_vain(store: Store) -> None:
    store.open_session(new(TWO), None)


def read_in_vain(store: Store) -> None:
    store.sessions(["0" * 26])


@pytest.mark.parametrize("others", [0, 1, 3])
@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize(
    ("broken", "act"), [("insert", write_in_vain), ("find", read_in_vain)], ids=["write", "read"]
)
def test_where_sqlite_takes_all_back_none_is_said_to_be_done(
    store: SqliteStore,
    others: int,
    after: int,
    broken: str,
    act: Callable[[Store], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcome: Counter[str] = Counter()

    def write() -> None:
        with store.together():
            for number in range(others):
                opened(store, new(bytes([number] * 16)), None)
            with monkeypatch.context() as disk:
                disk.setattr(f"gateway.store.sqlite_sessions.{broken}", failing)
                with pytest.raises(Busy):
                    act(store)
            for _ in range(after):
                with nullcontext() if not others else pytest.raises(Busy, match="taken back"):
                    opened(store, new(THREE), None)
                    outcome["written"] += 1

    if others:
        with pytest.raises(Busy, match="taken back"):
            write()
    else:
        write()
    assert seen(store) == outcome["written"] == (0 if others else after)
    opened(store, new(ONE), None)
    assert seen(store) == outcome["written"] + 1


def test_of_those_who_find_the_store_locked_the_first_waits_and_the_others_do_not(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.sqlite_connections.BUSY_TIMEOUT_MS", 300)
    with closing(sqlite3.connect(store._path)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with store.together():
            for _ in range(100):
                with pytest.raises(Busy, match="locked"):
                    store.open_session(new(ONE), None)
        assert 0.3 <= time.monotonic() - began < 10
    opened(store, new(ONE), None)


def test_an_activation_shares_no_commit(store: SqliteStore) -> None:
    with store.together(), pytest.raises(RuntimeError):
        store.activate(Link(1, ONE, 9, 70, 70), START)
    store.activate(Link(1, ONE, 9, 70, 70), START)


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


def test_what_was_not_committed_is_in_no_audit_log_and_refused_once(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with block(world):
        kept = world.create(new_phone()).session_id
        world.create(world.gateway.keyring.open(session_of(world, kept).sealed, kept))

    def write_and_fail() -> None:
        with block(world):
            world.create(new_phone())
            refused(world, kept)
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    with block(world):
        refused(world, kept)
    world.gateway.audit.flush()
    noted = execute(
        world.settings.database_url,
        "SELECT session_id, action, reason, detail, times FROM audit WHERE session_id <> '' ORDER BY number",
    )
    assert noted == [
        (kept, "session.create", "", "telegram", 1),
        (kept, "session.create", "", "the one that lives", 1),
        (kept, "session.check", "BadRequest", "code must be a text or a number", 1),
    ]
    world.gateway.close()


def session_of(world: World, session_id: str) -> SessionRow:
    session = world.gateway.store.session(1, session_id)
    assert session
    return session


def refused(world: World, session_id: str) -> None:
    with pytest.raises(errors.BadRequest):
        world.gateway.check(world.caller(), session_id, None)


def test_lines_are_written_when_the_lock_is_free(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    world = make_world(tmp_path)
    former = logging.getLogger().handlers
    set_up_logging("web", "INFO")
    try:
        with block(world):
            world.create(new_phone())
            logging.getLogger("web").warning("told within")
            assert "told within" not in capfd.readouterr().err
        assert capfd.readouterr().err.count("told within") == 1
    finally:
        logging.getLogger().handlers = former
        world.gateway.close()


def block(world: World) -> AbstractContextManager[None]:
    together = world.gateway.together()
    assert together is not None
    return together


def door(world: World) -> Door:
    return Door(make_application(world.settings, world.gateway), world.settings, world.gateway)


def asked(**headers: str) -> Environ:
    body = json.dumps({"to": new_phone(), "send": False}).encode()
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/session/create",
        "QUERY_STRING": "",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_X_API_KEY": "pk_development",
        "wsgi.input": io.BytesIO(body),
        **headers,
    }


def test_each_is_done_again_alone_where_they_could_not_be_done_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not for one who has gone meanwhile; and one that meets a defect of ours keeps nobody waiting."""
    world = make_world(tmp_path)
    entry = door(world)
    failures = iter([True])

    def commit_fails(together: Together, *problem: Any) -> None:
        if next(failures, False):
            together._db.execute("ROLLBACK")
        leave(together, *problem)

    leave = Together.__exit__
    monkeypatch.setattr(Together, "__exit__", commit_fails)

    async def log_in() -> list[Any]:
        entry.__rsgi_init__(asyncio.get_running_loop())
        waiting = [entry._with_others(asked()) for _ in range(20)]
        waiting[3].cancel()
        broken = asked()
        del broken["REQUEST_METHOD"]
        waiting.append(entry._with_others(broken))
        return await asyncio.gather(*waiting, return_exceptions=True)

    answers = asyncio.run(log_in())
    assert [type(answer).__name__ for answer in answers] == ["tuple"] * 3 + ["CancelledError"] + ["tuple"] * 16 + [
        "KeyError"
    ]
    assert {answer[0] for answer in answers if isinstance(answer, tuple)} == {200}
    sessions = {json.loads(answer[2])["session_id"] for answer in answers if isinstance(answer, tuple)}
    assert {found for (found,) in execute(world.settings.database_url, "SELECT id FROM session")} == sessions
    world.gateway.audit.flush()
    noted = "SELECT session_id FROM audit WHERE action = 'session.create'"
    assert sorted(found for (found,) in execute(world.settings.database_url, noted)) == sorted(sessions)
    world.gateway.close()


def test_who_shows_a_challenge_waits_for_its_provider_alone(tmp_path: Path) -> None:
    assert is_quick(asked())
    assert not is_quick(asked(HTTP_X_CHALLENGE_TOKEN="token"))
    assert not is_quick(asked(HTTP_X_CF_TURNSTILE_TOKEN="token"))
    assert not is_quick(asked(PATH_INFO="/manual/send"))


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
