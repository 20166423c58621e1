"""PostgreSQL crashes: its last commits may be lost, so nothing from before counts, from the first verb on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from gateway.clock import system_clock
from gateway.errors import SessionExpired
from gateway.store import Busy
from tests.databases import Database, current
from tests.faults.acts import start_again
from tests.postgres import PostgresServer
from tests.servers import until
from tests.world import World, make_world, new_phone

T = TypeVar("T")


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """One of its own, since it is killed."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def there(server: PostgresServer, tmp_path: Path) -> Iterator[World]:
    chosen = Database(lambda: server)
    with current(chosen):
        yield make_world(tmp_path, system_clock)  # type: ignore[arg-type]
    chosen.close()  # else its audit log and its pool go on asking for the server, in the logs of other tests


def crash(server: PostgresServer, there: World) -> None:
    """With all on its disk, so that only our own care voids it. The next verb is the first to connect again."""
    server.sql("CHECKPOINT")
    there.gateway.store.close()
    server.stop(kill=True)
    start_again(server)


def as_soon_as_there(verb: Callable[[], T]) -> T:
    """As a client does that is answered 503."""
    answers: list[T] = []

    def asked() -> bool:
        try:
            answers.append(verb())
        except Busy:
            return False
        return True

    until(asked, "the store is there again", 30)
    return answers[0]


def test_a_code_from_before_the_crash_is_refused_by_the_very_first_verb(
    there: World, server: PostgresServer
) -> None:
    session_id = there.create(new_phone()).session_id
    caller, code = there.caller(), there.code_of(session_id)
    crash(server, there)
    with pytest.raises(SessionExpired):
        as_soon_as_there(lambda: there.gateway.check(caller, session_id, code))


def test_a_code_is_refused_although_the_clock_was_ahead_when_its_session_began(
    there: World, server: PostgresServer
) -> None:
    """By less than a minute, as another machine's may be: its session seems to be younger than the crash."""
    there.gateway.clock = lambda: system_clock() + 30_000
    session_id = there.create(new_phone()).session_id
    there.gateway.clock = system_clock
    caller, code = there.caller(), there.code_of(session_id)
    crash(server, there)
    with pytest.raises(SessionExpired):
        as_soon_as_there(lambda: there.gateway.check(caller, session_id, code))


def test_a_token_from_before_the_crash_is_refused_by_the_very_first_verb(
    there: World, server: PostgresServer
) -> None:
    session_id = there.create(new_phone()).session_id
    token = there.gateway.check(there.caller(), session_id, there.code_of(session_id)).verify_token
    secret = there.caller("sk_development")
    crash(server, there)
    with pytest.raises(SessionExpired):
        as_soon_as_there(lambda: there.gateway.verify(secret, token))


def test_a_session_from_before_the_crash_is_not_handed_out_again(there: World, server: PostgresServer) -> None:
    phone = new_phone()
    session_id = there.create(phone).session_id
    there.caller()
    crash(server, there)
    assert as_soon_as_there(lambda: there.create(phone)).session_id != session_id
