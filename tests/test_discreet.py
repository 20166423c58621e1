"""A discreet project: whoever has its public key, or its pages, learns nothing of what is known of a phone."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import errors
from gateway.channels import Channel
from gateway.contact import parse_contact
from gateway.projects import change_settings
from gateway.store import Outcome
from gateway.verbs import Caller
from tests.delivering import claim, finish
from tests.servers import PUBLIC, SECRET, Servers
from tests.world import BOT_ID, World, make_world, new_phone

BROWSER = "a secret that only this browser holds"


def discreet(folder: Path, *changes: str) -> World:
    world = make_world(folder)
    project = world.caller().project
    world.gateway.store.change_project(project.id, change_settings(project.settings, ["discreet=yes", *changes]))
    world.gateway.projects.forget()
    return world


@pytest.fixture
def quiet(tmp_path: Path) -> World:
    return discreet(tmp_path)


# What there is to know of a phone


def unknown(world: World, phone: str) -> None:
    """Nothing."""


def active(world: World, phone: str) -> None:
    world.activate(phone, chat_id=int(phone[-7:]))


def blocked(world: World, phone: str) -> None:
    active(world, phone)
    world.gateway.deactivate(BOT_ID, int(phone[-7:]))


def regular(world: World, phone: str) -> None:
    """Logged in by SMS before, which would be the default from then on."""
    session_id = world.create(phone, channel=Channel.SMS).session_id
    world.gateway.check(world.caller(), session_id, world.code_of(session_id))


def fails(world: World, phone: str) -> None:
    """Active as far as anybody knows; but the bot is blocked, which its first message will show."""
    active(world, phone)


KINDS: tuple[Callable[[World, str], None], ...] = (unknown, active, blocked, regular, fails)


def deliver(world: World, *, fail: bool) -> None:
    """What the courier does: every message that can go out goes out, or fails for good."""
    store = world.gateway.store
    for claimed in claim(store, world.clock(), 1000, list(Channel), 10):
        instead, ceilings = world.gateway.reach.instead(
            claimed, claimed.channel, active=claimed.chat_id is not None
        )
        if fail and claimed.channel is Channel.TELEGRAM:
            outcome = Outcome(claimed.id, "failed", instead=instead, ceilings=ceilings)
            world.gateway.deactivate(BOT_ID, claimed.chat_id or 0)
        else:
            outcome = Outcome(claimed.id, "sent", tap=claimed.tap)
        finish(store, [outcome], world.clock())


def told(world: World, session_id: str, ask: Callable[[], Any]) -> Any:
    """A whole answer or refusal, but for what is any session's own: its name, its link's signature, its number."""
    try:
        answer = msgspec.to_builtins(ask())
    except errors.GatewayError as refusal:
        answer = [refusal.status, refusal.sys_message, refusal.text("en"), dict(refusal.params)]
    text = msgspec.json.encode(answer).decode().replace(session_id, "SESSION")
    return re.sub(r'"number":\d\d', '"number":NN', re.sub(r"start=[\w-]+", "start=PAYLOAD", text))


def everything_told(world: World, kind: Callable[[World, str], None], caller: Caller) -> list[str]:
    """All that a caller is told who begins a login and tries what there is to try."""
    gateway, phone = world.gateway, new_phone()
    to = parse_contact(phone)
    kind(world, phone)
    fail = kind is fails
    created = gateway.create(caller, to)
    session_id = created.session_id
    heard = [told(world, session_id, lambda: created)]

    def ask(question: Callable[[], Any]) -> None:
        heard.append(told(world, session_id, question))

    def look() -> None:
        ask(lambda: gateway.channels(caller, session_id))
        ask(lambda: gateway.progress(caller, session_id))
        ask(lambda: gateway.settings(caller, session_id))

    look()
    for _ in range(2):
        deliver(world, fail=fail)
        ask(lambda: gateway.create(caller, to))
        ask(lambda: gateway.send(caller, session_id, Channel.TELEGRAM))
        look()
        world.clock.pass_seconds(20)
    ask(lambda: gateway.create(caller, to, legacy=True))
    ask(lambda: gateway.check(caller, session_id, world.wrong_code(session_id)))
    world.clock.pass_seconds(41)  # past the cool-down
    for _ in range(2):
        ask(lambda: gateway.send(caller, session_id, Channel.TELEGRAM))
        deliver(world, fail=fail)
        look()
    ask(lambda: gateway.send(caller, session_id, Channel.SMS))
    ask(lambda: gateway.send(caller, session_id, Channel.SMS))
    deliver(world, fail=fail)
    look()
    world.clock.pass_seconds(90)
    look()
    return heard


@pytest.mark.parametrize("who", ["public key", "widget"])
def test_every_answer_is_the_same_whatever_is_known_of_the_phone(tmp_path: Path, who: str) -> None:
    answers = {}
    for kind in KINDS:
        (tmp_path / kind.__name__).mkdir()
        world = discreet(tmp_path / kind.__name__)
        caller = msgspec.structs.replace(world.caller(), address="198.51.100.7")
        if who == "widget":
            caller = msgspec.structs.replace(caller, browser_key=BROWSER)
        answers[kind.__name__] = everything_told(world, kind, caller)
    assert len(answers["unknown"]) > 20
    for name, heard in answers.items():
        assert heard == answers["unknown"], name
    one = "".join(answers["unknown"])
    assert '"is_active":false' in one
    assert ('"number":NN' in one) == (who == "widget"), "one tap's number is shown to its browser in any case"


def test_a_project_that_is_not_discreet_tells(tmp_path: Path) -> None:
    """So the comparison above can fail."""
    answers = []
    for kind in (unknown, active, blocked, regular, fails):
        (tmp_path / kind.__name__).mkdir()
        world = make_world(tmp_path / kind.__name__)
        answers.append(everything_told(world, kind, world.caller()))
    assert answers[0] == answers[2]
    assert all(answers[0] != answers[known] for known in (1, 3, 4))


def test_the_sites_own_server_is_told_the_truth(quiet: World) -> None:
    phone = new_phone()
    active(quiet, phone)
    created = quiet.gateway.create(quiet.caller("sk_development"), parse_contact(phone))
    assert created.channels[0].is_active
    quiet.gateway.check(quiet.caller(), created.session_id, quiet.code_of(created.session_id))


def test_what_a_session_shows_in_its_own_life_is_no_secret(quiet: World) -> None:
    phone = new_phone()
    caller = msgspec.structs.replace(quiet.caller(), browser_key=BROWSER)
    session_id = quiet.gateway.create(caller, parse_contact(phone)).session_id
    [telegram, *_] = quiet.gateway.channels(caller, session_id)
    assert (telegram.is_active, telegram.link.partition("?")[1]) == (False, "?")
    assert quiet.activate(phone) == 1
    [telegram, *_] = quiet.gateway.channels(caller, session_id)
    assert telegram.is_active
    deliver(quiet, fail=False)
    progress = quiet.gateway.progress(caller, session_id)
    assert progress.deliveries == {"telegram": "sent"}
    assert progress.number
    quiet.gateway.create(quiet.caller(), parse_contact(phone))  # somebody else is handed the session
    progress = quiet.gateway.progress(caller, session_id)
    assert (progress.deliveries, progress.number, progress.joined) == ({"telegram": "parked"}, None, True)


def test_who_is_known_logs_in_by_the_code_or_one_tap_all_the_same(quiet: World) -> None:
    for tap in (False, True):
        phone, chat = new_phone(), 70 + tap
        quiet.activate(phone, chat_id=chat)
        caller = msgspec.structs.replace(quiet.caller(), browser_key=BROWSER)
        session_id = quiet.gateway.create(caller, parse_contact(phone)).session_id
        [claimed] = claim(quiet.gateway.store, quiet.clock(), 1000, [Channel.TELEGRAM], 10)
        assert claimed.tap
        finish(quiet.gateway.store, [Outcome(claimed.id, "sent", tap=True)], quiet.clock())
        if tap:
            number = quiet.gateway.progress(caller, session_id).number
            assert number
            assert quiet.gateway.pick(BOT_ID, chat, session_id, number) == "approved"
            assert quiet.gateway.collect(caller, session_id).verify_token
        else:
            assert quiet.gateway.check(caller, session_id, quiet.code_of(session_id)).verify_token


def test_telegram_neither_takes_over_nor_is_taken_over_from(quiet: World) -> None:
    phone = new_phone()
    active(quiet, phone)
    session_id = quiet.create(phone, channel=Channel.TELEGRAM).session_id
    deliver(quiet, fail=True)
    row = quiet.gateway.store.session(1, session_id)
    assert row
    assert [(send.channel, send.state) for send in row.sends] == [("telegram", "failed")]
    other = new_phone()
    active(quiet, other)
    session_id = quiet.create(other, channel=Channel.SMS).session_id
    [claimed] = claim(quiet.gateway.store, quiet.clock(), 1000, [Channel.SMS], 10)
    instead, _ = quiet.gateway.reach.instead(claimed, Channel.SMS, active=True)
    assert instead == (Channel.WHATSAPP, Channel.VIBER)


def test_emails_are_as_ever(quiet: World) -> None:
    created = quiet.create("ann@example.com")
    assert (created.sent_to, created.channels[0].is_active) == ("email", True)


# Over HTTP: the API, the pages and the live stream


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("discreet")
    world = discreet(folder, "challenge=off")
    world.gateway.close()
    with Servers(folder) as running:
        yield running


def page(servers: Servers, phone: str) -> tuple[str, str]:
    """The code's page of somebody who typed this phone, and its live stream's address."""
    start = servers.http.get(f"{servers.web}/widget/", params={"key": "pk_development", "lang": "en"})
    token = re.search(r'name="w" value="([^"]+)"', start.text)
    assert token
    form = {"w": token[1], "by": "phone", "to": phone, "time_zone": "Europe/Berlin"}
    shown = servers.http.post(f"{servers.web}/widget/start", data=form, follow_redirects=True)
    assert shown.status_code == 200, shown.text
    live = re.search(r'data-live="([^"]+)"', shown.text)
    assert live
    return shown.text, live[1]


def plain(html: str, phone: str) -> str:
    """Without what is each page's own: tokens, nonces, the phone's end, the number, the QR code, seconds left."""
    html = re.sub(r'<figure class="qr">.*?</figure>', "QR", html, flags=re.DOTALL)
    html = re.sub(r"(nonce-|nonce=\"|w=|value=\"|live/|start=)[\w.~-]{16,}", r"\1TOKEN", html)
    html = re.sub(
        r'data-number="\d\d"|<p class="big">\d\d</p>|data-expires-in="\d+"|in \d+ s|data-wait="\d+"', "N", html
    )
    return html.replace(phone[-2:] + "</bdi>", "XX</bdi>")


def test_the_widgets_page_is_the_same_whether_the_phone_is_active(site: Servers) -> None:
    known, stranger = new_phone(), new_phone()
    person = site.person(known)
    created = site.create(known, "telegram", keys=SECRET)
    person.does("start", payload=created["channels"][0]["link"].partition("?start=")[2])
    person.does("contact")
    person.hears(site.code_of(created["session_id"]))
    assert site.check(created["session_id"], site.code_of(created["session_id"])).status_code == 200
    (of_known, _), (of_stranger, _) = page(site, known), page(site, stranger)
    assert "before, the code is in its chat" in of_known
    assert plain(of_known, known) == plain(of_stranger, stranger)
    for phone in (known, stranger):
        answer = site.http.post(
            f"{site.web}/session/create", json={"to": phone, "type": "telegram"}, headers=PUBLIC
        )
        assert answer.json()["channels"][0]["is_active"] is False
        assert answer.json()["sent_to"] == "telegram"


def test_a_live_stream_says_nothing_when_a_message_goes_out(site: Servers) -> None:
    known = new_phone()
    person = site.person(known)
    first = site.create(known, "telegram", keys=SECRET)
    person.does("start", payload=first["channels"][0]["link"].partition("?start=")[2])
    person.does("contact")
    person.hears(site.code_of(first["session_id"]))
    assert site.check(first["session_id"], site.code_of(first["session_id"])).status_code == 200
    session_id = site.create(known, "telegram")["session_id"]
    events = []
    with site.http.stream("GET", site.live_url(session_id)) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                events.append(msgspec.json.decode(line.removeprefix("data: ")))
                if len(events) == 1:
                    person.hears(site.code_of(session_id))
                    site.check(session_id, site.code_of(session_id))
            if events and events[-1]["state"] == "used":
                break
    assert [event["state"] for event in events] == ["live", "used"]
    assert events[0]["deliveries"] == {"telegram": "parked"}
