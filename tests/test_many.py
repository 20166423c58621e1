"""Many processes on one store: one polls, all deliver, whoever holds a stream is told, and any of them may die."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.providers.double_telegram_gateway import Account, telegram_gateway_double
from tests.servers import Person, Servers, payload, until
from tests.test_bot import events
from tests.world import new_phone


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Two bot processes, one of which polls."""
    settings = {"POLL_LEASE_SECONDS": "4", "LEASE_SECONDS": "3", "PROVIDER_TIMEOUT_SECONDS": "2"}
    with Servers(tmp_path_factory.mktemp("many"), **settings) as servers:
        servers.beside("bot2", "bot")
        servers.start("bot2")
        yield servers


def conflicts(servers: Servers) -> int:
    return sum(servers.log(name).count("Conflict") for name in ("bot", "bot2"))


def met(servers: Servers) -> tuple[str, Person]:
    phone = new_phone()
    created = servers.create(phone, "telegram")
    person = servers.person(phone)
    person.does("start", payload=payload(created["channels"][0]))
    return created["session_id"], person


def activated(servers: Servers) -> None:
    session_id, person = met(servers)
    person.hears("asks who is logging in")
    person.does("contact")
    person.hears(servers.code_of(session_id))
    assert len([text for text in person.heard() if servers.code_of(session_id) in text]) == 1


def poller(servers: Servers) -> tuple[str, str]:
    """The process that polls, and the other."""
    names = ("bot", "bot2")
    one, other = (said_that_it_polls(servers, name) for name in names)
    return names if one > other else names[::-1]


def said_that_it_polls(servers: Servers, name: str) -> str:
    """When last, as its log has it."""
    lines = [line for line in servers.log(name).splitlines() if "polls for bot 1" in line]
    return lines[-1].partition(f" {name[:3]} ")[0] if lines else ""


def test_one_of_two_polls_and_logins_go_through(fleet: Servers) -> None:
    for _ in range(3):
        activated(fleet)
    assert conflicts(fleet) == 0
    assert fleet.health("bot") == fleet.health("bot2") == 200


def test_a_message_is_sent_by_one_of_the_processes(fleet: Servers) -> None:
    phones = [new_phone() for _ in range(30)]
    for phone in phones:
        fleet.create(phone)
    assert [len(until(lambda phone=phone: fleet.letters(phone), "it arrives")) for phone in phones] == [1] * 30  # type: ignore[misc]
    time.sleep(1)
    assert [len(fleet.letters(phone)) for phone in phones] == [1] * 30


def test_a_stream_at_either_process_is_told_of_what_happens_at_the_other(fleet: Servers) -> None:
    for live in (fleet.live, fleet._urls["bot2"]):
        session_id, person = met(fleet)
        url = fleet.live_url(session_id).replace(fleet.live, live)
        with httpx.stream("GET", url, timeout=30) as answer:
            told = events(answer)
            next(told)
            person.does("contact")
            assert any(event["data"]["deliveries"].get("telegram") == "sent" for event in told)


def test_where_the_polling_process_ends_in_order_the_other_polls_at_once(fleet: Servers) -> None:
    first, second = poller(fleet)
    session_id, person = met(fleet)
    person.hears("asks who is logging in")
    fleet.stop(first)
    person.does("contact")
    person.hears(fleet.code_of(session_id))
    fleet.start(first)
    assert poller(fleet) == (second, first), "who comes back waits for its turn"


def test_where_the_polling_process_dies_the_other_takes_over_and_knows_whose_login_it_is(fleet: Servers) -> None:
    first, second = poller(fleet)
    session_id, person = met(fleet)
    person.hears("asks who is logging in")
    fleet.kill(first)
    person.does("contact")
    person.hears(fleet.code_of(session_id))
    person.hears("Thank you, it’s you")
    fleet.start(first)
    assert poller(fleet) == (second, first)


def test_a_worker_delivers_and_takes_no_updates(tmp_path: Path) -> None:
    with Servers(tmp_path) as servers:
        phone = new_phone()
        created = servers.create(phone, "telegram")
        person = servers.person(phone)
        person.does("start", payload=payload(created["channels"][0]))
        person.does("contact")
        person.hears(servers.code_of(created["session_id"]))
        code = servers.code_of(created["session_id"])
        assert servers.check(created["session_id"], code).status_code == 200
        address = servers.beside("worker", "bot.worker")
        servers.start("worker")
        assert httpx.get(f"{address}/healthz").json() == {"status": "ok", "process": "worker"}
        servers.stop("bot")
        url = servers.live_url(created["session_id"]).replace(servers.live, address)
        assert httpx.get(url).status_code == 404
        servers.create(phone)
        until(lambda: servers.letters(phone), "an SMS goes out")
        second = servers.create(phone, "telegram")["session_id"]
        person.hears(servers.code_of(second))
        person.does("text", text="/help")
        time.sleep(0.5)
        assert "/start connects" not in person.heard()[-1]


def test_the_end_of_a_session_is_told_once_by_two_processes(tmp_path: Path) -> None:
    account = Account()
    with telegram_gateway_double("AAGtoken", account.answer) as double:
        url = f"telegram-gateway://AAGtoken?api={double.url}"
        with Servers(tmp_path, TELEGRAM_URL=url) as servers:
            servers.beside("bot2", "bot")
            servers.start("bot2")
            for number in range(1, 4):
                session_id = servers.create(new_phone(), "telegram")["session_id"]
                until(lambda number=number: f"request-{number}" in account.codes, "the code is sent")  # type: ignore[misc]
                assert servers.check(session_id, servers.code_of(session_id)).status_code == 200
                until(lambda number=number: len(account.confirmed) >= number, "it is told")  # type: ignore[misc]
            time.sleep(1)
        assert double.wrong == []
    assert account.confirmed == ["request-1", "request-2", "request-3"]


def test_a_worker_has_nothing_to_do_for_a_hosted_site(tmp_path: Path) -> None:
    hosted: dict[str, Any] = {
        "KODMOBI_URL": "http://127.0.0.1:9",
        "KODMOBI_PUBLIC_KEY": "pk",
        "KODMOBI_SECRET_KEY": "sk",
    }
    servers = Servers(tmp_path, (), **hosted)
    with servers:
        servers.beside("worker", "bot.worker")
        with pytest.raises(AssertionError, match="a worker has nothing to do"):
            servers.start("worker")
