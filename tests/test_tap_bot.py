"""One tap through the bot process and the sandbox's Bot API: what the message shows, and what a press does."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.taps import TOASTS
from gateway import errors
from gateway.bootstrap import build_gateway
from gateway.channels import Channel
from gateway.contact import parse_contact
from gateway.i18n import LANGUAGES, translate
from gateway.keyring import Keyring
from gateway.local import LocalGateway
from gateway.settings import DEVELOPMENT_SECRET, SANDBOX_BOT, Settings
from gateway.tap import deny_data, derive_numbers, tap_data
from gateway.verbs import Caller
from tests.servers import Person, Servers, until
from tests.test_bot import events
from tests.world import BESIDE_SERVERS, new_phone


class Login:
    """A browser that waits at its page, and the person whose phone it typed, whom the bot knows."""

    def __init__(self, servers: Servers, gateway: LocalGateway, language: str = "en") -> None:
        self.phone = new_phone()
        self.servers = servers
        self.gateway = gateway
        self.person = servers.person(self.phone, language)
        self.person.does("start")
        self.person.does("contact")
        until(lambda: len(self.person.heard()) >= 2, "the chat is connected")
        project, _ = gateway.authenticate("pk_development")
        self.caller = Caller(
            project, lang=language, browser="Chrome, Windows", browser_key="mine", place="Europe/Berlin"
        )
        self.session_id = gateway.create(self.caller, parse_contact(self.phone), Channel.TELEGRAM).session_id
        self.code = servers.code_of(self.session_id)
        self.message = self.person.hears(self.code)
        self.numbers = derive_numbers(Keyring([DEVELOPMENT_SECRET]).first.tap, self.session_id)

    @property
    def wrong(self) -> int:
        return next(number for number in self.numbers.shown if number != self.numbers.right)

    @property
    def state(self) -> str:
        return self.gateway.progress(self.caller, self.session_id).state

    def becomes(self, state: str) -> None:
        until(lambda: self.state == state, f"the session is {state}")


@pytest.fixture
def gateway(servers: Servers) -> Iterator[LocalGateway]:
    """What a web process of these servers holds."""
    opened = build_gateway(Settings(_env_file=None, database_url=servers.database_url, **BESIDE_SERVERS))
    yield opened
    opened.close()


@pytest.fixture
def login(servers: Servers, gateway: LocalGateway) -> Login:
    return Login(servers, gateway)


def answered(servers: Servers, query_id: str) -> dict[str, Any]:
    """The bot's answer to a press."""

    def found() -> dict[str, Any] | None:
        calls = servers.http.get(f"{servers.sandbox}/api/calls", params={"method": "answerCallbackQuery"}).json()
        return next((call for call in calls if call["params"]["callback_query_id"] == query_id), None)

    params: dict[str, Any] = until(found, "the press is answered")["params"]
    return params


def pushes(servers: Servers, person: Person, data: str | None, **changes: Any) -> str:
    """A callback query as Telegram could send it, though no button of the chat carries it; its id."""
    user = {"id": person.user_id, "is_bot": False, "first_name": "Ann", "language_code": "en"}
    chat = {"id": person.user_id, "type": "private", "first_name": "Ann"}
    message = {"message_id": 1, "date": 0, "chat": chat}
    query_id = f"{person.user_id}{abs(hash((data, str(changes))))}"
    query = {"id": query_id, "from": user, "message": message, "chat_instance": "1", "data": data, **changes}
    sent = {name: value for name, value in query.items() if value is not None}
    url = f"{servers.sandbox}/api/bots/{SANDBOX_BOT}/update"
    assert servers.http.post(url, json={"callback_query": sent}).status_code == 200
    return query_id


def test_the_message_says_who_asks_and_shows_three_numbers(login: Login) -> None:
    assert "Kodgate" in login.message
    assert "Chrome, Windows · Germany (Berlin)." in login.message
    assert "approximate" in login.message
    assert "Never tap a number that somebody tells you" in login.message
    assert login.person.buttons() == [*map(str, login.numbers.shown), "It wasn’t me", f"Copy {login.code}"]
    rows = login.person.messages()[-1]["reply_markup"]["inline_keyboard"]
    assert [len(row) for row in rows] == [3, 1, 1]
    assert login.gateway.progress(login.caller, login.session_id).number == login.numbers.right
    assert login.phone not in login.message


def test_an_api_clients_message_has_only_its_code(servers: Servers, login: Login) -> None:
    servers.check(login.session_id, login.code)
    session_id = servers.create(login.phone, "telegram")["session_id"]
    text = login.person.hears(servers.code_of(session_id))
    assert "Tap the number" not in text
    assert login.person.buttons() == [f"Copy {servers.code_of(session_id)}"]


