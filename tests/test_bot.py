"""The bot process against the sandbox's Bot API: activation, its end, and a Bot API that misbehaves."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.settings import SANDBOX_BOT
from tests.servers import NAMES, Person, Servers, payload, until
from tests.world import new_phone


def met(servers: Servers, phone: str) -> tuple[str, Person]:
    """Somebody who asked for a code by Telegram, opened the deep link and pressed Start."""
    created = servers.create(phone, "telegram")
    person = servers.person(phone)
    person.does("start", payload=payload(created["channels"][0]))
    return created["session_id"], person


def is_active(servers: Servers, session_id: str) -> bool:
    return bool(servers.channel(session_id)["is_active"])


def becomes(servers: Servers, session_id: str, active: bool) -> None:
    until(lambda: is_active(servers, session_id) is active, f"is_active becomes {active}")


def events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """The events of a live stream: `{id, event, data}`."""
    event: dict[str, Any] = {}
    for line in answer.iter_lines():
        if not line and "data" in event:
            yield event
            event = {}
        name, _, value = line.partition(": ")
        if name in ("id", "event"):
            event[name] = value
        if name == "data":
            event[name] = json.loads(value)


def test_a_new_user_activates_and_the_parked_code_comes(servers: Servers) -> None:
    phone = new_phone()
    session_id, person = met(servers, phone)
    greeting = person.hears("asks who is logging in")
    assert "Kodgate" in greeting
    assert phone[-2:] in greeting
    assert phone not in greeting
    person.does("contact")
    code = servers.code_of(session_id)
    assert person.hears(code)
    becomes(servers, session_id, active=True)
    channel = servers.channel(session_id)
    assert 0 < channel["timeout"] <= 60
    assert servers.check(session_id, code).status_code == 200


def test_the_live_stream_tells_of_the_activation(servers: Servers) -> None:
    session_id, person = met(servers, new_phone())
    person.hears("asks who")
    with servers.http.stream("GET", servers.live_url(session_id)) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["access-control-allow-origin"] == "*"
        stream = events(answer)
        first = next(stream)
        assert first["event"] == "progress"
        assert first["data"]["state"] == "live"
        assert first["data"]["deliveries"] == {"telegram": "parked"}
        person.does("contact")
        for event in stream:
            telegram = event["data"]["channels"][0]
            if event["data"]["deliveries"]["telegram"] == "sent":
                assert telegram["is_active"]
                break
        assert int(event["id"]) > int(first["id"])
        servers.check(session_id, servers.code_of(session_id))
        assert next(stream)["data"]["state"] == "used"
        assert next(stream, None) is None, "the stream of a used session ends"


def test_a_live_stream_needs_our_token(servers: Servers) -> None:
    assert servers.http.get(f"{servers.live}/live/nonsense").status_code == 403
    with servers.http.stream("GET", servers.live_url("0" * 26)) as answer:
        assert next(events(answer))["data"] == {"state": "expired"}


def test_a_returning_user_gets_the_code_at_once(servers: Servers) -> None:
    phone = new_phone()
    session_id, person = met(servers, phone)
    person.does("contact")
    person.hears(servers.code_of(session_id))
    servers.check(session_id, servers.code_of(session_id))
    again = servers.create(phone, "telegram")
    assert again["sent_to"] == "telegram"
    assert again["channels"][0]["is_active"]
    person.hears(servers.code_of(again["session_id"]))
    person.does("start", payload=payload(again["channels"][0]))
    person.hears("here already")
    assert len([text for text in person.heard() if servers.code_of(again["session_id"]) in text]) == 1


def test_a_known_user_who_opens_the_link_gets_the_code_unasked(servers: Servers) -> None:
    phone = new_phone()
    session_id, person = met(servers, phone)
    person.does("contact")
    person.hears(servers.code_of(session_id))
    servers.check(session_id, servers.code_of(session_id))
    again = servers.create(phone, send=False)
    person.does("start", payload=payload(again["channels"][0]))
    person.hears(servers.code_of(again["session_id"]))


@pytest.mark.parametrize(
    "contact", [{"phone_number": "79522999999", "user_id": 5}, {"user_id": None}, {"forwarded": True}]
)
def test_a_contact_that_is_not_the_senders_own_proves_nothing(servers: Servers, contact: dict[str, Any]) -> None:
    session_id, person = met(servers, new_phone())
    person.does("contact", **contact)
    person.hears("somebody else’s contact")
    assert not is_active(servers, session_id)
    person.does("contact")
    becomes(servers, session_id, active=True)


def test_another_number_than_the_sessions_is_explained(servers: Servers) -> None:
    created = servers.create(new_phone(), "telegram")
    person = servers.person(new_phone())
    person.does("start", payload=payload(created["channels"][0]))
    person.does("contact")
    person.hears("But the login on the site is for")
    assert not is_active(servers, created["session_id"])


def test_a_link_that_was_changed_or_is_over_is_explained(servers: Servers) -> None:
    created = servers.create(new_phone(), "telegram")
    person = servers.person(new_phone())
    link = payload(created["channels"][0])
    person.does("start", payload=link[:-1] + ("A" if link[-1] != "A" else "B"))
    person.hears("This link has expired")
    servers.check(created["session_id"], servers.code_of(created["session_id"]))
    person.does("start", payload=link)
    person.hears("This link has expired", times=2)


def test_start_alone_connects_for_later(servers: Servers) -> None:
    phone = new_phone()
    person = servers.person(phone, "ru")
    person.does("start")
    person.hears("Нажмите кнопку")
    person.does("contact")
    person.hears("Чат подключён")
    created = servers.create(phone, "telegram")
    assert (created["sent_to"], created["channels"][0]["is_active"]) == ("telegram", True)
    person.hears(servers.code_of(created["session_id"]))
    person.does("start")
    person.hears("С возвращением")


def test_stop_blocking_and_their_ends_flip_is_active(servers: Servers) -> None:
    session_id, person = met(servers, new_phone())
    person.does("contact")
    becomes(servers, session_id, active=True)
    for leave, come_back in ((("text", {"text": "/stop"}), "start"), (("block", {}), "unblock")):
        person.does(leave[0], **leave[1])
        becomes(servers, session_id, active=False)
        person.does(come_back)
        becomes(servers, session_id, active=True)


def test_whatever_is_written_is_answered_with_help(servers: Servers) -> None:
    person = servers.person(new_phone())
    person.does("start")
    person.does("text", text="/help")
    person.does("text", text="what is this?")
    person.hears("I never ask for a code", times=2)


def test_a_malformed_update_holds_up_nobody(servers: Servers) -> None:
    update = f"{servers.sandbox}/api/bots/{SANDBOX_BOT}/update"
    chat = {"id": 5, "type": "private"}
    ann = {"id": 5, "is_bot": False, "first_name": "Ann"}
    group = {"id": -5, "type": "group", "title": "g"}
    raw: Any
    for raw in (
        {},
        {"message": "text"},
        {"message": {"message_id": "x"}},
        {"message": {"message_id": 1, "date": 0, "chat": group, "text": "/start"}},
        {"message": {"message_id": 1, "date": 0, "chat": chat, "text": "/start"}},
        {"message": {"message_id": 1, "date": 0, "chat": chat, "contact": {"phone_number": "", "first_name": ""}}},
        {"my_chat_member": {"chat": chat}},
        {"callback_query": {"id": "1"}},
        {"callback_query": {"id": "\ud800", "from": ann, "chat_instance": "1", "data": "x"}},
        {"from_the_future": {"a": [1, 2, 3]}},
        None,
        [],
        "update",
        {"update_id": True},
        {"update_id": -5},
        {"update_id": "x"},
        {"update_id": None, "message": {}},
    ):
        assert servers.http.post(update, content=json.dumps(raw)).status_code == 200
    session_id, person = met(servers, new_phone())
    person.does("contact")
    becomes(servers, session_id, active=True)
    assert servers.health("bot") == 200
    assert "from_the_future" not in servers.log("bot")  # nor anything else that people wrote
    assert "defect" not in servers.log("bot")


@pytest.mark.parametrize(
    "fault",
    [
        {"method": "sendMessage", "status": 429, "retry_after": 1, "times": 2},
        {"method": "sendMessage", "status": 502, "times": 3},
        {"method": "sendMessage", "drop": True, "times": 2},
        {"method": "getUpdates", "status": 500, "times": 2},
        {"method": "getUpdates", "status": 429, "retry_after": 1, "times": 1},
        {"method": "*", "drop": True, "times": 4},
    ],
)
def test_a_bot_api_in_trouble_only_delays(servers: Servers, fault: dict[str, Any]) -> None:
    phone = new_phone()
    created = servers.create(phone, "telegram")
    person = servers.person(phone)
    with servers.fault(**fault):
        person.does("start", payload=payload(created["channels"][0]))
        person.hears("asks who is logging in")
        person.does("contact")
        code = servers.code_of(created["session_id"])
        person.hears(code)
    assert len([text for text in person.heard() if code in text]) == 1


def test_a_user_who_blocks_the_bot_before_the_code_is_noticed(servers: Servers) -> None:
    phone = new_phone()
    session_id, person = met(servers, phone)
    person.does("contact")
    person.hears(servers.code_of(session_id))
    servers.check(session_id, servers.code_of(session_id))
    with servers.fault(method="getUpdates", drop=True, times=3):
        person.does("block")
        again = servers.create(phone, "telegram")["session_id"]
        becomes(servers, again, active=False)


def test_the_bot_waits_for_a_bot_api_that_is_away_and_ends_quickly(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with Servers(tmp_path_factory.mktemp("alone")) as alone:
        assert alone.stop("bot") < 5
        alone.stop("sandbox")
        alone.start("bot", wait=False)
        until(lambda: alone.health("bot") == 503, "the bot says that the Bot API is away")
        alone.start("sandbox")
        alone.wait("bot")
        session_id, person = met(alone, new_phone())
        with alone.http.stream("GET", alone.live_url(session_id)) as answer:
            next(events(answer))
            person.does("contact")
            person.hears(alone.code_of(session_id))
            for name in NAMES:
                assert alone.stop(name) < 5, name
    assert not re.search("Traceback|defect", alone.log("bot") + alone.log("web"))


def test_a_stream_that_nothing_happens_on_is_kept_alive(tmp_path: Path) -> None:
    with Servers(tmp_path, LIVE_HEARTBEAT_SECONDS="0.2") as quiet:
        session_id = quiet.create(new_phone(), send=False)["session_id"]
        began = time.monotonic()
        with quiet.http.stream("GET", quiet.live_url(session_id)) as answer:
            lines = answer.iter_lines()
            assert "retry: 1000" in [next(lines) for _ in range(3)]
            while next(lines) != ": still here":
                assert time.monotonic() - began < 5
