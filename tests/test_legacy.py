"""The Message API, as published and as its clients call it."""

from typing import Any

import httpx
import msgspec
import pytest

from gateway import errors
from gateway.aes256 import code_key, encode_code
from gateway.channels import Channel
from gateway.codes import DIGITS, derive_code
from gateway.keyring import Keyring
from gateway.settings import DEVELOPMENT_SECRET
from tests.servers import PUBLIC, SECRET, Servers, until
from tests.test_api import CHANNEL, ULID, refused
from tests.world import World, new_phone
from web import legacy


def call(servers: Servers, path: str, headers: dict[str, str] = PUBLIC, **query: Any) -> Any:
    answer = servers.http.get(f"{servers.web}/api/{path}", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"success", "data"}
    assert body["success"] is True
    return body["data"]


def code_of(session_id: str) -> str:
    return derive_code(Keyring([DEVELOPMENT_SECRET]).first.code, session_id, DIGITS, 4)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_whole_login_by_legacy_calls_only(servers: Servers, version: str) -> None:
    phone = new_phone()
    created = call(servers, f"{version}/message/create", phone=phone[1:], type="sms")
    assert set(created) == {"session_id", "sent_to", "client_channels"}
    assert ULID.fullmatch(created["session_id"])
    assert created["sent_to"] == "sms"
    assert all(set(channel) == CHANNEL for channel in created["client_channels"])
    [letter] = until(lambda: servers.letters(phone), "the code arrives")
    assert letter["code"] == code_of(created["session_id"])
    sent = call(servers, f"{version}/message/send", session_id=created["session_id"], type="whatsapp")
    assert set(sent) == {"session_id", "client_channel"}
    assert set(sent["client_channel"]) == CHANNEL
    channel = call(servers, f"{version}/channel/check", session_id=created["session_id"], type="sms")
    assert set(channel) == CHANNEL
    assert channel["timeout"] > 0
    checked = call(servers, f"{version}/message/check", session_id=created["session_id"], code=letter["code"])
    assert set(checked) == {"verify_token", "is_test"}
    verified = call(servers, f"{version}/message/verify", SECRET, verify_token=checked["verify_token"])
    assert verified == {"phone": phone}


def test_the_alias_of_channel_check(servers: Servers) -> None:
    created = call(servers, "v1/message/create", phone=new_phone()[1:], send="0")
    channel = call(servers, "v1/message/check-channel", session_id=created["session_id"], type="telegram")
    assert channel["type"] == "telegram"


@pytest.mark.parametrize("prefix", ["+7", "7", "8", "8 (", " 7"])
def test_a_phone_comes_in_many_ways(servers: Servers, prefix: str) -> None:
    rest = new_phone()[2:]
    typed = prefix + (f"{rest[:3]}) {rest[3:]}" if "(" in prefix else rest)
    created = call(servers, "v2/message/create", phone=typed, send="false")
    same = servers.create(f"+7{rest}", send=False)
    assert created["session_id"] == same["session_id"]


@pytest.mark.parametrize("form", ["json", "form", "query"])
def test_post_is_taken_with_its_parameters_anywhere(servers: Servers, form: str) -> None:
    fields = {"phone": new_phone()[1:], "send": "false"}
    url = f"{servers.web}/api/v2/message/create"
    answer: httpx.Response
    if form == "json":
        answer = servers.http.post(url, json={**fields, "phone": int(fields["phone"])}, headers=PUBLIC)
    elif form == "form":
        answer = servers.http.post(url, data=fields, headers=PUBLIC)
    else:
        answer = servers.http.post(url, params=fields, headers=PUBLIC)
    assert answer.json()["data"]["sent_to"] == "none"


