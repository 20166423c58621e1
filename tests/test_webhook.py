"""Updates by webhook: only Telegram's are taken, each by one process and once, and none is lost on the way."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.hooks import SECRET_HEADER
from gateway.bootstrap import build_gateway
from gateway.doctor import Finding
from gateway.doctor import _webhook as webhook_finding
from gateway.keyring import Keyring
from gateway.settings import DEVELOPMENT_SECRET, Settings
from tests.balancer import Balancer
from tests.servers import Person, Servers, payload, until
from tests.test_tap_bot import Login
from tests.world import BESIDE_SERVERS, new_phone

KEYRING = Keyring([DEVELOPMENT_SECRET])
TELEGRAM = {SECRET_HEADER: KEYRING.webhook_secret(1)}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Two bot processes behind one address, which is where Telegram sends updates."""
    with Balancer() as balancer:
        settings = {"TELEGRAM_MODE": "webhook", "LIVE_URL": balancer.url, "UPDATE_SECONDS": "2"}
        with Servers(tmp_path_factory.mktemp("webhook"), **settings) as servers:
            balancer.upstreams = [servers.live, servers.beside("bot2", "bot")]
            servers.start("bot2")
            yield servers


def calls(servers: Servers, method: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = servers.http.get(f"{servers.sandbox}/api/calls").json()
    return [call for call in found if call["method"] == method or not method]


def webhook(servers: Servers) -> dict[str, Any]:
    """What Telegram knows of the bot's webhook."""
    info: dict[str, Any] = servers.http.get(f"{servers.sandbox}/bot1:sandbox/getWebhookInfo").json()["result"]
    return info


def met(servers: Servers) -> tuple[str, Person]:
    """Somebody who asked for a code by Telegram, opened the deep link and pressed Start."""
    phone = new_phone()
    created = servers.create(phone, "telegram")
    person = servers.person(phone)
    person.does("start", payload=payload(created["channels"][0]))
    return created["session_id"], person


def message(update_id: int, chat_id: int, text: str = "/help") -> dict[str, Any]:
    person = {"id": chat_id, "is_bot": False, "first_name": "Ann", "language_code": "en"}
    chat = {"id": chat_id, "type": "private"}
    said = {"message_id": update_id, "date": int(time.time()), "chat": chat, "from": person, "text": text}
    return {"update_id": update_id, "message": said}


def test_a_login_goes_through_both_processes(fleet: Servers) -> None:
    assert webhook(fleet)["url"] == f"{fleet.environment['LIVE_URL']}/telegram/1", "no token in it"
    assert webhook(fleet)["allowed_updates"] == ["message", "my_chat_member", "callback_query"]
    for _ in range(4):
        session_id, person = met(fleet)
        person.hears("asks who is logging in")
        person.does("contact")
        person.hears("Here comes the code")
        person.hears(fleet.code_of(session_id))
        person.does("text", text="/stop")
        until(lambda session_id=session_id: not fleet.channel(session_id)["is_active"], "it ends")  # type: ignore[misc]
    assert calls(fleet, "getUpdates") == []


def test_doctor_says_where_updates_go(fleet: Servers) -> None:
    here, elsewhere = fleet.environment["LIVE_URL"], "https://elsewhere.example"

    def found(live_url: str, **more: object) -> Finding:
        settings = Settings(_env_file=None, telegram_api_url=fleet.sandbox, live_url=live_url)
        return webhook_finding(settings, 1, {**webhook(fleet), **more})

    assert found(here).well
    assert f"updates go to {here}/telegram/1, not to {elsewhere}/telegram/1" in found(elsewhere).text
    assert "updates go to nowhere" in found(here, url="").text
    failing = found(here, pending_update_count=7, last_error_message="Connection refused")
    assert not failing.well
    assert failing.text.startswith("7 updates wait")
    assert failing.text.endswith("Connection refused")


def test_a_press_is_answered_at_once_and_its_message_rewritten_by_the_answer_to_telegram(fleet: Servers) -> None:
    gateway = build_gateway(Settings(_env_file=None, database_url=fleet.database_url, **BESIDE_SERVERS))
    try:
        login = Login(fleet, gateway)
        login.person.presses(str(login.numbers.right))
        login.becomes("approved")
        until(lambda: login.code not in login.person.heard()[-1], "the code's message is rewritten")
    finally:
        gateway.close()


@pytest.mark.parametrize(
    "given", [{}, {SECRET_HEADER: ""}, {SECRET_HEADER: "wrong"}, {SECRET_HEADER: "ключ".encode()}]
)
def test_who_does_not_know_the_secret_is_refused_before_anything_is_read(fleet: Servers, given: Any) -> None:
    before = len(calls(fleet))
    trusted = {"x-forwarded-for": "149.154.167.220", **given}  # one of Telegram's own addresses
    for body in (b"{}", b"x" * 1_000_000):
        answer = httpx.post(f"{fleet.live}/telegram/1", content=body, headers=trusted)
        assert answer.status_code == 401
    assert len(calls(fleet)) == before


def test_a_secret_is_its_bots_and_an_unknown_bot_is_not_found(fleet: Servers) -> None:
    assert httpx.post(f"{fleet.live}/telegram/2", json={}, headers=TELEGRAM).status_code == 401
    second = {SECRET_HEADER: KEYRING.webhook_secret(2)}
    assert httpx.post(f"{fleet.live}/telegram/2", json={}, headers=second).status_code == 404
    assert httpx.post(f"{fleet.live}/telegram/1:sandbox", json={}, headers=TELEGRAM).status_code == 404
    assert httpx.get(f"{fleet.live}/telegram/1", headers=TELEGRAM).status_code == 405


def test_the_secrets_of_every_key_are_taken_while_keys_are_rotated() -> None:
    old, new, both = Keyring(["old"]), Keyring(["new"]), Keyring(["new", "old"])
    assert both.webhook_secret(1) == new.webhook_secret(1)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", new.webhook_secret(1))
    for known in (old, new):
        assert both.is_webhook_secret(1, known.webhook_secret(1))
        assert not both.is_webhook_secret(2, known.webhook_secret(1))
    assert not new.is_webhook_secret(1, old.webhook_secret(1))
    assert not both.is_webhook_secret(1, "\udcff")


def test_a_wrong_secret_is_in_the_audit_log(fleet: Servers) -> None:
    httpx.post(f"{fleet.live}/telegram/1", json={}, headers={SECRET_HEADER: "guess"})

    def noted() -> bool:
        command = [sys.executable, "-m", "gateway.cli", "audit", "--action", "bot.update"]
        shown = subprocess.run(
            command, cwd=fleet.folder, env=fleet.environment, capture_output=True, text=True, check=True
        )
        return "WrongSecret" in shown.stdout and "guess" not in shown.stdout

    until(noted, "the refusal is noted")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b'{"update_id": "x"}',
        b'{"update_id": 4000000001, "message": {"date": 1}}',
        b"\xff",
    ],
)
def test_what_will_never_be_an_update_is_not_sent_again(fleet: Servers, body: bytes) -> None:
    assert httpx.post(f"{fleet.live}/telegram/1", content=body, headers=TELEGRAM).status_code == 200


