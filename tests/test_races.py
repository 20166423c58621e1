"""Races over HTTP, against two web workers: the store decides, whichever process asks."""

import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.postgres import PostgresServer
from tests.servers import PUBLIC, SECRET, Servers
from tests.world import new_phone

NO_TLS = ssl.create_default_context()  # one for all: reading the world's certificates takes 50 ms a client


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def racing(
    request: pytest.FixtureRequest,
    servers: Servers,
    postgres: Callable[[], PostgresServer],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Servers]:
    """Two web workers on each store."""
    if request.param == "sqlite":
        yield servers
        return
    url = postgres().new_database()
    with Servers(tmp_path_factory.mktemp("racing"), WEB_WORKERS="2", DATABASE_URL=url) as running:
        yield running


def together(count: int, act: Callable[[httpx.Client, int], httpx.Response]) -> list[httpx.Response]:
    """`count` requests, each on a connection of its own, sent at the same moment."""
    barrier = threading.Barrier(count)

    def at_once(number: int) -> httpx.Response:
        with httpx.Client(timeout=30, verify=NO_TLS) as client:
            barrier.wait()
            return act(client, number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(at_once, range(count)))


def check(servers: Servers, session_id: str, code: str) -> Callable[[httpx.Client, int], httpx.Response]:
    body = {"session_id": session_id, "code": code}
    return lambda client, _: client.post(f"{servers.web}/session/check", json=body, headers=PUBLIC)


def test_a_right_code_is_accepted_once_in_each_of_twenty_rounds(racing: Servers) -> None:
    for _ in range(20):
        session_id = racing.create(new_phone(), send=False)["session_id"]
        answers = together(50, check(racing, session_id, racing.code_of(session_id)))
        assert Counter(answer.status_code for answer in answers) == {200: 1, 410: 49}


def test_of_two_hundred_wrong_codes_five_are_compared(racing: Servers) -> None:
    session_id = racing.create(new_phone(), send=False)["session_id"]
    wrong = f"{(int(racing.code_of(session_id)) + 1) % 1_000_000:06d}"
    answers = together(200, check(racing, session_id, wrong))
    assert Counter(answer.status_code for answer in answers) == {422: 5, 410: 195}


def test_one_session_is_created_and_one_message_sent(racing: Servers) -> None:
    body = {"to": new_phone(), "type": "whatsapp"}
    answers = together(
        50, lambda client, _: client.post(f"{racing.web}/session/create", json=body, headers=PUBLIC)
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["session_id"] for answer in answers}) == 1
    session_id = answers[0].json()["session_id"]
    assert racing.channel(session_id, "whatsapp")["timeout"] > 0


def test_a_token_verifies_once(racing: Servers) -> None:
    session_id = racing.create(new_phone(), send=False)["session_id"]
    token = racing.check(session_id, racing.code_of(session_id)).json()
    answers = together(
        20, lambda client, _: client.post(f"{racing.web}/session/verify", json=token, headers=SECRET)
    )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 410: 19}