def test_what_is_sent_again_goes_the_way_it_went_last(world: World) -> None:
    """Once the channel has rested, too, which is when it may be asked for again."""
    again = {"session_id": world.create(new_phone(), channel=Channel.SMS).session_id}
    world.clock.pass_seconds(61)
    assert legacy.send(world.gateway, world.caller(), again)["data"]["client_channel"].type == "sms"
    world.gateway.send(world.caller(), again["session_id"], Channel.VIBER)
    world.clock.pass_seconds(61)
    assert legacy.send(world.gateway, world.caller(), again)["data"]["client_channel"].type == "viber"
    world.gateway.send(world.caller(), again["session_id"], Channel.SMS)
    with pytest.raises(errors.TooSoon):
        legacy.send(world.gateway, world.caller(), again)
    never = {"session_id": world.create(new_phone(), send=False).session_id}
    assert legacy.send(world.gateway, world.caller(), never)["data"]["client_channel"].type == "whatsapp"


def test_where_no_channel_is_left_it_is_said_so(world: World) -> None:
    again = {"session_id": world.create(new_phone(), channel=Channel.SMS).session_id}
    project = world.gateway.projects.by_id(1)
    assert project
    none_left = msgspec.structs.replace(project.settings, channels=(Channel.EMAIL,))
    world.gateway.store.change_project(1, none_left)
    world.gateway.projects.forget()
    with pytest.raises(errors.NoChannels):
        legacy.send(world.gateway, world.caller(), again)


def test_the_default_is_whatsapp(servers: Servers) -> None:
    assert call(servers, "v2/message/create", phone=new_phone()[1:])["sent_to"] == "whatsapp"


def test_a_code_that_lost_its_zeros_on_the_way_is_the_code(servers: Servers) -> None:
    while True:
        created = call(servers, "v2/message/create", phone=new_phone()[1:], send="0")
        if (code := code_of(created["session_id"])).startswith("0"):
            break
    assert call(servers, "v2/message/check", session_id=created["session_id"], code=int(code))["verify_token"]


def test_a_callers_own_code_travels_and_is_accepted(servers: Servers) -> None:
    phone = new_phone()
    created = call(servers, "v2/message/create", SECRET, phone=phone[1:], type="sms", code="5091")
    [letter] = until(lambda: servers.letters(phone), "the code arrives")
    assert letter["code"] == "5091"
    assert call(servers, "v2/message/check", session_id=created["session_id"], code="5091")["verify_token"]
    phone = new_phone()
    encrypted = encode_code("6182", code_key("sk_development"))
    created = call(servers, "v2/message/create", SECRET, phone=phone[1:], type="sms", code=encrypted)
    [letter] = until(lambda: servers.letters(phone), "the code arrives")
    assert letter["code"] == "6182"


@pytest.mark.parametrize(
    ("path", "query", "status", "sys_message"),
    [
        ("message/create", {}, 400, "ERROR_BAD_REQUEST"),
        ("message/create", {"phone": "12"}, 400, "ERROR_BAD_REQUEST"),
        ("message/create", {"phone": "79522966236", "type": "pigeon"}, 400, "ERROR_BAD_REQUEST"),
        ("message/create", {"phone": "79522966236", "code": "1234"}, 401, "ERROR_ACCESS_DENIED"),
        ("message/create", {"phone": "79522966236", "code": "aes256:0"}, 401, "ERROR_ACCESS_DENIED"),
        ("message/send", {"session_id": "x"}, 410, "ERROR_SESSION_EXPIRED"),
        ("message/check", {"session_id": "x"}, 400, "ERROR_BAD_REQUEST"),
        ("message/check", {"session_id": "x", "code": "1234"}, 410, "ERROR_SESSION_EXPIRED"),
        ("channel/check", {"session_id": "x"}, 400, "ERROR_BAD_REQUEST"),
        ("message/verify", {"verify_token": "x"}, 401, "ERROR_ACCESS_DENIED"),
        ("message/nothing", {}, 404, "ERROR_NOT_FOUND"),
    ],
)
def test_refusals_have_the_contracts_form(
    servers: Servers, path: str, query: dict[str, str], status: int, sys_message: str
) -> None:
    answer = servers.http.get(f"{servers.web}/api/v2/{path}", params=query, headers=PUBLIC)
    refused(answer, status, sys_message)
