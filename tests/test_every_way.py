"""The same login, whoever does the work and however it is asked for: our own store, a kod.mobi account, the
legacy calls of either version, and these through an account."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.servers import PUBLIC, SECRET, Servers, hosted_by, payload, until
from tests.test_api import refused
from tests.world import new_phone


@dataclass
class Client:
    """A program written for kod.mobi: a base URL, two keys, and the calls it knows."""

    servers: Servers
    legacy: str = ""

    def create(self, phone: str, channel: str) -> tuple[str, list[dict[str, Any]]]:
        if self.legacy:
            data = self._legacy("message/create", phone=phone[1:], type=channel)
            return data["session_id"], data["client_channels"]
        body = self._post("create", {"to": phone, "type": channel}).json()
        assert body["sent_to"] == channel
        return body["session_id"], body["channels"]

    def send(self, session_id: str, channel: str) -> dict[str, Any]:
        if self.legacy:
            sent: dict[str, Any] = self._legacy("message/send", session_id=session_id, type=channel)[
                "client_channel"
            ]
        else:
            sent = self._post("send", {"session_id": session_id, "type": channel}).json()["channel"]
        return sent

    def channel(self, session_id: str, channel: str) -> dict[str, Any]:
        if self.legacy:
            found: dict[str, Any] = self._legacy("channel/check", session_id=session_id, type=channel)
            return found
        every = self.servers.http.get(
            f"{self.servers.web}/session/channels", params={"session_id": session_id}, headers=PUBLIC
        )
        return next(one for one in every.json() if one["type"] == channel)

    def check(self, session_id: str, code: str) -> httpx.Response:
        if self.legacy:
            return self._get("message/check", PUBLIC, session_id=session_id, code=code)
        return self._post("check", {"session_id": session_id, "code": code})

    def verify(self, token: str) -> httpx.Response:
        if self.legacy:
            return self._get("message/verify", SECRET, verify_token=token)
        return self._post("verify", {"verify_token": token}, SECRET)

    def read(self, answer: httpx.Response) -> dict[str, Any]:
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()["data"] if self.legacy else answer.json()
        return body

    def _post(self, verb: str, body: dict[str, Any], headers: dict[str, str] = PUBLIC) -> httpx.Response:
        return self.servers.http.post(f"{self.servers.web}/session/{verb}", json=body, headers=headers)

    def _get(self, call: str, headers: dict[str, str], **query: str) -> httpx.Response:
        return self.servers.http.get(f"{self.servers.web}/api/{self.legacy}/{call}", params=query, headers=headers)

    def _legacy(self, call: str, **query: str) -> Any:
        return self.read(self._get(call, PUBLIC, **query))


@pytest.fixture(scope="module")
def hosted(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with hosted_by(servers, tmp_path_factory.mktemp("every-way")) as running:
        yield running


@pytest.fixture(params=["local", "hosted", "legacy v1", "legacy v2", "hosted legacy v2"])
def client(request: pytest.FixtureRequest, servers: Servers) -> Client:
    way: str = request.param
    where: Servers = request.getfixturevalue("hosted") if "hosted" in way else servers
    return Client(where, legacy=way[-2:] if "legacy" in way else "")


def test_a_login_by_sms(client: Client) -> None:
    phone = new_phone()
    session_id, channels = client.create(phone, "sms")
    assert {"telegram", "sms"} <= {channel["type"] for channel in channels}
    [letter] = until(lambda: client.servers.letters(phone), "the code arrives")
    wrong = client.check(
        session_id, f"{(int(letter['code']) + 1) % 10 ** len(letter['code']):0{len(letter['code'])}}"
    )
    refused(wrong, 422, "ERROR_MESSAGE_WRONG_CODE")
    checked = client.read(client.check(session_id, letter["code"]))
    assert checked["is_test"] is False
    refused(client.check(session_id, letter["code"]), 410, "ERROR_SESSION_EXPIRED")
    verified = client.read(client.verify(checked["verify_token"]))
    assert verified["phone"] == phone
    refused(client.verify(checked["verify_token"]), 410, "ERROR_SESSION_EXPIRED")


def test_a_login_by_a_telegram_never_used_before(client: Client) -> None:
    phone = new_phone()
    session_id, channels = client.create(phone, "telegram")
    telegram = next(channel for channel in channels if channel["type"] == "telegram")
    assert (telegram["is_active"], telegram["timeout"]) == (False, 60)
    assert client.send(session_id, "telegram")["is_active"] is False, "asking again is how clients look"
    person = client.servers.person(phone)
    person.does("start", payload=payload(telegram))
    person.hears("asks who is logging in")
    person.does("contact")
    until(lambda: client.channel(session_id, "telegram")["is_active"], "the client sees the activation")

    def code() -> str | None:
        said = re.search(r"\b(\d{4}|\d{6})\b", person.heard()[-1])
        return said[1] if said else None

    checked = client.read(client.check(session_id, until(code, "the code is in the chat")))
    assert client.read(client.verify(checked["verify_token"]))["phone"] == phone
