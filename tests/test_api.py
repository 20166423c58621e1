"""The contract over HTTP, against the running processes."""

import json
import re
import socket
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import errors
from tests.servers import PUBLIC, SECRET, Servers
from tests.world import new_phone
from web import fields

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
CHANNEL = {"name", "type", "is_active", "timeout", "image_url", "link", "description"}
NOBODY = "01K8N1VMPN0EE389K72YW0CBM2"


def post(servers: Servers, verb: str, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    return servers.http.post(f"{servers.web}/session/{verb}", json=body, headers={**PUBLIC, **(headers or {})})


def get(servers: Servers, verb: str, **query: str) -> httpx.Response:
    return servers.http.get(f"{servers.web}/session/{verb}", params=query, headers=PUBLIC)


def refused(answer: httpx.Response, status: int, sys_message: str) -> dict[str, Any]:
    """Check the contract's error form; its params."""
    body = answer.json()
    assert (answer.status_code, body["sys_message"]) == (status, sys_message), body
    assert set(body) == {"success", "status", "error", "sys_message", "error_params"}
    assert body["success"] is False
    assert body["status"] == status
    assert body["error"]
    assert answer.headers["x-request-id"]
    params: dict[str, Any] = body["error_params"]
    return params


# What the seeds publish


def test_create_answers_as_published(servers: Servers) -> None:
    answer = post(servers, "create", {"to": new_phone(), "type": "telegram", "send": True})
    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert set(body) == {"session_id", "session_expired_at", "sent_to", "channels"}
    assert ULID.fullmatch(body["session_id"])
    assert DATETIME.fullmatch(body["session_expired_at"])
    assert body["sent_to"] == "telegram"
    assert [channel["type"] for channel in body["channels"]] == ["telegram", "whatsapp", "viber", "sms"]
    for channel in body["channels"]:
        assert set(channel) == CHANNEL
        assert isinstance(channel["is_active"], bool)
        assert 0 <= channel["timeout"] <= 60
        assert channel["image_url"].startswith("http")
        assert servers.http.get(channel["image_url"]).headers["content-type"] == "image/svg+xml"
    telegram = body["channels"][0]
    assert (telegram["is_active"], telegram["timeout"]) == (False, 60)
    assert re.search(r"/kodgate_sandbox_bot\?start=[A-Za-z0-9_-]{1,64}$", telegram["link"])


def test_send_answers_as_published(servers: Servers) -> None:
    created = servers.create(new_phone(), send=False)
    assert created["sent_to"] == "none"
    body = post(servers, "send", {"session_id": created["session_id"], "type": "sms"}).json()
    assert set(body) == {"session_id", "session_expired_at", "channel"}
    assert set(body["channel"]) == CHANNEL
    assert body["channel"]["timeout"] == 60


def test_channels_are_a_bare_array(servers: Servers) -> None:
    every = get(servers, "channels").json()
    assert [channel["type"] for channel in every] == ["telegram", "whatsapp", "viber", "sms", "email"]
    assert get(servers, "channels", session_id="").json() == every
    assert not every[0]["is_active"]
    assert "start=" not in every[0]["link"]
    created = servers.create(new_phone(), "sms")
    [*_, sms] = get(servers, "channels", session_id=created["session_id"]).json()
    assert sms["timeout"] > 50
    refused(get(servers, "channels", session_id=NOBODY), 410, "ERROR_SESSION_EXPIRED")


def test_check_verify_and_settings(servers: Servers) -> None:
    phone = new_phone()
    session_id = servers.create(phone)["session_id"]
    checked = servers.check(session_id, servers.code_of(session_id)).json()
    assert set(checked) == {"verify_token", "is_test"}
    assert checked["is_test"] is False
    token = {"verify_token": checked["verify_token"]}
    refused(post(servers, "verify", token), 401, "ERROR_ACCESS_DENIED")
    verified = post(servers, "verify", token, SECRET).json()
    assert set(verified) == {"to", "phone", "channel", "session_id", "verified_at"}
    assert (verified["to"], verified["phone"], verified["channel"]) == (phone, phone, "sms")
    assert DATETIME.fullmatch(verified["verified_at"])
    refused(post(servers, "verify", token, SECRET), 410, "ERROR_SESSION_EXPIRED")
    assert get(servers, "settings").json() == {
        "language": "en",
        "project": {"name": "Kodgate"},
        "code": {"length": 6, "digits": True, "letters": False},
        "challenge": {"enabled": False, "api_key": None, "provider": None},
    }


@pytest.mark.parametrize("prefix", ["/v2", "/v2.1"])
def test_the_sdks_prefixes_reach_the_same_verbs(servers: Servers, prefix: str) -> None:
    created = servers.http.post(f"{servers.web}{prefix}/create", json={"to": new_phone()}, headers=PUBLIC)
    assert ULID.fullmatch(created.json()["session_id"])
    assert servers.http.get(f"{servers.web}{prefix}/settings", headers=PUBLIC).status_code == 200


# Bodies


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/x-www-form-urlencoded", "text/plain", ""]
)
def test_json_is_read_whatever_its_content_type(servers: Servers, content_type: str) -> None:
    body = json.dumps({"to": new_phone(), "type": "sms", "send": False})
    headers = {**PUBLIC, "content-type": content_type} if content_type else PUBLIC
    answer = servers.http.post(f"{servers.web}/session/create", content=body, headers=headers)
    assert answer.status_code == 200, answer.text


