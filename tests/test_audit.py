"""The audit log: what it holds and leaves out, that it can't be changed, and that no flood fills the disk."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psycopg
import pytest

from gateway import errors
from gateway.audit import Ledger
from gateway.contact import parse_contact
from gateway.projects import KeyPair, ProjectSettings
from gateway.store import Busy
from gateway.store.entries import Actor, By, Entry, Wanted
from gateway.verbs import Caller
from tests.databases import CURRENT, Database, execute
from tests.servers import PUBLIC, ROOT, Servers
from tests.world import BOT_ID, World, make_world, new_phone


def entries(world: World, **wanted: object) -> list[Entry]:
    world.gateway.audit.flush()
    return world.gateway.store.audit(msgspec.convert({"limit": 1000, **wanted}, Wanted))


def told(world: World, **wanted: object) -> list[tuple[str, str, str, str]]:
    return [(one.actor, one.action, one.reason, one.detail) for one in entries(world, **wanted)]


def test_a_login_is_told_step_by_step(world: World) -> None:
    phone = new_phone()
    session = world.create(phone)
    world.clock.pass_seconds(1)
    with pytest.raises(errors.WrongCode):
        world.gateway.check(world.caller(), session.session_id, world.wrong_code(session.session_id))
    world.clock.pass_seconds(1)
    public = Caller(world.caller().project, key="pk_development")
    token = world.gateway.check(public, session.session_id, world.code_of(session.session_id)).verify_token
    world.clock.pass_seconds(1)
    world.gateway.verify(world.caller("sk_development"), token)
    with pytest.raises(errors.SessionExpired):
        world.gateway.verify(world.caller("sk_development"), token)
    assert told(world, session_id=session.session_id) == [
        ("widget", "session.create", "", "telegram"),
        ("widget", "session.check", "WrongCode", "4 left"),
        ("public key", "session.check", "", ""),
        ("secret key", "session.verify", "", ""),
    ]
    assert ("secret key", "session.verify", "SessionExpired", "") in told(world)


def test_every_refusal_has_its_reason_and_alike_ones_are_one_entry(world: World) -> None:
    phone = new_phone()
    session = world.create(phone, channel=None)
    for _ in range(3):
        with pytest.raises(errors.SessionExpired):
            world.gateway.check(world.caller(), "01K8N1VMPN0EE389K72YW0CBM2", "123456")
    with pytest.raises(errors.AccessDenied):
        world.gateway.verify(world.caller(), "token")
    for number in range(1, 6):
        with pytest.raises(errors.WrongCode):
            world.gateway.check(world.caller(), session.session_id, world.wrong_code(session.session_id, number))
    with pytest.raises(errors.DestinationBlocked):
        world.create(phone)
    refused = entries(world, refused=True)
    counts = {(one.action, one.reason, one.detail): one.times for one in refused}
    assert counts["session.check", "SessionExpired", ""] == 3
    assert counts["session.verify", "AccessDenied", ""] == 1
    assert counts["session.check", "WrongCode", "0 left"] == 1
    assert counts["session.create", "DestinationBlocked", ""] == 1
    [blocked] = [one for one in refused if one.reason == "DestinationBlocked"]
    assert blocked.destination in world.gateway.hashes_of(parse_contact(phone)).values()


def test_telegram_and_taps_are_told_without_the_chat(world: World) -> None:
    phone, chat = new_phone(), 987_654_321_012
    world.activate(phone, chat)
    world.activate(phone, chat)
    world.gateway.deactivate(BOT_ID, chat)
    world.gateway.reactivate(BOT_ID, chat)
    session = world.create(phone)
    assert world.gateway.pick(BOT_ID, chat, session.session_id, 5) == "over"
    assert world.gateway.deny(BOT_ID, chat, session.session_id)
    assert not world.gateway.deny(BOT_ID, chat, session.session_id)
    assert told(world, action="bot") == [
        ("telegram", "bot.activate", "", ""),
        ("telegram", "bot.stop", "", ""),
        ("telegram", "bot.activate", "", "again"),
    ]
    assert sorted(told(world, action="tap")) == [
        ("telegram", "tap.deny", "", ""),
        ("telegram", "tap.deny", "over", ""),
        ("telegram", "tap.pick", "over", "not a button of ours"),
    ]
    assert str(chat) not in repr(entries(world))


def test_what_operators_change_is_told_by_name_and_never_by_value(world: World) -> None:
    gateway, by = world.gateway, By("operator", world.clock.now)
    made = gateway.store.add_project(ProjectSettings(name="Shop"), by.now, by)
    gateway.projects.set_keys(made.id, KeyPair("pk_shop", "sk_shop"), keep_seconds=0, by=by)
    changed = msgspec.structs.replace(made.settings, code_length=4, challenge_site_key="site-key-value")
    gateway.store.change_project(made.id, changed, by)
    gateway.store.change_project(made.id, changed, by)
    gateway.projects.set_bot(msgspec.structs.replace(made, settings=changed), "42:bot-token-value", 42, by)
    assert [row[:2] + row[3:] for row in told(world, project_id=made.id)][:1] == [
        ("operator", "project.create", "")
    ]
    details = [one.detail for one in entries(world, project_id=made.id, action="project.change")]
    assert details == ["code_length, challenge_site_key", "bot_id, bot_token"]
    text = repr(entries(world))
    for value in ("site-key-value", "bot-token-value", "sk_shop", "pk_shop"):
        assert value not in text


def test_no_contact_code_key_or_token_stands_in_it(world: World) -> None:
    phone, email = new_phone(), "somebody.special@example.com"
    sessions = [world.create(phone), world.create(email)]
    codes = [world.code_of(one.session_id) for one in sessions]
    token = world.gateway.check(world.caller(), sessions[0].session_id, codes[0]).verify_token
    world.gateway.verify(world.caller("sk_development"), token)
    for wrong in (phone, email, token, "sk_development"):
        with pytest.raises(errors.GatewayError):
            world.gateway.check(world.caller(), wrong, wrong)
        with pytest.raises(errors.GatewayError):
            world.gateway.verify(world.caller("sk_development"), wrong)
        with pytest.raises(errors.AccessDenied):
            world.gateway.authenticate(wrong + "x")
    text = repr(entries(world))
    for secret in (phone, phone[1:], email, *codes, token, "sk_development", "pk_development"):
        assert secret not in text


ANOTHER = "SELECT number, 0, 0, 'system', 'nothing', NULL, '', NULL, '', '', 1 FROM audit"
CHANGES = [
    "UPDATE audit SET reason = ''",
    "DELETE FROM audit",
    "UPDATE audit_floor SET number = (SELECT max(number) FROM audit)",
    "DELETE FROM audit_floor",
]
OWN_CHANGES = {
    "sqlite": [
        f"INSERT OR REPLACE INTO audit {ANOTHER}",
        "INSERT OR REPLACE INTO audit_floor VALUES (0, 1000000)",
    ],
    "postgres": [
        "INSERT INTO audit SELECT * FROM audit ON CONFLICT (number) DO UPDATE SET reason = ''",
        "INSERT INTO audit_floor VALUES (false, 1000000) ON CONFLICT (lasting) DO UPDATE SET number = 1000000",
        "TRUNCATE audit",
        "TRUNCATE audit_floor",
    ],
}


def test_it_is_append_only(world: World, database: Database) -> None:
    for _ in range(3):
        world.create(new_phone())
    before = entries(world)
    assert len(before) >= 3
    for change in [*CHANGES, *OWN_CHANGES[database.kind]]:
        with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
            execute(world.settings.database_url, change)
    assert entries(world) == before


def test_the_purge_takes_old_rows_and_surplus_but_never_the_newest_or_an_operators_young_one(
    world: World,
) -> None:
    store, now = world.gateway.store, world.clock.now
    store.note([Entry(now, "operator", "project.change", 1)])
    store.note([Entry(now, "widget", "session.create", 1, detail=str(number)) for number in range(50)])
    while store.purge_audit(now - 1, 10, 7, now):
        pass
    left = store.audit(Wanted(limit=1000))
    assert [one.detail for one in left if one.action == "session.create"] == [str(n) for n in range(40, 50)]
    assert [one for one in left if one.action == "project.change" and one.actor == "operator"]
    while store.purge_audit(now + 1, 10, 7, now):
        pass
    assert [one.detail for one in store.audit(Wanted())] == ["49"]


@pytest.mark.parametrize("actor", ["operator", "widget"])
def test_what_a_clock_that_was_ahead_has_dated_goes_with_what_came_after(world: World, actor: Actor) -> None:
    """Those 20 would keep all that came after them, the oldest being looked at a few at a time."""
    store, now = world.gateway.store, world.clock.now
    ahead = [Entry(now + 400 * 86_400_000, actor, "project.change", 1, detail=f"ahead {n}") for n in range(20)]
    store.note([Entry(now - 5, actor, "project.change", 1), *ahead])

    def purge(before: int) -> set[str]:
        while store.purge_audit(before, 1000, 7, now + 1000):
            pass
        return {one.detail for one in store.audit(Wanted(action="project.change"))}

    assert len(purge(now)) == 20, "however old what was written before is"
    store.note([Entry(now + number, actor, "project.change", 1, detail=str(number)) for number in range(10)])
    assert len(purge(now)) == 30
    assert purge(now + 8) == {"8", "9"}


class Flooded:
    """A store that only takes notes."""

    def __init__(self) -> None:
        self.rows: list[Entry] = []
        self.busy = False

    def note(self, entries: Sequence[Entry]) -> None:
        if self.busy:
            raise Busy
        self.rows += entries

    def close(self) -> None:
        pass


def test_a_flood_of_refusals_leaves_few_rows_and_every_one_is_counted() -> None:
    store, now = Flooded(), [0]
    ledger = Ledger(store, lambda: now[0], 3600, 60)  # type: ignore[arg-type]

    def flood(first: int) -> None:
        for number in range(first, first + 10_000):
            ledger.note("public key", "session.check", 1, f"01{number:024d}", reason="SessionExpired")

    threads = [threading.Thread(target=flood, args=(first,)) for first in (0, 10_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.flush()
    assert sum(row.times for row in store.rows) == 20_000
    assert len(store.rows) == 61
    now[0] += 60_000
    ledger.note("public key", "session.check", 1, f"01{1:024d}", reason="SessionExpired")
    ledger.flush()
    assert store.rows[-1].session_id


def test_what_a_busy_store_does_not_take_is_kept() -> None:
    store = Flooded()
    ledger = Ledger(store, lambda: 0, 3600, 60)  # type: ignore[arg-type]
    store.busy = True
    for _ in range(2):
        ledger.record(Entry(0, "widget", "session.create"))
        ledger.note("widget", "session.check", reason="SessionExpired")
        ledger.flush()
    store.busy = False
    ledger.close()
    assert [(row.action, row.times) for row in store.rows] == [
        ("session.create", 1),
        ("session.create", 1),
        ("session.check", 2),
    ]


def run(folder: Path, *arguments: str, text: str = "", **environment: str) -> str:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    ended = subprocess.run(
        [sys.executable, "-m", "gateway.cli", *arguments],
        cwd=folder,
        env={
            **kept,
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": CURRENT[-1].url(folder),
            **environment,
        },
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout


def test_the_command_filters_and_ends_with_the_newest(tmp_path: Path) -> None:
    run(tmp_path, "project", "create", "Shop", "--countries", "RU")
    run(tmp_path, "project", "set", "2", "code_length=4", "channels=sms")
    run(tmp_path, "project", "rotate-keys", "2", "--keep", "0")
    run(tmp_path, "project", "set-challenge-secret", "2", text="not-to-be-seen\n")
    lines = [json.loads(line) for line in run(tmp_path, "audit", "--project", "2", "--json").splitlines()]
    lines = [line for line in lines if line["actor"] != "system"]  # which tells the sandbox's bot to a new project
    assert [line["action"] for line in lines] == [
        "project.create",
        "project.keys",
        "project.change",
        "project.keys",
        "project.change",
    ]
    assert {line["actor"] for line in lines} == {"operator"}
    assert lines[2]["detail"] == "channels, code_length"
    assert lines[4]["detail"] == "challenge_secret"
    assert "not-to-be-seen" not in run(tmp_path, "audit")
    assert len(run(tmp_path, "audit", "--action", "project.keys", "--since", "1h").splitlines()) == 3
    assert run(tmp_path, "audit", "--until", "1h") == ""
    assert run(tmp_path, "audit", "--limit", "1").splitlines()[0].endswith("challenge_secret")


@pytest.mark.usefixtures("database")
def test_one_persons_entries_are_found_by_their_phone(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    phone = new_phone()
    session = world.create(phone)
    world.clock.pass_seconds(1)
    with pytest.raises(errors.WrongCode):
        world.gateway.check(world.caller(), session.session_id, world.wrong_code(session.session_id))
    world.create(new_phone())
    world.gateway.close()
    lines = [json.loads(line) for line in run(tmp_path, "audit", "--to", phone, "--json").splitlines()]
    assert [line["action"] for line in lines] == ["session.create", "session.check"], (
        "what names its session alone, too"
    )
    assert {line["session_id"] for line in lines} == {session.session_id}
    assert run(tmp_path, "audit", "--session", session.session_id.lower()).count("\n") == 2


def test_the_running_processes_write_it(servers: Servers) -> None:
    session = servers.create(new_phone())
    assert servers.check(session["session_id"], "000000").status_code in (200, 422)
    for key, path, status in (
        ({"x-api-key": "pk_nobody"}, "/session/create", 401),
        (PUBLIC, "/session/nothing", 404),
        (PUBLIC, "/session/create", 400),
    ):
        answer = servers.http.post(f"{servers.web}{path}", content=b"{}", headers=key)
        assert answer.status_code == status
    time.sleep(3)  # longer than AUDIT_FLUSH_SECONDS
    database = {"DATABASE_URL": servers.database_url}
    entries = [
        json.loads(one)
        for one in run(servers.folder, "audit", "--limit", "1000", "--json", **database).splitlines()
    ]
    told = {(one["actor"], one["action"], one.get("reason", "")) for one in entries}
    assert ("public key", "session.create", "") in told
    assert ("unknown", "session.create", "AccessDenied") in told
    assert ("unknown", "request", "NotFound") in told
    assert ("public key", "session.create", "BadRequest") in told
