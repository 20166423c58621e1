"""`kodgate copy` moves an installation from one store to the other, and back."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.channels import Channel
from gateway.projects import ProjectSettings
from gateway.store import Expected, Outcome, Stop, StoreError, open_store
from gateway.store.entries import Entry
from gateway.store.moving import copy
from tests.databases import Database, current, dump, execute, hurried, outlives_its_limit
from tests.delivering import claim, finish
from tests.postgres import PostgresServer
from tests.world import TestClock, World, make_world, new_phone


@pytest.fixture
def empty(postgres: Callable[[], PostgresServer]) -> Iterator[str]:
    """A PostgreSQL database where nothing is yet."""
    url = postgres().new_database()
    yield url
    postgres().give_back(url)


def lived_in(folder: Path) -> World:
    """An installation in which something of everything has happened; nobody is connected any more."""
    world = make_world(folder)
    store = world.gateway.store
    for phone in (new_phone() for _ in range(50)):
        session = world.create(phone, channel=Channel.SMS)
        world.gateway.check(world.caller(), session.session_id, world.code_of(session.session_id))
        store.spend(session.session_id, store.era())
    store.add_project(ProjectSettings(name="Another's Größe"), world.clock.now)
    claimed = claim(store, world.clock.now, 1000, list(Channel), 3)
    finish(store, [Outcome(one.id, "sent", f"ref{one.id}", "odd\x00text") for one in claimed], world.clock.now)
    store.report(Channel.SMS, "early", "delivered", "", (), world.clock.now)
    world.activate(new_phone())
    store.hold("bot 1", "me", world.clock.now, 1000)
    store.take_update(1, 7, world.clock.now, 1000)
    store.expect(1, 7, Expected(1, session.session_id))
    store.stop(Stop(1, "+7", 0, world.clock.now, "operator"), Entry(world.clock.now, "operator", "bill.stop"))
    while store.purge_audit(world.clock.now + 1, 1000, 20, world.clock.now) == 20:
        pass
    world.gateway.close()
    store.close()
    return world


def on(url: str, folder: Path, clock: TestClock) -> World:
    """A gateway with the same settings on another database."""

    class There(Database):
        def url(self, _: Path) -> str:
            return url

    with current(There()):
        return make_world(folder, clock)


def test_a_login_goes_on_where_it_was_and_back_again(tmp_path: Path, empty: str) -> None:
    world = lived_in(tmp_path)
    again = make_world(tmp_path, world.clock)
    phone = new_phone()
    again.activate(phone)
    session = again.create(phone)
    again.gateway.close()
    source = world.settings.database_url
    highest = execute(source, "SELECT max(id) FROM message")[0][0]
    counts = copy(source, empty)
    assert counts["session"] == 51
    assert all(counts[name] for name in counts if name not in ("manual", "callback")), counts

    moved = on(empty, tmp_path, world.clock)
    assert moved.gateway.projects.by_id(2)
    code = moved.code_of(session.session_id)
    assert moved.gateway.check(moved.caller(), session.session_id, code).verify_token
    more = moved.create(new_phone(), channel=Channel.SMS)
    assert execute(empty, f"SELECT id FROM message WHERE session_id = '{more.session_id}'") == [  # noqa: S608
        (highest + 1,)
    ]
    assert moved.gateway.store.add_project(ProjectSettings(name="third"), world.clock.now).id == 3
    moved.gateway.close()
    moved.gateway.store.close()

    back = f"sqlite:///{tmp_path}/back.sqlite3"
    assert copy(empty, back)["session"] == 52
    returned = on(back, tmp_path, world.clock)
    assert returned.code_of(more.session_id)
    assert returned.gateway.check(returned.caller(), more.session_id, returned.code_of(more.session_id))
    returned.gateway.close()


def test_there_and_back_is_the_same(tmp_path: Path, empty: str) -> None:
    source = lived_in(tmp_path).settings.database_url
    back = f"sqlite:///{tmp_path}/back.sqlite3"
    copy(source, empty)
    copy(empty, back)
    there, again = (
        sorted(dump(url).replace("\x00", "\N{REPLACEMENT CHARACTER}").split("\n")) for url in (source, back)
    )
    assert there == again


def test_what_is_not_empty_is_not_written_to(tmp_path: Path, empty: str) -> None:
    source = lived_in(tmp_path).settings.database_url
    execute(empty, "INSERT INTO spent VALUES ('x')")
    with pytest.raises(StoreError, match="not empty"):
        copy(source, empty)
    assert execute(empty, "SELECT count(*) FROM session") == [(0,)]


@pytest.mark.parametrize("from_postgres", [False, True])
def test_nothing_is_copied_while_a_process_runs(tmp_path: Path, empty: str, from_postgres: bool) -> None:
    source = lived_in(tmp_path).settings.database_url
    if from_postgres:
        copy(source, empty)
        source = empty
    running = open_store(source)
    running.projects()
    with pytest.raises(StoreError, match="stop every Kodgate process"):
        copy(source, f"sqlite:///{tmp_path}/other.sqlite3")
    running.close()
    assert copy(source, f"sqlite:///{tmp_path}/another.sqlite3")["session"] == 50


@pytest.mark.parametrize("to", ["postgresql+psycopg://kodgate:hunter2@127.0.0.1/kodgate", "other.sqlite3"])
def test_what_is_no_database_of_ours_is_not_taken_for_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    source = lived_in(tmp_path).settings.database_url
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(StoreError, match="must be sqlite:///path/to/file or postgresql://"):
        copy(source, to)
    assert not list(Path().iterdir())


def test_a_failure_leaves_the_target_as_empty_as_before(tmp_path: Path, empty: str) -> None:
    source = lived_in(tmp_path).settings.database_url
    execute(empty, "ALTER TABLE usage ADD CONSTRAINT full_disk CHECK (due < 0) NOT VALID")
    with pytest.raises(StoreError, match="nothing was copied"):
        copy(source, empty)
    execute(empty, "ALTER TABLE usage DROP CONSTRAINT full_disk")
    assert execute(empty, "SELECT count(*) FROM session") == [(0,)]


def test_a_copy_takes_its_time(tmp_path: Path, empty: str) -> None:
    """Behind a pooler the role is to have a limit, which is meant for what visitors wait for."""
    source = lived_in(tmp_path).settings.database_url
    counts = outlives_its_limit(empty, "session", lambda: copy(source, hurried(empty)))
    assert counts["session"] == 50


def test_the_command_says_what_it_did_or_why_not(tmp_path: Path, empty: str) -> None:
    source = lived_in(tmp_path).settings.database_url

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gateway.cli", "copy", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    missing = run("--from", f"sqlite:///{tmp_path}/none.sqlite3", "--to", empty)
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    assert "there is no" in missing.stderr
    done = run("--from", source, "--to", empty)
    assert done.returncode == 0, done.stderr
    assert "50  session" in done.stdout