def test_a_form_is_read_as_a_form(servers: Servers) -> None:
    form = {"to": new_phone(), "type": "sms", "send": "false"}
    answer = servers.http.post(f"{servers.web}/session/create", data=form, headers=PUBLIC)
    assert answer.json()["sent_to"] == "none"
    shouted = {**PUBLIC, "content-type": "Application/X-WWW-Form-Urlencoded"}
    answer = servers.http.post(f"{servers.web}/session/create", data=form, headers=shouted)
    assert answer.json()["sent_to"] == "none"


def test_a_code_may_come_as_a_number(servers: Servers) -> None:
    session_id = servers.create(new_phone())["session_id"]
    body = {"session_id": session_id, "code": int(servers.code_of(session_id))}
    assert post(servers, "check", body).status_code == 200


@pytest.mark.parametrize(
    ("verb", "body", "field"),
    [
        ("create", {}, "to"),
        ("create", {"to": ""}, "to"),
        ("create", {"to": None}, "to"),
        ("create", {"to": 79522966236}, "to"),
        ("create", {"to": ["+79522966236"]}, "to"),
        ("create", {"to": "+7"}, "to"),
        ("create", {"to": "not a phone"}, "to"),
        ("create", {"to": "a@b"}, "to"),
        ("create", {"to": "+79522966236", "type": "pigeon"}, "type"),
        ("create", {"to": "+79522966236", "type": 7}, "type"),
        ("create", {"to": "+79522966236", "type": ["sms"]}, "type"),
        ("create", {"to": "+79522966236", "send": "perhaps"}, "send"),
        ("create", {"to": "+79522966236", "send": []}, "send"),
        ("send", {"type": "sms"}, "session_id"),
        ("send", {"session_id": NOBODY}, "type"),
        ("send", {"session_id": 5, "type": "sms"}, "session_id"),
        ("check", {"session_id": NOBODY}, "code"),
        ("check", {"code": "123456"}, "session_id"),
        ("check", {"session_id": NOBODY, "code": "12"}, "code"),
        ("check", {"session_id": NOBODY, "code": {"a": 1}}, "code"),
        ("check", {"session_id": NOBODY, "code": -1}, "code"),
        ("check", {"session_id": NOBODY, "code": True}, "code"),
        ("create", [], "body"),
        ("create", "text", "body"),
        ("create", None, "body"),
    ],
)
def test_a_wrong_field_is_named_in_the_callers_language(
    servers: Servers, verb: str, body: Any, field: str
) -> None:
    params = refused(post(servers, verb, body), 400, "ERROR_BAD_REQUEST")
    assert list(params["fields"]) == [field]
    in_russian = refused(post(servers, verb, body, {"accept-language": "ru-RU"}), 400, "ERROR_BAD_REQUEST")
    assert re.search("[а-я]", in_russian["fields"][field])


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"to":', b"[" * 5000, b'{"to": "\\ud800"}'])
def test_what_is_not_json_is_refused(servers: Servers, body: bytes) -> None:
    answer = servers.http.post(f"{servers.web}/session/create", content=body, headers=PUBLIC)
    assert set(refused(answer, 400, "ERROR_BAD_REQUEST")["fields"]) <= {"body", "to"}


def test_an_oversized_body_is_refused_with_and_without_its_length(servers: Servers) -> None:
    body = json.dumps({"to": new_phone(), "more": "x" * 17_000}).encode()
    answer = servers.http.post(f"{servers.web}/session/create", content=body, headers=PUBLIC)
    assert list(refused(answer, 400, "ERROR_BAD_REQUEST")["fields"]) == ["body"]
    chunks = iter([body[:9000], body[9000:]])
    answer = servers.http.post(f"{servers.web}/session/create", content=chunks, headers=PUBLIC)
    assert list(refused(answer, 400, "ERROR_BAD_REQUEST")["fields"]) == ["body"]


