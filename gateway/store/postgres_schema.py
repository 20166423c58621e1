"""The PostgreSQL store's schema: numbered migrations, applied under a lock, in one transaction."""

from pathlib import Path

import psycopg

from gateway.store import StoreError
from gateway.store.postgres_pool import NO_LIMIT, PooledConnection, one_line

MIGRATIONS = Path(__file__).parent / "migrations" / "postgres"
EXPANDS = ".expands"  # ends the name of a migration beside which code from before goes on
_LOCK = "SELECT pg_advisory_xact_lock(1802462055, 1)"  # "kodg" in ASCII, which nobody else in this database has


def migrate(connection: PooledConnection) -> int:
    """Bring the schema up to date; how many migrations ran. Raises `StoreError`."""
    files = _migrations()
    if _done(connection).keys() == files.keys():
        _refuse_read_only(connection)
        return 0
    try:
        with connection.transaction():
            connection.execute(NO_LIMIT)
            connection.execute(_LOCK)
            connection.execute(
                "CREATE TABLE IF NOT EXISTS migration (number bigint PRIMARY KEY, name text NOT NULL)"
            )
            todo = _to_run(_done(connection), files)
            for number, file in todo.items():
                connection.execute(file.read_bytes())
                connection.execute("INSERT INTO migration VALUES (%s, %s)", (number, file.stem))
    except psycopg.errors.ReadOnlySqlTransaction:
        raise StoreError(f"DATABASE_URL: {READ_ONLY}") from None
    except psycopg.Error as problem:
        raise StoreError(f"DATABASE_URL: the schema can't be brought up to date: {one_line(problem)}") from None
    return len(todo)


def behind(connection: PooledConnection) -> int:
    """How many migrations are still to run. Raises `StoreError`."""
    todo = _to_run(_done(connection), _migrations())
    _refuse_read_only(connection)
    return len(todo)


READ_ONLY = "this server is read-only: a standby, perhaps; name the primary, or both (host1,host2)"


def _migrations() -> dict[int, Path]:
    return {int(file.name[:4]): file for file in sorted(MIGRATIONS.glob("*.sql"))}


def _to_run(done: dict[int, str], files: dict[int, Path]) -> dict[int, Path]:
    if unknown := {number for number in done if number not in files and not done[number].endswith(EXPANDS)}:
        raise StoreError(
            f"DATABASE_URL: this database was written by a newer Kodgate (migration {max(unknown)}): "
            "start that version, or restore an older copy"
        )
    return {number: file for number, file in files.items() if number not in done}


def _done(connection: PooledConnection) -> dict[int, str]:
    try:
        return dict(connection.execute("SELECT number, name FROM migration").fetchall())
    except psycopg.errors.UndefinedTable:
        return {}
    except psycopg.Error as problem:
        raise StoreError(f"DATABASE_URL: {one_line(problem)}") from None


def _refuse_read_only(connection: PooledConnection) -> None:
    row = connection.execute(
        "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool"
    ).fetchone()
    if row is None or row[0]:
        raise StoreError(f"DATABASE_URL: {READ_ONLY}")
