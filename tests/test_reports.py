"""Providers' reports, from a real POST to the bot process to what the visitor's page is told."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.signing import SIGNATURE_HEADER, sign
from tests.receiver import Receiver
from tests.servers import Servers, until
from tests.world import new_phone

KEY = "a shared secret"


@pytest.fixture(scope="module")
def sender() -> Iterator[Receiver]:
    """The operator's own SMS sender, which names each message it takes."""
    with Receiver(
        body=lambda received: {"reference": f"sms-{json.loads(received.body)['message_id']}"}
    ) as running:
        yield running


@pytest.fixture(scope="module")
def servers(sender: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    url = f"webhook+{sender.url}/send#secret=a%20shared%20secret"
    with Servers(tmp_path_factory.mktemp("reports"), SMS_URL=url) as running:
        yield running


def report(servers: Servers, body: Any, key: str = KEY, path: str = "sms/1", age: int = 0) -> httpx.Response:
    raw = json.dumps(body).encode()
    headers = {SIGNATURE_HEADER: sign(raw, key.encode(), int(time.time()) - age)}
    return servers.http.post(f"{servers.live}/reports/{path}", content=raw, headers=headers)


def sent(servers: Servers, sender: Receiver) -> tuple[str, str]:
    """A session whose code was sent by SMS, and the sender's name for that message."""
    phone = new_phone()
    session_id = servers.create(phone)["session_id"]

    def taken() -> str | None:
        bodies = [json.loads(received.body) for received in sender.received]
        return next((f"sms-{body['message_id']}" for body in bodies if body["to"] == phone), None)

    reference = until(taken, "the message is taken")
    until(lambda: delivery(servers, session_id, "sms") == "sent", "it is written down")
    return session_id, reference


def delivery(servers: Servers, session_id: str, channel: str) -> str | None:
    with servers.http.stream("GET", servers.live_url(session_id)) as stream:
        event = next(line for line in stream.iter_lines() if line.startswith("data:"))
    state: str | None = json.loads(event.removeprefix("data:"))["deliveries"].get(channel)
    return state


def test_a_delivery_is_told(servers: Servers, sender: Receiver) -> None:
    session_id, reference = sent(servers, sender)
    answer = report(servers, {"reference": reference, "status": "delivered"})
    assert (answer.status_code, answer.json()) == (200, {"taken": 1})
    assert delivery(servers, session_id, "sms") == "delivered"
    assert report(servers, {"reference": reference, "status": "failed"}).status_code == 200
    assert delivery(servers, session_id, "sms") == "delivered", "the last word"


def test_a_failure_sends_the_code_another_way(servers: Servers, sender: Receiver) -> None:
    session_id, reference = sent(servers, sender)
    report(servers, [{"reference": reference, "status": "failed", "error": "the phone is off"}])
    until(lambda: delivery(servers, session_id, "whatsapp") == "sent", "WhatsApp takes over")
    assert delivery(servers, session_id, "sms") == "failed"


@pytest.mark.parametrize("forged", [{"key": "another"}, {"age": 3600}])
def test_a_forged_report_changes_nothing(servers: Servers, sender: Receiver, forged: dict[str, Any]) -> None:
    session_id, reference = sent(servers, sender)
    answer = report(servers, {"reference": reference, "status": "failed"}, **forged)
    assert answer.status_code == 403
    assert delivery(servers, session_id, "sms") == "sent"


@pytest.mark.parametrize("path", ["sms/2", "sms/0", "sms/x", "pigeon/1", "telegram/1", "email/2", "sms/99999"])
def test_where_no_provider_reports_there_is_nothing(servers: Servers, path: str) -> None:
    assert report(servers, {}, path=path).status_code == 404
    assert servers.http.get(f"{servers.live}/reports/{path}").status_code == 404


def test_who_has_no_greeting_greets_nobody(servers: Servers) -> None:
    assert servers.http.get(f"{servers.live}/reports/sms/1", params={"hub.challenge": "1"}).status_code == 403


def test_what_can_not_be_written_down_is_left_out_of_a_report(servers: Servers, sender: Receiver) -> None:
    session_id, reference = sent(servers, sender)
    strange = [{"reference": name, "status": "delivered"} for name in ("\0", f"{reference}\0", "line\nline")]
    failed = {"reference": reference, "status": "failed", "error": "no\0 such\n number" + "!" * 1000}
    answer = report(servers, [*strange, failed])
    assert answer.json() == {"taken": 1}
    until(lambda: delivery(servers, session_id, "sms") == "failed", "the good one is told")