def test_the_lang_parameter_wins(servers: Servers) -> None:
    body = {"to": new_phone(), "type": "email", "lang": "RU-ru"}
    answer = post(servers, "create", body, {"accept-language": "en"})
    refused(answer, 409, "ERROR_USER_NOT_AUTHORIZE_ON_CHANNEL")
    assert re.search("[а-я]", answer.json()["error"])


# Refusals


@pytest.mark.parametrize("key", [None, "", "pk_unknown", "sk_development2", "x" * 5000])
def test_a_key_is_needed(servers: Servers, key: str | None) -> None:
    headers = {} if key is None else {"x-api-key": key}
    answer = servers.http.get(f"{servers.web}/session/channels", headers=headers)
    refused(answer, 401, "ERROR_ACCESS_DENIED")


@pytest.mark.parametrize(("to", "type"), [("ann@example.com", "sms"), ("phone", "email")])
def test_a_channel_that_can_not_reach_is_refused(servers: Servers, to: str, type: str) -> None:
    body = {"to": new_phone() if to == "phone" else to, "type": type}
    refused(post(servers, "create", body), 409, "ERROR_USER_NOT_AUTHORIZE_ON_CHANNEL")


def test_too_soon_says_when(servers: Servers) -> None:
    session_id = servers.create(new_phone(), "viber")["session_id"]
    answer = post(servers, "send", {"session_id": session_id, "type": "viber"})
    timeout = refused(answer, 429, "ERROR_MESSAGE_ATTEMPT")["timeout"]
    assert 0 < timeout <= 60
    assert answer.headers["retry-after"] == str(timeout)


def test_wrong_codes_run_out(servers: Servers) -> None:
    phone = new_phone()
    session_id = servers.create(phone)["session_id"]
    wrong = f"{(int(servers.code_of(session_id)) + 1) % 1_000_000:06d}"
    counts = [
        refused(servers.check(session_id, wrong), 422, "ERROR_MESSAGE_WRONG_CODE")["count"] for _ in range(5)
    ]
    assert counts == [4, 3, 2, 1, 0]
    refused(servers.check(session_id, servers.code_of(session_id)), 410, "ERROR_SESSION_EXPIRED")
    answer = post(servers, "create", {"to": phone})
    assert 0 < refused(answer, 423, "ERROR_PHONE_BLOCKED")["timeout"] <= 30
    assert answer.headers["retry-after"]


@pytest.mark.parametrize("session_id", [NOBODY, "x", "0" * 26, "'; DROP TABLE session; --", "ё" * 26])
def test_an_unknown_session_is_expired(servers: Servers, session_id: str) -> None:
    refused(post(servers, "check", {"session_id": session_id, "code": "123456"}), 410, "ERROR_SESSION_EXPIRED")
    refused(post(servers, "send", {"session_id": session_id, "type": "sms"}), 410, "ERROR_SESSION_EXPIRED")


@pytest.mark.parametrize("token", ["x", "a.b.c", "", None, 5])
def test_a_token_that_is_not_ours_verifies_nothing(servers: Servers, token: Any) -> None:
    answer = post(servers, "verify", {"verify_token": token}, SECRET)
    expected = (410, "ERROR_SESSION_EXPIRED") if isinstance(token, str) and token else (400, "ERROR_BAD_REQUEST")
    refused(answer, *expected)


