"""How the SQLite store reaches its file: connections, their transactions, and what each error means.

Writers take the lock up front (`BEGIN IMMEDIATE`) and hold it for tens of microseconds; those that write together
(`Together`) for a millisecond or two.
"""

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from gateway.store import Busy, StoreError

BUSY_TIMEOUT_MS = 5_000  # at 100 ms "database is locked" appears under 2,000 logins/s (MEASURED)
CHECKPOINT_PAGES = 32_000  # a log of 128 MiB: then who writes moves it himself, which takes a tenth of a second
CACHE_KIB = 8_192  # a connection's: the inner pages of an index over ten million rows, and then some
TURN_EVERY = 0.000_3  # seconds between two tries to write: SQLite's own handler sleeps ever longer, to 100 ms
OPEN_EVERY = 0.010  # seconds between two tries to open
PRIMARY = 0xFF  # of SQLite's result codes, the rest says which kind

T = TypeVar("T")

# Without one, Python looks for how each `bytes` is adapted, by an AttributeError: a thirtieth of a login.
sqlite3.register_adapter(bytes, bytes)


class Connection(sqlite3.Connection):
    """A connection, which may be writing for several verbs at once."""

    together: "Together | None" = None

    def __del__(self) -> None:
        """It ends with its thread, which nobody tells us of; unless it never began."""
        with suppress(sqlite3.ProgrammingError):
            self.close()

    def end(self, do: str) -> None:
        """COMMIT, ROLLBACK or RELEASE. Raises `Busy`, with nothing left open."""
        try:
            self.execute(do)
        except sqlite3.OperationalError as failure:
            if self.in_transaction:
                self.execute("ROLLBACK")
            raise Busy(str(failure)) from None


class Together:
    """What verbs write within is committed at the end, at once; each still as a whole, or not at all.

    A commit is a third of what a login costs the store, whether it is of one or of ten. Raises `Busy` at its end
    where it can't commit: then none of it was done.
    """

    def __init__(self, db: Connection) -> None:
        self._db = db
        self.begun = False  # to write: a transaction is open, or SQLite has taken back what was written
        self.refused = ""  # why there could be none

    def __enter__(self) -> None:
        self._db.together = self

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        db = self._db
        db.together = None
        if db.in_transaction:
            db.end("ROLLBACK" if problem else "COMMIT")
        elif self.begun and not problem:
            raise Busy("what was written together was taken back")


class Writing:
    """One write transaction, or one's part of one: done as a whole, or rolled back with `Busy` where SQLite can't.

    A class, as it costs half of what a generator does.
    """

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._joins = False

    def __enter__(self) -> Connection:
        db = self._db
        self._joins = db.together is not None and db.together.begun
        if self._joins:
            self._join()
        else:
            self._begin()
        return db

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        db = self._db
        if self._joins:
            if problem and db.in_transaction:
                db.end("ROLLBACK TO one")
            if db.in_transaction:
                db.end("RELEASE one")
        elif problem:
            db.end("ROLLBACK")
        elif db.together:
            db.together.begun = True
        else:
            db.end("COMMIT")
        if isinstance(problem, sqlite3.OperationalError):
            raise Busy(str(problem)) from None

    def _join(self) -> None:
        """A full disk or one that fails, say, makes SQLite roll back all, even while it reads; then it is over."""
        if not self._db.in_transaction:
            raise Busy("what was written together was taken back")
        self._db.execute("SAVEPOINT one")

    def _begin(self) -> None:
        """Where one has waited for the lock in vain, those after it need not."""
        db, together = self._db, self._db.together
        if together and together.refused:
            raise Busy(together.refused)
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as problem:
            try:
                in_turn(lambda: db.execute("BEGIN IMMEDIATE"), problem)
            except Busy as refusal:
                if together:
                    together.refused = str(refusal)
                raise


def in_turn(do: Callable[[], T], problem: sqlite3.OperationalError) -> T:
    """Do it as soon as nobody else is in the way. Raises `Busy` after BUSY_TIMEOUT_MS, or for other problems."""
    end = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while problem.sqlite_errorcode & PRIMARY == sqlite3.SQLITE_BUSY and time.monotonic() < end:
        time.sleep(TURN_EVERY)
        try:
            return do()
        except sqlite3.OperationalError as again:
            problem = again
    raise Busy(str(problem)) from None


def create(path: Path) -> None:
    """Make the file readable by its owner alone, before SQLite would with the umask's rights."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as problem:
        raise StoreError(f"DATABASE_URL: can't create {path}: {problem.strerror}") from None


def connect(path: Path) -> Connection:
    """A connection to a file that exists. Raises `StoreError` with what the operator can do."""
    end = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    uri, patience = f"file:{quote(os.fsencode(path))}?mode=rw", BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            db = sqlite3.connect(
                uri,
                uri=True,
                isolation_level=None,
                timeout=patience,
                factory=Connection,
                check_same_thread=False,  # whichever thread it is that clears one away
            )
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
            db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        except sqlite3.Error as problem:
            # On a new file SQLite does not wait until another process has changed the journal's mode.
            if "locked" not in str(problem) or time.monotonic() > end:
                raise StoreError(f"DATABASE_URL: can't open {path}: {_why(path, problem)}") from None
            time.sleep(OPEN_EVERY)
        else:
            return db


def _why(path: Path, problem: sqlite3.Error) -> str:
    """SQLite's own words say little where it may not write beside the file."""
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return str(problem) if writable else f"it, or its folder, is read-only for this user ({problem})"
