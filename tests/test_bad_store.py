"""A store that can't be used: one clear line, at start or in /healthz, and nothing half done."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.store import Busy, sqlite
from tests.faults import ground
from tests.servers import ROOT, Servers, until
from tests.world import make_world, new_phone

NO_DIRECTORY = "/proc/1/nowhere/kodgate.sqlite3"


def start(url: str, folder: Path) -> tuple[int, str]:
    """The exit code of `python -m web` and what it said."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATABASE_URL": url}
    ended = subprocess.run(
        [sys.executable, "-m", "web"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


def no_database(folder: Path) -> str:
    file = folder / "kodgate.sqlite3"
    file.write_bytes(b"this is a letter to my aunt, and no database\n" * 100)
    return f"sqlite:///{file}"


def newer(folder: Path) -> str:
    make_world(folder)
    with closing(sqlite3.connect(folder / "kodgate.sqlite3")) as db, db:
        db.execute("INSERT INTO migration (number, name) VALUES (9999, 'of_the_future')")
    return f"sqlite:///{folder}/kodgate.sqlite3"


def folder_itself(folder: Path) -> str:
    return f"sqlite:///{folder}"


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda _: "sqlite://kodgate.sqlite3", "DATABASE_URL"),
        (lambda _: "mysql://localhost/kodgate", "DATABASE_URL"),
        (lambda _: f"sqlite:///{NO_DIRECTORY}", "can't create"),
        (folder_itself, "can't"),
        (no_database, "not a database"),
        (newer, "written by a newer Kodgate"),
    ],
    ids=["wrong form", "unknown kind", "no folder", "a folder", "no database", "newer schema"],
)
def test_what_is_wrong_is_one_line_at_start(made: Callable[[Path], str], says: str, tmp_path: Path) -> None:
    code, said = start(made(tmp_path), tmp_path)
    assert (code, len(said.splitlines())) == (2, 1), said
    assert says in said
    assert said.startswith("kodgate web: ")


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older schema is brought up to date as a whole, or not at all."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_first.sql").write_text("CREATE TABLE one (a);\n")
    (folder / "0002_second.sql").write_text("CREATE TABLE two (a);\nCREATE TABLE one (a);\n")
    monkeypatch.setattr(sqlite, "MIGRATIONS", folder)
    store = sqlite.SqliteStore(str(tmp_path / "half.sqlite3"))
    with pytest.raises(Busy, match="already exists"):
        store.migrate()
    with closing(sqlite3.connect(tmp_path / "half.sqlite3")) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == []
    (folder / "0002_second.sql").write_text("CREATE TABLE two (a);\n")
    assert store.migrate() == 2
    store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that only processes in this mount namespace see; tests without the right to mount have none."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        ground.mount_disk(disk)
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("mounting is not permitted here")
    yield disk
    ground.unmount_disk(disk)


def test_on_a_full_disk_healthz_says_so_and_logins_go_on_once_there_is_room(
    small_disk: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{small_disk}/kodgate.sqlite3"
    with Servers(tmp_path, DATABASE_URL=url) as servers:
        phone = new_phone()
        servers.create(new_phone())
        with closing(sqlite3.connect(small_disk / "kodgate.sqlite3")) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with ground.full(small_disk):
            until(lambda: servers.health("web") == 503, "web's health")
            until(lambda: servers.health("bot") == 503, "the bot's health")
            said = servers.http.get(f"{servers.web}/healthz").text
            assert "full" in said or "disk" in said, said
            body = {"to": phone, "type": "sms"}
            refused = servers.http.post(
                f"{servers.web}/session/create", json=body, headers={"x-api-key": "pk_development"}
            )
            assert refused.status_code == 503
            assert refused.headers["retry-after"]
        until(lambda: servers.health("web") == servers.health("bot") == 200, "well again")
        session_id = servers.create(phone)["session_id"]
        until(lambda: servers.letters(phone), "the code comes")
        assert servers.check(session_id, servers.code_of(session_id)).status_code == 200
    with closing(sqlite3.connect(small_disk / "kodgate.sqlite3")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_read_only_disk_is_one_line_at_start(small_disk: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{small_disk}/kodgate.sqlite3"
    make_world(small_disk).gateway.store.close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    try:
        code, said = start(url, tmp_path)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert (code, len(said.splitlines())) == (2, 1), said
    assert "read-only" in said, said