def test_unknown_paths_and_methods_keep_the_error_form(servers: Servers) -> None:
    refused(servers.http.get(f"{servers.web}/session/nothing", headers=PUBLIC), 404, "ERROR_NOT_FOUND")
    answer = servers.http.get(f"{servers.web}/session/create", headers=PUBLIC)
    refused(answer, 405, "ERROR_METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "POST"
    assert servers.http.head(f"{servers.web}/session/channels", headers=PUBLIC).status_code == 405
    page = servers.http.get(f"{servers.web}/nothing")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")


# Other origins


def test_a_page_elsewhere_may_call_with_the_public_key_only(servers: Servers) -> None:
    origin = {"origin": "https://shop.example.com"}
    url = f"{servers.web}/session/settings"
    preflight = servers.http.options(url, headers={**origin, "access-control-request-headers": "x-api-key"})
    assert preflight.status_code == 204
    assert "x-api-key" in preflight.headers["access-control-allow-headers"]
    allowed = servers.http.get(url, headers={**PUBLIC, **origin})
    assert allowed.headers["access-control-allow-origin"] == origin["origin"]
    assert "origin" in allowed.headers["vary"]
    secret = servers.http.get(url, headers={**SECRET, **origin})
    assert secret.status_code == 200
    assert "access-control-allow-origin" not in secret.headers


@pytest.mark.parametrize("headers", [PUBLIC, {}], ids=["the public key", "no key"])
def test_a_page_can_read_why_its_key_is_refused(servers: Servers, headers: dict[str, str]) -> None:
    """A browser takes an answer that names its origin once, and none that names it twice."""
    asked = {**headers, "origin": "https://shop.example.com"}
    answer = servers.http.post(f"{servers.web}/session/verify", json={"verify_token": "x"}, headers=asked)
    refused(answer, 401, "ERROR_ACCESS_DENIED")
    assert answer.headers.get_list("access-control-allow-origin") == [asked["origin"]]


# Whatever comes

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
field_names = st.sampled_from(["to", "type", "send", "session_id", "code", "lang", "verify_token", "phone"])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    verb=st.sampled_from(["create", "send", "check", "verify"]),
    fields=st.dictionaries(field_names, anything, max_size=5),
    lang=st.sampled_from(["en", "ru", "xx"]),
)
def test_whatever_comes_only_contract_errors_go(
    servers: Servers, verb: str, fields: dict[str, Any], lang: str
) -> None:
    body = json.dumps(fields, allow_nan=True).encode()
    headers = {**SECRET, "accept-language": lang}
    answer = servers.http.post(f"{servers.web}/session/{verb}", content=body, headers=headers)
    assert answer.status_code in (200, 400, 409, 410, 422, 423, 429)
    if answer.status_code != 200:
        refused(answer, answer.status_code, answer.json()["sys_message"])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300))
def test_whatever_bytes_come_only_contract_errors_go(servers: Servers, body: bytes) -> None:
    answer = servers.http.post(f"{servers.web}/session/create", content=body, headers=PUBLIC)
    assert answer.status_code in (200, 400)


def test_a_broken_request_line_ends_nobody_elses(servers: Servers) -> None:
    host, port = servers.web.removeprefix("http://").split(":")
    for noise in (b"\x00\x01\x02\r\n\r\n", b"GET /session/channels\r\n\r\n", b"POST /session/create HTTP/1.1\r\n"):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(noise)
    assert servers.health("web") == 200


@pytest.mark.parametrize("path", ["/widget/?key=pk_development&state=", "/session/channels?lang=", "/docs?"])
def test_a_query_string_may_hold_letters_that_no_client_escaped(servers: Servers, path: str) -> None:
    host, port = servers.web.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=15) as connection:
        connection.sendall(
            f"GET {path}привет HTTP/1.1\r\nHost: localhost\r\nx-api-key: pk_development\r\n\r\n".encode()
        )
        assert connection.recv(12) == b"HTTP/1.1 200"


def test_a_query_strings_letters_are_read_as_utf_8() -> None:
    assert fields.query_fields({"QUERY_STRING": "to=привет&lang=ru".encode().decode("latin-1")})["to"] == "привет"


def test_the_logs_hold_no_code_key_or_phone(servers: Servers) -> None:
    phone = new_phone()
    session_id = servers.create(phone, "sms")["session_id"]
    letters = servers.letters
    from tests.servers import until

    until(lambda: letters(phone), "the letter arrives")
    post(servers, "create", {"to": phone + "x"})
    servers.check(session_id, "000000")
    code = servers.code_of(session_id)
    for name in ("web", "bot", "sandbox"):
        log = servers.log(name)
        for secret in (phone, phone[1:], code, "pk_development", "sk_development"):
            assert secret not in log
        assert not re.search(r"\+?\d{10,}", re.sub(r"message \d+|update \d+", "", log))
    assert re.search(r"[0-9a-f]{8}-[0-9a-f]+ /session/\w+: ERROR_\w+", servers.log("web"))


@pytest.mark.parametrize("session_id", ["\0", "01K8N1VMPN0EE389K72YW0CBM\0", "ё" * 26, "a\nb"])
def test_what_no_session_id_can_be_is_asked_of_no_store(session_id: str) -> None:
    with pytest.raises(errors.SessionExpired):
        fields.session_id({"session_id": session_id})
