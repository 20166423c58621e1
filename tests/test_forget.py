"""`kodgate forget`, on both stores: a person is gone, and nobody else is."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.bootstrap import build_gateway
from gateway.channels import Channel
from gateway.cli import main
from gateway.contact import parse_contact
from gateway.settings import Settings
from gateway.store import open_store
from gateway.store.entries import By, Entry, Wanted
from gateway.verbs import Caller, Draft
from tests.databases import Database, hurried, outlives_its_limit
from tests.postgres import PostgresServer
from tests.world import BOT_ID, START, World, new_phone


def lives(world: World, phone: str, chat_id: int) -> str:
    """A whole life: an activation, a login, a server's own message, another login under way."""
    caller = Caller(world.caller().project, address="192.0.2.7", browser_key="b" * 22)
    world.activate(phone, chat_id)
    first = world.gateway.create(caller, parse_contact(phone))
    linked = world.gateway.linked_session(BOT_ID, payload_of(first.channels[0].link))
    world.gateway.expect(BOT_ID, chat_id, linked)
    world.gateway.check(caller, first.session_id, world.code_of(first.session_id))
    server = world.caller("sk_development")
    world.gateway.manual_send(server, Draft(parse_contact(phone), Channel.SMS, callback_url="http://8.8.8.8/"))
    world.clock.pass_seconds(61)
    return world.gateway.create(caller, parse_contact(phone)).session_id


def payload_of(link: str) -> str:
    return link.partition("?start=")[2]


def test_a_person_is_forgotten_and_nobody_else(world: World) -> None:
    theirs, others = new_phone(), new_phone()
    session_id, other_id = lives(world, theirs, 7), lives(world, others, 8)
    [(project, destination)] = world.gateway.hashes_of(parse_contact(theirs)).items()
    world.gateway.audit.flush()  # as it does every other second
    gone = world.gateway.store.forget(project, destination, By("operator", world.clock()))
    assert gone["counts"] >= 2, "limits of sends, and the address that is known"
    assert {kind: count for kind, count in gone.items() if kind != "counts"} == {
        "callbacks": 0,
        "messages": 3,
        "expected contacts": 1,
        "sessions": 1,
        "server's messages": 1,
        "activations": 1,
        "habits": 1,
    }
    store = world.gateway.store
    assert store.session(None, session_id) is None
    assert store.session(None, other_id) is not None
    assert sum(store.forget(project, destination, By("operator", world.clock())).values()) == 0
    created = world.create(theirs, channel=Channel.TELEGRAM)
    assert not created.channels[0].is_active, "their Telegram is not known any more"
    assert world.create(others, send=False).channels[0].is_active
    told = store.audit(Wanted(action="person.forget"))
    assert [(entry.actor, entry.destination) for entry in told] == [("operator", None)] * 2


def test_what_was_under_way_goes_nowhere(world: World) -> None:
    phone = new_phone()
    created = world.create(phone, channel=Channel.SMS)
    [(project, destination)] = world.gateway.hashes_of(parse_contact(phone)).items()
    store = world.gateway.store
    [claimed] = store.deliver((), world.clock(), 15_000, [Channel.SMS], 10).claimed
    store.forget(project, destination, By("operator", world.clock()))
    assert store.deliver((), world.clock() + 20_000, 15_000, [Channel.SMS], 10).claimed == []
    assert claimed.session_id == created.session_id


def test_an_operator_may_ask_what_takes_its_time(
    postgres: Callable[[], PostgresServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log of ten million rows is read for longer than a visitor waits, and a person could not be forgotten."""
    monkeypatch.setattr("gateway.store.postgres_pool.ANSWER_SECONDS", 0.1)
    url = postgres().new_database()
    store = open_store(hurried(url))
    store.note([Entry(START, "operator", "guard.stop")])
    by = By("operator", START)
    assert len(outlives_its_limit(url, "audit", lambda: store.audit(Wanted()))) == 1
    assert not any(outlives_its_limit(url, "audit", lambda: store.forget(1, b"d" * 16, by)).values())
    store.close()
    postgres().give_back(url)


@pytest.mark.parametrize("spelt", ["{}", " {} "])
def test_the_command_tells_what_went(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, spelt: str
) -> None:
    monkeypatch.chdir(tmp_path)
    url, phone = database.url(tmp_path), new_phone()
    monkeypatch.setenv("DATABASE_URL", url)
    gateway = build_gateway(Settings(_env_file=None, database_url=url))
    project, _ = gateway.authenticate("pk_development")
    gateway.create(Caller(project), parse_contact(phone), Channel.SMS)
    gateway.close()

    def said(*words: str) -> str:
        return CliRunner().invoke(main, ["forget", *words]).output.replace("\u00a0", " ")

    assert "there is no project 9" in said(phone, "--project", "9")
    assert "is not" in said("nobody@") or "must" in said("nobody@")
    first = said(spelt.format(phone))
    assert first == f"+7 ••• ••• {phone[-2:]} is forgotten: 1 sessions, 1 messages, 1 counts.\n"
    assert said(phone) == f"Nothing was kept of +7 ••• ••• {phone[-2:]}.\n"