def test_an_update_that_is_too_large_is_refused(fleet: Servers) -> None:
    answer = httpx.post(f"{fleet.live}/telegram/1", content=b" " * 300_000, headers=TELEGRAM)
    assert answer.status_code == 413


def test_an_update_sent_forty_times_at_once_to_two_processes_is_handled_once(fleet: Servers) -> None:
    person = fleet.person(new_phone())
    person.does("start")
    person.hears("Press the button")
    update = message(3_000_000_001, person.user_id, "/start")

    def send(number: int) -> int:
        url = (fleet.live, fleet._urls["bot2"])[number % 2]
        return httpx.post(f"{url}/telegram/1", json=update, headers=TELEGRAM, timeout=30).status_code

    with ThreadPoolExecutor(40) as pool:
        statuses = list(pool.map(send, range(40)))
    assert 200 in statuses
    assert set(statuses) <= {200, 503}, "503: it is being handled, come again"
    assert send(0) == send(1) == 200
    again = httpx.post(f"{fleet.live}/telegram/1", json=update, headers=TELEGRAM)
    assert again.content == b"", "nothing is said again"
    assert len(person.heard()) <= 2, "the answer to one of them went to this test instead of to Telegram"


def test_what_a_dying_process_had_in_hand_is_sent_again_to_another(fleet: Servers) -> None:
    with fleet.fault(method="sendMessage", delay=30, times=2):
        session_id, person = met(fleet)
        until(lambda: waiting(fleet) == 1, "a process is at it")
        for name in ("bot", "bot2"):
            fleet.kill(name)
    start_both(fleet)
    person.hears("asks who is logging in")
    person.does("contact")
    person.hears(fleet.code_of(session_id))
    assert person.heard()[-1].count(fleet.code_of(session_id)) <= 1


def start_both(fleet: Servers) -> None:
    for name in ("bot", "bot2"):
        fleet.start(name, wait=False)
    for name in ("bot", "bot2"):
        fleet.wait(name)


def waiting(servers: Servers) -> int:
    """How many faults are still to be met, of two."""
    return sum(fault["times"] for fault in servers.http.get(f"{servers.sandbox}/api/faults").json())


def test_a_process_that_ends_in_order_gives_back_what_it_is_at(fleet: Servers) -> None:
    with fleet.fault(method="sendMessage", delay=30, times=1):
        _, person = met(fleet)
        until(lambda: waiting(fleet) == 0, "a process is at it")
        for name in ("bot", "bot2"):
            fleet.stop(name)
    start_both(fleet)
    person.hears("asks who is logging in")


def test_nothing_is_lost_between_polling_and_webhook(tmp_path: Path) -> None:
    """Each time the bot comes back in the other mode, it hears what was said while it was away, once."""
    with Servers(tmp_path) as servers:
        person = servers.person(new_phone())
        person.does("start")
        person.hears("Press the button")
        for round_, mode in enumerate(("webhook", "polling", "webhook", "polling"), 1):
            servers.stop("bot")
            person.does("text", text="/help")
            servers.environment["TELEGRAM_MODE"] = mode
            servers.start("bot")
            person.hears("/stop", 2 * round_ - 1)
            person.does("text", text="and again")
            person.hears("/stop", 2 * round_)
        assert len([text for text in person.heard() if "/stop" in text]) == 8