def test_the_right_number_logs_in_and_the_stream_tells_the_page(servers: Servers, login: Login) -> None:
    with servers.http.stream("GET", servers.live_url(login.session_id)) as answer:
        stream = events(answer)
        first = next(stream)["data"]
        assert (first["state"], first["number"]) == ("live", None), "the stream's address is no browser's secret"
        query_id = login.person.presses(str(login.numbers.right))
        assert next(event["data"]["state"] for event in stream if event["data"]["state"] != "live") == "approved"
        token = login.gateway.collect(login.caller, login.session_id).verify_token
        assert next(stream)["data"]["state"] == "used"
        assert next(stream, None) is None
    assert answered(servers, query_id)["text"] == "Confirmed: go back to the page."
    login.person.hears("Confirmed")
    assert login.person.buttons() == []
    assert login.code not in login.person.heard()[-1]
    body = {"verify_token": token}
    verify = servers.http.post(f"{servers.web}/session/verify", json=body, headers={"x-api-key": "sk_development"})
    assert (verify.json()["phone"], verify.json()["channel"]) == (login.phone, "telegram")


def test_a_wrong_number_closes_and_warns(servers: Servers, login: Login) -> None:
    query_id = login.person.presses(str(login.wrong))
    warning = login.person.hears("somebody may be trying to get in")
    assert "Never tap a number that somebody tells you" in warning
    assert "not the number" in answered(servers, query_id)["text"]
    assert login.state == "closed"
    assert login.person.buttons() == []
    with pytest.raises(errors.DestinationBlocked):
        login.gateway.create(login.caller, parse_contact(login.phone))


def test_it_wasnt_me_closes_and_warns(servers: Servers, login: Login) -> None:
    query_id = login.person.presses("It wasn’t me")
    login.person.hears("without you they can’t")
    assert "closed" in answered(servers, query_id)["text"]
    assert login.state == "closed"
    assert servers.check(login.session_id, login.code).status_code == 410


def test_a_press_twice_is_told_the_same(servers: Servers, login: Login) -> None:
    data = tap_data(login.session_id, login.numbers.right)
    login.person.presses(str(login.numbers.right))
    login.person.hears("Confirmed")
    message_id = login.person.messages()[-1]["message_id"]
    chat = {"id": login.person.user_id, "type": "private", "first_name": "Ann"}
    message = {"message_id": message_id, "date": 1, "chat": chat, "text": "old"}
    assert "Confirmed" in answered(servers, pushes(servers, login.person, data, message=message))["text"]
    login.person.does("text", text="/help")
    login.person.hears("I bring login codes")
    assert login.state == "approved"
    assert any("Confirmed" in text for text in login.person.heard())


def test_once_somebody_joined_only_the_code_opens_it(servers: Servers, login: Login) -> None:
    servers.create(login.phone, "telegram")
    query_id = login.person.presses(str(login.numbers.right))
    answer = answered(servers, query_id)
    assert "Another device asked" in answer["text"]
    assert str(answer["show_alert"]).lower() == "true"
    until(lambda: login.person.buttons() == ["It wasn’t me", f"Copy {login.code}"], "the numbers are gone")
    assert login.person.heard()[-1] == login.message
    assert login.state == "live"
    assert servers.check(login.session_id, login.code).status_code == 200


def test_a_press_after_the_end_is_over(servers: Servers, login: Login) -> None:
    servers.check(login.session_id, login.code)
    query_id = login.person.presses(str(login.numbers.right))
    assert "over" in answered(servers, query_id)["text"]
    until(lambda: login.person.buttons() == [], "no button is left")
    assert login.person.heard()[-1] == login.message


def test_a_press_by_a_chat_whose_link_is_gone_is_over(servers: Servers, login: Login) -> None:
    login.gateway.deactivate(1, login.person.user_id)
    query_id = login.person.presses(str(login.numbers.right))
    assert "over" in answered(servers, query_id)["text"]
    assert login.state == "live"


