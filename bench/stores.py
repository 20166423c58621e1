"""A store to be measured, and how: the same for SQLite and PostgreSQL."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from bench.figures import Table
from bench.processes import Processes
from gateway.clock import system_clock
from gateway.ids import new_ulid

HOURS = 20  # over which the logins of the past are spread: none is old enough to be purged
AUDIT_ROWS = 1_000_000  # of them, as AUDIT_ROWS says
_SECRET_BYTES = 44  # a sealed phone: the key's id, nonce, 12 characters, tag

Destination = Callable[[int], bytes]
"""What stands for a known person in the database, by their number."""


class BenchStore(Protocol):
    """One kind of store: where its databases are made, what they weigh, what it costs without us."""

    name: str

    def version(self) -> str:
        """As the reader knows it: `SQLite 3.40.1`."""

    def count_in(self, processes: Processes) -> None:
        """Its server's processes count, where it has any."""

    def new(self, name: str) -> str:
        """An empty database's `DATABASE_URL`."""

    def bare_ms(self, url: str, logins: int) -> dict[str, float]:
        """CPU ms of a login's bare SQL in a loop, by process: a row looked for, inserted, found, updated."""

    def fill(self, url: str, people: int, destination: Destination) -> None:
        """A login of the past and an activation for so many people, in one transaction."""

    def database_bytes(self, url: str) -> int:
        """All of it on the disk."""

    def tables(self, url: str) -> dict[str, Table]:
        """Each of our tables, with its indexes."""


def open_store(name: str, folder: Path) -> AbstractContextManager[BenchStore]:
    """`sqlite` or `postgres`."""
    if name == "sqlite":
        from bench.on_sqlite import OnSqlite

        return OnSqlite(folder)
    from bench.on_postgres import OnPostgres

    return OnPostgres()


def known_stores() -> list[str]:
    """Those that this version can run on."""
    return ["sqlite", "postgres"] if find_spec("psycopg") else ["sqlite"]


# What a database holds of the past. `past` is a row a person: number, destination, session id, time.

PAST = "CREATE TEMPORARY TABLE past (number bigint, destination {bytes}, id text, at bigint)"
FILLING = (
    "INSERT INTO session (project_id, destination, id, sealed, code_mac, code_length, kind, lang, browser, state,"
    " attempts_left, strikes, paused_until, created_at, expires_at, browser_mac, place, joined)"
    " SELECT 1, destination, id, :sealed, :mac, 6, 'phone', 'en',"
    " 'Chrome, Android', 'used', 5, 0, 0, at, at + 180000, :none, '', :no FROM past ORDER BY destination",
    "INSERT INTO message (session_id, channel, state, began_parked, attempts, created_at, due_at, finished_at)"
    " SELECT id, 'sms', 'sent', :no, 1, at, at, at + 100 FROM past ORDER BY number",
    "INSERT INTO activation (project_id, destination, bot_id, chat_id, user_id, active, changed_at)"
    " SELECT 1, destination, 1, number + 1, number + 1, :yes, at FROM past ORDER BY destination",
    "INSERT INTO habit (project_id, destination, channel, uses, last_used_at)"
    " SELECT 1, destination, 'sms', 1, at FROM past ORDER BY destination",
    "INSERT INTO usage (key, due) SELECT CAST(:known || destination || :mac AS {bytes}), at + 2592000000 FROM past"
    " ORDER BY destination",
    "INSERT INTO usage (key, due) SELECT CAST(:sends || destination AS {bytes}), at + 900000 FROM past"
    " ORDER BY destination",
    "INSERT INTO spent (session_id) SELECT id FROM past ORDER BY id",
    "INSERT INTO event (session_id, at) SELECT id, at FROM past ORDER BY number",
    "INSERT INTO audit (at, lasting, actor, action, project_id, session_id, reason, detail, times)"
    " SELECT at, :no, 'public key', 'session.check', 1, id, '', 'sms', 1 FROM past WHERE number >= :unaudited"
    " ORDER BY number",
)


def filling_values(people: int) -> Mapping[str, object]:
    """What the statements are given."""
    return {
        "sealed": bytes(range(_SECRET_BYTES)),
        "mac": bytes(range(16)),
        "none": b"",
        "no": False,
        "yes": True,
        "known": b"f",
        "sends": b"s",
        "unaudited": max(0, people - AUDIT_ROWS),
    }


def past(people: int, destination: Destination) -> Iterator[tuple[int, bytes, str, int]]:
    """The rows of `past`, the oldest first."""
    span = HOURS * 3_600_000
    began = system_clock() - span
    for number in range(people):
        at = began + number * span // people
        yield number, destination(number), new_ulid(at), at