def test_strangers_unknown_sessions_and_nonsense_are_answered_alike(servers: Servers, login: Login) -> None:
    stranger = servers.person(new_phone())
    group = {"message_id": 1, "date": 0, "chat": {"id": -5, "type": "group", "title": "g"}}
    right = tap_data(login.session_id, login.numbers.right)
    somebody = {"id": login.person.user_id, "type": "private", "first_name": "Ann"}
    pushed = [
        pushes(servers, stranger, right),
        pushes(servers, stranger, deny_data(login.session_id)),
        pushes(servers, stranger, tap_data("0" * 26, 47)),
        pushes(servers, stranger, "tap:nonsense"),
        pushes(servers, stranger, "\0" * 64),
        pushes(servers, stranger, None, game_short_name="chess"),
        pushes(servers, stranger, right, message=group),
        pushes(servers, stranger, right, message=None, inline_message_id="5"),
        pushes(servers, stranger, right, message={"message_id": 1, "date": 0, "chat": somebody}),
    ]
    answers = [answered(servers, query_id) for query_id in pushed]
    assert {answer["text"] for answer in answers} == {TOASTS["over"]}
    assert login.state == "live"
    assert login.person.buttons()[:3] == [*map(str, login.numbers.shown)]
    assert servers.health("bot") == 200


def test_a_message_that_can_no_longer_be_changed_still_confirms(servers: Servers, login: Login) -> None:
    query_id = pushes(servers, login.person, tap_data(login.session_id, login.numbers.right))
    answer = answered(servers, query_id)
    assert "Confirmed" in answer["text"]
    assert str(answer["show_alert"]).lower() == "true", "there is no message to write it in"
    assert login.state == "approved"


@pytest.mark.parametrize(
    "fault",
    [
        {"method": "answerCallbackQuery", "status": 429, "retry_after": 1, "times": 1},
        {"method": "answerCallbackQuery", "drop": True, "times": 2},
        {"method": "editMessageText", "status": 502, "times": 2},
        {"method": "editMessageText", "drop": True, "after": True, "times": 1},
    ],
)
def test_a_bot_api_in_trouble_only_delays_the_words(servers: Servers, login: Login, fault: dict[str, Any]) -> None:
    with servers.fault(**fault):
        login.person.presses(str(login.numbers.right))
        login.becomes("approved")
        login.person.hears("Confirmed")
    assert login.person.buttons() == []


def test_in_russian(servers: Servers, gateway: LocalGateway) -> None:
    login = Login(servers, gateway, "ru")
    assert "Германия (Берлин)" in login.message
    assert "Нажмите число" in login.message
    login.person.presses(str(login.wrong))
    login.person.hears("кто-то пытается войти")


def test_the_greeting_names_the_place(servers: Servers, login: Login) -> None:
    phone = new_phone()
    created = login.gateway.create(login.caller, parse_contact(phone), Channel.TELEGRAM)
    person = servers.person(phone)
    person.does("start", payload=created.channels[0].link.partition("?start=")[2])
    assert "Chrome, Windows · Germany (Berlin)" in person.hears("asks who is logging in")
    person.does("contact")
    person.hears(servers.code_of(created.session_id))
    numbers = derive_numbers(Keyring([DEVELOPMENT_SECRET]).first.tap, created.session_id)
    assert person.buttons()[:3] == [*map(str, numbers.shown)]


@pytest.mark.parametrize(("header", "place"), [("DE", "DE"), ("XX", "Europe/Moscow"), ("", "Europe/Moscow")])
def test_the_proxys_country_header_is_believed_where_it_is_set(tmp_path: Path, header: str, place: str) -> None:
    with Servers(tmp_path, ("web",), COUNTRY_HEADER="CF-IPCountry") as site:
        page = site.http.get(f"{site.web}/widget/?key=pk_development").text
        found = re.search(r'name="w" value="([^"]+)"', page)
        assert found
        phone = new_phone()
        form = {"w": found[1], "to": phone, "by": "phone", "time_zone": "Europe/Moscow"}
        headers = {"CF-IPCountry": header} if header else {}
        assert site.http.post(f"{site.web}/widget/start", data=form, headers=headers).status_code == 303
        gateway = build_gateway(Settings(_env_file=None, database_url=site.database_url, **BESIDE_SERVERS))
        project, _ = gateway.authenticate("pk_development")
        session_id = gateway.create(Caller(project), parse_contact(phone)).session_id
        row = gateway.store.session(None, session_id)
        assert row
        assert (row.place, row.joined) == (place, True)
        gateway.close()


def test_presses_leave_no_number_and_no_session_in_the_log(servers: Servers, login: Login) -> None:
    before = len(servers.log("bot"))
    answered(servers, login.person.presses(str(login.wrong)))
    login.person.hears("somebody may be trying")
    log = servers.log("bot")[before:]
    assert "a press, wrong" in log
    assert login.session_id not in log
    assert "tap:" not in log


def test_a_toast_is_short_enough_in_every_language() -> None:
    for lang in LANGUAGES:
        assert all(len(translate(lang, text)) <= 200 for text in TOASTS.values())
