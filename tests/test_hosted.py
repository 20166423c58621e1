"""A site on a kod.mobi account: against another Kodgate over HTTP, and against an upstream that misbehaves."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ulid import ULID

from bench.limits import NO_LIMITS_HERE
from bench.processes import free_ports
from gateway import errors
from gateway.aes256 import code_key, decode_code, encode_code
from gateway.channels import Channel
from gateway.clock import to_iso
from gateway.contact import parse_contact
from gateway.errors import GatewayError, Unavailable
from gateway.hosted import HostedGateway, hosted_project
from gateway.hosted.asks import ends_at
from gateway.hosted.breaker import Breaker
from gateway.hosted.upstream import UpstreamRefusal
from gateway.settings import Settings
from gateway.verbs import Caller, Draft
from tests.leaks import METRICS_TOKEN
from tests.misbehaving import (
    SESSION_ID,
    SMS,
    TELEGRAM,
    Answer,
    Misbehaving,
    drips,
    drops,
    floods,
    hangs,
    html,
    in_turn,
    redirects,
    refuses,
    says,
)
from tests.servers import PUBLIC, SECRET, Servers, hosted_by, payload, until
from tests.test_api import refused
from tests.world import START, new_phone
from web import legacy, manual

TO = parse_contact("+79522966236")
CREATED = {
    "session_id": SESSION_ID,
    "session_expired_at": "2025-10-28T09:22:48.950Z",
    "sent_to": "telegram",
    "channels": [TELEGRAM, SMS],
}


@pytest.fixture(scope="module")
def site(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with hosted_by(servers, tmp_path_factory.mktemp("hosted"), METRICS_TOKEN=METRICS_TOKEN) as running:
        yield running


# Against another Kodgate


def test_the_session_is_the_upstreams(servers: Servers, site: Servers) -> None:
    phone = new_phone()
    there = servers.create(phone, send=False)
    here = site.create(phone, send=False)
    assert here["session_id"] == there["session_id"]
    assert here["session_expired_at"] == there["session_expired_at"]
    assert [channel["type"] for channel in here["channels"]] == [channel["type"] for channel in there["channels"]]


def test_refusals_are_the_upstreams_own(site: Servers) -> None:
    session_id = site.create(new_phone())["session_id"]
    wrong = site.check(session_id, "000000")
    refused(wrong, 422, "ERROR_MESSAGE_WRONG_CODE")
    assert wrong.json()["error_params"] == {"count": 4}
    again = site.http.post(
        f"{site.web}/session/send", json={"session_id": session_id, "type": "sms"}, headers=PUBLIC
    )
    refused(again, 429, "ERROR_MESSAGE_ATTEMPT")
    assert 50 < again.json()["error_params"]["timeout"] <= 60
    assert again.headers["retry-after"] == str(again.json()["error_params"]["timeout"])
    nobody = site.http.get(f"{site.web}/session/channels", params={"session_id": "0" * 26}, headers=PUBLIC)
    refused(nobody, 410, "ERROR_SESSION_EXPIRED")
    russian = site.http.get(
        f"{site.web}/session/channels", params={"session_id": "0" * 26, "lang": "ru"}, headers=PUBLIC
    )
    assert "сессия" in russian.json()["error"].lower()


def test_keys_other_than_the_accounts_open_nothing(site: Servers) -> None:
    for key in ("", "pk_other", "sk_developmen", "sk_developmentt"):
        refused(
            site.http.get(f"{site.web}/session/channels", headers={"x-api-key": key}), 401, "ERROR_ACCESS_DENIED"
        )


def test_a_servers_own_message_goes_by_the_upstream(site: Servers) -> None:
    phone = new_phone()
    body = {"to": phone, "channel": "sms", "code": "4242"}
    headers = {**SECRET, "idempotency-key": f"hosted {phone}"}
    first = site.http.post(f"{site.web}/manual/send", json=body, headers=headers).json()
    again = site.http.post(f"{site.web}/manual/send", json=body, headers=headers).json()
    assert again["message_id"] == first["message_id"]
    [letter] = until(lambda: site.letters(phone), "the code arrives")
    assert letter["code"] == "4242"
    address = f"{site.web}/manual/messages/{first['message_id']}"
    done = until(
        lambda: (now := site.http.get(address, headers=SECRET).json())["finished_at"] and now, "it is final"
    )
    assert (done["status"], done["to"]) == ("sent", phone)


def test_the_live_stream_tells_of_an_activation_at_the_upstream(servers: Servers, site: Servers) -> None:
    phone = new_phone()
    created = site.create(phone, "telegram")
    telegram = next(channel for channel in created["channels"] if channel["type"] == "telegram")
    person = servers.person(phone)
    with site.http.stream("GET", site.live_url(created["session_id"]), timeout=20) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        lines = stream.iter_lines()
        first = next(line for line in lines if line.startswith("data:"))
        assert '"is_active":false' in first
        assert '"telegram":"parked"' in first
        person.does("start", payload=payload(telegram))
        person.hears("asks who is logging in")
        person.does("contact")
        second = next(line for line in lines if line.startswith("data:"))
    assert '"telegram":"sent"' in second
    assert '"is_active":true' in second


def test_the_upstream_counts_visitors_and_not_the_site(tmp_path: Path) -> None:
    limits = {name: str(Settings.model_fields[name.lower()].default) for name in NO_LIMITS_HERE}
    limits |= {"LIMIT_SENDS_ADDRESS_SOFT": "2/3600", "LIMIT_SENDS_ADDRESS": "2/3600"}
    (tmp_path / "site").mkdir()
    with (
        Servers(tmp_path, ("web",), **limits, TRUSTED_PROXIES="127.0.0.1") as upstream,
        hosted_by(upstream, tmp_path / "site", TRUSTED_PROXIES="127.0.0.1") as site,
    ):

        def status(visitor: str) -> int:
            headers = {**PUBLIC, "x-forwarded-for": visitor}
            body = {"to": new_phone()}
            return site.http.post(f"{site.web}/session/create", json=body, headers=headers).status_code

        assert [status("198.51.100.1") for _ in range(3)] == [200, 200, 429]
        assert status("198.51.100.2") == 200


def test_it_serves_only_while_the_upstream_does(servers: Servers, tmp_path: Path) -> None:
    [port] = free_ports(1)
    gone = Servers(
        tmp_path,
        ("web",),
        KODMOBI_URL=f"http://127.0.0.1:{port}",
        KODMOBI_PUBLIC_KEY="pk_development",
        KODMOBI_SECRET_KEY="sk_development",
    )
    gone.start("web", wait=False)
    try:
        answer = until(lambda: gone.health("web"), "web answers", 30)
        assert answer == 503
        refused(
            gone.http.post(f"{gone.web}/session/create", json={"to": new_phone()}, headers=PUBLIC),
            503,
            "ERROR_UNAVAILABLE",
        )
        page = gone.http.get(f"{gone.web}/widget/?key=pk_development")
        assert page.status_code == 503
        assert "try again" in page.text.lower()
    finally:
        gone.stop("web")
        gone.http.close()


# Against an upstream that misbehaves


def settings_for(url: str, **more: Any) -> Settings:
    return Settings(
        _env_file=None,
        kodmobi_url=url,
        kodmobi_public_key="pk_account",
        kodmobi_secret_key="sk_account",
        **{"kodmobi_timeout_seconds": 0.5, "kodmobi_connect_seconds": 0.5, **more},
    )


@pytest.fixture
def upstream() -> Iterator[Misbehaving]:
    with Misbehaving(says({})) as running:
        yield running


@pytest.fixture
def hosted(upstream: Misbehaving) -> Iterator[HostedGateway]:
    gateway = HostedGateway(settings_for(upstream.url))
    yield gateway
    gateway.close()


def caller(gateway: HostedGateway, secret: bool = False) -> Caller:
    project = gateway.project(1)
    assert project is not None
    return Caller(project, secret, "ru")


Verb = Callable[[HostedGateway, Caller], Any]
VERBS: dict[str, tuple[Verb, Any]] = {
    "create": (lambda gateway, who: gateway.create(who, TO), CREATED),
    "send": (
        lambda gateway, who: gateway.send(who, SESSION_ID, Channel.SMS),
        {"session_id": SESSION_ID, "session_expired_at": "2025-10-28T09:22:48.950Z", "channel": SMS},
    ),
    "channels": (lambda gateway, who: gateway.channels(who, SESSION_ID), [SMS]),
    "check": (lambda gateway, who: gateway.check(who, SESSION_ID, "7032"), {"verify_token": "t"}),
    "verify": (lambda gateway, who: gateway.verify(who, "t"), {"phone": "79522966236"}),
    "settings": (lambda gateway, who: gateway.settings(who), {"language": "ru"}),
    "manual_send": (lambda gateway, who: gateway.manual_send(who, Draft(TO, Channel.SMS)), {"message_id": 1}),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "behave",
    [html(), html(502), says({"oops": 1}, 500), drops, hangs(2), floods, redirects("/elsewhere"), says(None),
     says("text"), says(7), says([[]], 404), says({"success": False}), says({"sys_message": 7}, 400)],
    ids=["html", "html 502", "500", "dropped", "slow", "huge", "redirect", "null", "text", "number",
         "strange 404", "no reason", "strange reason"],
)  # fmt: skip
def test_whatever_is_not_the_contract_is_unavailable(upstream: Misbehaving, verb: str, behave: Answer) -> None:
    gateway = HostedGateway(settings_for(upstream.url, kodmobi_timeout_seconds=0.3, kodmobi_failures=50))
    ask, _ = VERBS[verb]
    who = caller(gateway, secret=True)
    upstream.behave = behave
    with pytest.raises(Unavailable):
        ask(gateway, who)
    gateway.close()


@pytest.mark.parametrize("verb", [name for name in VERBS if name != "manual_send"])
def test_unknown_fields_are_left_out(upstream: Misbehaving, hosted: HostedGateway, verb: str) -> None:
    ask, answer = VERBS[verb]
    who = caller(hosted, secret=True)
    more = [*answer, {"type": "pigeon"}] if isinstance(answer, list) else {**answer, "new": {"deep": [1, None]}}
    upstream.behave = says(more)
    assert ask(hosted, who)


def test_what_is_missing_falls_to_the_contracts_default(upstream: Misbehaving, hosted: HostedGateway) -> None:
    who = caller(hosted)
    session_id = str(ULID())
    upstream.behave = says({"session_id": session_id, "channels": [{"type": "telegram", "timeout": "soon"}]})
    created = hosted.create(who, TO)
    assert created.sent_to == "none"
    assert created.session_expired_at == to_iso(ULID.from_str(session_id).milliseconds + 180_000)
    [channel] = created.channels
    assert (channel.name, channel.is_active, channel.timeout, channel.link) == ("Telegram", False, 0, "")


def test_requests_are_the_contracts(upstream: Misbehaving, hosted: HostedGateway) -> None:
    who = caller(hosted)
    upstream.seen.clear()
    upstream.behave = says(CREATED)
    hosted.create(who, TO, Channel.SMS, send=False)
    [(method, path, headers, body)] = upstream.seen
    assert (method, path) == ("POST", "/session/create")
    assert body == {"to": "+79522966236", "type": "sms", "send": False}
    assert headers["x-api-key"] == "pk_account"
    assert headers["accept-language"] == "ru"


@pytest.mark.parametrize("verb", VERBS)
def test_the_visitors_address_goes_with_each_request(
    upstream: Misbehaving, hosted: HostedGateway, verb: str
) -> None:
    ask, answer = VERBS[verb]
    visitor = msgspec.structs.replace(caller(hosted, secret=True), address="198.51.100.7")
    upstream.seen.clear()
    upstream.behave = says(answer)
    ask(hosted, visitor)
    ask(hosted, msgspec.structs.replace(visitor, address=""))
    told = [{name.lower(): value for name, value in headers.items()} for _, _, headers, _ in upstream.seen]
    assert [headers.get("x-forwarded-for") for headers in told] == ["198.51.100.7", None]


def test_a_code_of_the_legacy_api_keeps_its_zeros(upstream: Misbehaving, hosted: HostedGateway) -> None:
    who = caller(hosted)
    upstream.seen.clear()
    upstream.behave = says({"verify_token": "t"})
    for given in ("0032", "32", "0", "12345", "012345"):
        legacy.check(hosted, who, {"session_id": SESSION_ID, "code": given})
    assert [body["code"] for _, _, _, body in upstream.seen] == ["0032", 32, 0, 12345, "012345"]


def test_the_secret_key_goes_only_with_what_needs_it(upstream: Misbehaving, hosted: HostedGateway) -> None:
    public, secret = caller(hosted), caller(hosted, secret=True)
    with pytest.raises(errors.AccessDenied):
        hosted.verify(public, "t")
    upstream.seen.clear()
    upstream.behave = says({"email": "ann@example.com"})
    verified = hosted.verify(secret, "t")
    assert (verified.to, verified.email, verified.phone) == ("ann@example.com", "ann@example.com", None)
    assert upstream.seen[0][2]["x-api-key"] == "sk_account"


def test_a_redirect_never_gets_the_key(upstream: Misbehaving, hosted: HostedGateway) -> None:
    who = caller(hosted)
    with Misbehaving(says([])) as thief:
        upstream.behave = redirects(f"{thief.url}/session/channels")
        with pytest.raises(Unavailable):
            hosted.channels(who)
        assert thief.seen == []


# Refusals


@pytest.mark.parametrize(
    ("refusal", "kind", "params"),
    [
        (refuses(422, "ERROR_MESSAGE_WRONG_CODE", count=2), errors.WrongCode, {"count": 2}),
        (refuses(400, "ERROR_MESSAGE_WRONG_CODE"), errors.WrongCode, {"count": 0}),
        (refuses(429, "ERROR_MESSAGE_ATTEMPT", timeout=17), errors.TooSoon, {"timeout": 17}),
        (refuses(429, "ERROR_MESSAGE_ATTEMPT"), errors.TooSoon, {"timeout": 60}),
        (refuses(423, "ERROR_PHONE_BLOCKED", timeout=30), errors.DestinationBlocked, {"timeout": 30}),
        (refuses(410, "ERROR_SESSION_EXPIRED"), errors.SessionExpired, {}),
        (refuses(200, "ERROR_SESSION_EXPIRED"), errors.SessionExpired, {}),
        (refuses(401, "ERROR_ACCESS_DENIED"), errors.AccessDenied, {}),
        (refuses(409, "ERROR_PROJECT_HAS_NO_CHANNEL"), errors.NoChannel, {}),
        (refuses(400, "ERROR_BAD_REQUEST", fields={"to": "is wrong"}), errors.BadRequest, {"field": "to"}),
        (refuses(400, "ERROR_BAD_REQUEST"), errors.BadRequest, {"field": "request"}),
    ],
)
def test_the_upstreams_refusals_are_ours(
    upstream: Misbehaving, hosted: HostedGateway, refusal: Answer, kind: type[GatewayError], params: dict[str, Any]
) -> None:
    who = caller(hosted)
    upstream.behave = refusal
    with pytest.raises(kind) as raised:
        hosted.check(who, SESSION_ID, "7032")
    assert raised.value.params == params


def test_a_refusal_that_only_the_upstream_has_keeps_its_words(
    upstream: Misbehaving, hosted: HostedGateway
) -> None:
    who = caller(hosted)
    upstream.behave = refuses(402, "ERROR_WRONG_BALANCE", "Недостаточно средств, 100%", left=0)
    with pytest.raises(UpstreamRefusal) as raised:
        hosted.create(who, TO)
    refusal = raised.value
    assert (refusal.status, refusal.sys_message, refusal.params) == (402, "ERROR_WRONG_BALANCE", {"left": 0})
    assert refusal.text("ru") == "Недостаточно средств, 100%"


# Repeats and rest


def test_what_is_safe_to_repeat_is(upstream: Misbehaving, hosted: HostedGateway) -> None:
    who = caller(hosted)
    upstream.seen.clear()
    upstream.behave = in_turn(drops, html(503), says([SMS]))
    assert [channel.type for channel in hosted.channels(who)] == ["sms"]
    assert len(upstream.seen) == 3


@pytest.mark.parametrize("verb", ["create", "send", "check", "verify", "manual_send"])
def test_what_may_have_been_done_is_not_repeated(upstream: Misbehaving, hosted: HostedGateway, verb: str) -> None:
    who = caller(hosted, secret=True)
    upstream.seen.clear()
    upstream.behave = in_turn(drops, says(VERBS[verb][1]))
    with pytest.raises(Unavailable):
        VERBS[verb][0](hosted, who)
    assert len(upstream.seen) == 1


def test_what_never_got_there_is_repeated() -> None:
    """A server that listens only a moment later: connections are refused until then."""
    [port] = free_ports(1)
    gateway = HostedGateway(settings_for(f"http://127.0.0.1:{port}"))
    late = threading.Timer(0.15, lambda: servers.append(Misbehaving(says(CREATED), port).__enter__()))
    servers: list[Misbehaving] = []
    late.start()
    try:
        created = gateway.create(Caller(hosted_project(settings_for("http://127.0.0.1:1"))), TO)
    finally:
        late.join()
        servers[0].__exit__()
        gateway.close()
    assert created.session_id == SESSION_ID
    assert len(servers[0].seen) == 1


def test_an_upstream_that_is_down_is_answered_for_at_once_and_tried_again(upstream: Misbehaving) -> None:
    gateway = HostedGateway(settings_for(upstream.url, kodmobi_failures=3, kodmobi_rest_seconds=2))
    who = caller(gateway)
    upstream.behave = html(502)
    with pytest.raises(Unavailable):
        gateway.channels(who)
    seen = len(upstream.seen)
    for _ in range(100):
        with pytest.raises(Unavailable) as raised:
            gateway.create(who, TO)
        assert raised.value.params["timeout"] >= 1
    assert len(upstream.seen) == seen, "nobody asked"
    upstream.behave = says(CREATED)
    time.sleep(2.1)
    assert gateway.create(who, TO).session_id == SESSION_ID
    assert gateway.create(who, TO).session_id == SESSION_ID
    gateway.close()


def test_a_refusal_is_an_answer_and_opens_no_breaker(upstream: Misbehaving, hosted: HostedGateway) -> None:
    who = caller(hosted)
    upstream.behave = refuses(422, "ERROR_MESSAGE_WRONG_CODE", count=1)
    for _ in range(20):
        with pytest.raises(errors.WrongCode):
            hosted.check(who, SESSION_ID, "7032")


def test_the_breaker_lets_one_trial_through_at_a_time() -> None:
    now = [100.0]
    breaker = Breaker(2, 10, lambda: now[0])
    breaker.enter()
    breaker.failed("a")
    breaker.enter()
    breaker.failed("b")
    with pytest.raises(Unavailable) as raised:
        breaker.enter()
    assert raised.value.params == {"timeout": 10}
    now[0] += 10
    breaker.enter()
    with pytest.raises(Unavailable):
        breaker.enter()
    breaker.failed("still")
    with pytest.raises(Unavailable):
        breaker.enter()
    now[0] += 10
    breaker.enter()
    breaker.worked()
    breaker.enter()
    breaker.enter()


def test_the_projects_name_and_codes_are_the_upstreams(upstream: Misbehaving) -> None:
    upstream.behave = says({"project": {"name": "Shop"}, "code": {"length": 4, "digits": True, "letters": True}})
    gateway = HostedGateway(settings_for(upstream.url))
    project, secret = gateway.authenticate("pk_account")
    assert not secret
    assert (project.settings.name, project.settings.code_length, project.settings.letters) == ("Shop", 4, True)
    upstream.behave = html(500)
    assert gateway.authenticate("sk_account") == (project, True)
    gateway.close()


# Nobody but the upstream itself can open the breaker


def test_an_address_that_no_server_takes_is_no_outage(upstream: Misbehaving) -> None:
    gateway = HostedGateway(settings_for(upstream.url, kodmobi_failures=2))
    who = caller(gateway)
    for status in (400, 414, 431):
        upstream.behave = html(status)
        for _ in range(3):
            with pytest.raises(Unavailable):
                gateway.channels(who, SESSION_ID)
    with pytest.raises(Unavailable):
        gateway.channels(who, "(" * 22_000)
    upstream.behave = says([SMS])
    assert gateway.channels(who)
    gateway.close()


@pytest.mark.parametrize("body", [{"statusCode": 400, "message": "Bad Request"}, None], ids=["json", "html"])
def test_a_bare_refusal_is_no_outage_and_not_repeated(upstream: Misbehaving, body: Any) -> None:
    gateway = HostedGateway(settings_for(upstream.url, kodmobi_failures=2))
    who = caller(gateway, secret=True)
    for status, kind in ((400, Unavailable), (403, Unavailable), (404, errors.NotFound), (429, errors.TooOften)):
        upstream.behave = says(body, status) if body else html(status)
        upstream.seen.clear()
        for _ in range(3):
            with pytest.raises(kind):
                gateway.message(who, 1)
        assert len(upstream.seen) == 3
    upstream.behave = says([SMS])
    assert gateway.channels(who)
    gateway.close()


@pytest.mark.parametrize(
    ("retry_after", "timeout"),
    [("17", 17), ("0", 1), ("9999999", 86_400), ("Wed, 21 Oct 2026 07:28:00 GMT", 60), ("-1", 60), (None, 60)],
)
@pytest.mark.parametrize("body", [b"slow down", b'{"sys_message": "ERROR_MESSAGE_ATTEMPT"}'])
def test_a_429_says_when_to_come_back(
    upstream: Misbehaving, hosted: HostedGateway, body: bytes, retry_after: str | None, timeout: int
) -> None:
    who = caller(hosted)
    headers = {"retry-after": retry_after} if retry_after else {}
    upstream.behave = lambda handler: handler.answer(429, body, **headers)
    with pytest.raises(errors.TooSoon) as raised:
        hosted.channels(who, SESSION_ID)
    assert raised.value.params == {"timeout": timeout}


def test_a_session_id_that_nobody_made_is_not_asked_for(site: Servers) -> None:
    for session_id in ("(" * 7000, "A" * 65):
        answer = site.http.get(f"{site.web}/session/channels", params={"session_id": session_id}, headers=PUBLIC)
        refused(answer, 410, "ERROR_SESSION_EXPIRED")
    assert site.create(new_phone(), send=False)


def test_a_trial_that_falls_over_does_not_leave_the_breaker_open(
    upstream: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = HostedGateway(settings_for(upstream.url, kodmobi_failures=1, kodmobi_rest_seconds=0.1))
    who = caller(gateway)
    upstream.behave = html(502)
    with pytest.raises(Unavailable):
        gateway.create(who, TO)
    time.sleep(0.2)
    with monkeypatch.context() as broken:
        broken.setattr(gateway._upstream, "read", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            gateway.create(who, TO)
    upstream.behave = says(CREATED)
    assert gateway.create(who, TO).session_id == SESSION_ID
    gateway.close()


def test_an_answer_that_drips_is_cut_off(upstream: Misbehaving) -> None:
    gateway = HostedGateway(settings_for(upstream.url, kodmobi_timeout_seconds=0.6, kodmobi_failures=50))
    who = caller(gateway)
    upstream.behave = drips
    began = time.monotonic()
    with pytest.raises(Unavailable):
        gateway.create(who, TO)
    assert time.monotonic() - began < 4, "it drips for five seconds"
    gateway.close()


@pytest.mark.parametrize("status", [419, 430, 451, 499])
def test_a_strange_status_stays_within_the_contract(
    upstream: Misbehaving, hosted: HostedGateway, status: int
) -> None:
    who = caller(hosted)
    params = {"allow": ["x"], "timeout": "1\r\nset-cookie: a=b", "lang": "ru", "self": 1, "left": 2}
    body = {"success": False, "sys_message": "ERROR_NEW", "error": "", "error_params": params}
    upstream.behave = says(body, status)
    with pytest.raises(UpstreamRefusal) as raised:
        hosted.create(who, TO)
    refusal = raised.value
    assert (refusal.status, refusal.sys_message) == (400, "ERROR_NEW")
    assert refusal.params == {"lang": "ru", "self": 1, "left": 2}
    assert refusal.text("en").startswith("Something went wrong")


@pytest.mark.parametrize("session_id", ["7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "00000000000000000000000000", "not-a-ulid"])
def test_an_id_of_another_age_ends_three_minutes_from_now(session_id: str) -> None:
    assert ends_at(session_id, lambda: START) == START + 180_000


@pytest.mark.parametrize("key", ["sk_account", "another"])
def test_a_code_is_passed_on_with_the_tag_that_only_kodmobi_can_make(
    upstream: Misbehaving, hosted: HostedGateway, key: str
) -> None:
    code = encode_code("0042", code_key(key))[:-8] + "58327419"
    upstream.behave = says({"message_id": 7, "code": code})
    who = msgspec.structs.replace(caller(hosted, secret=True), key="sk_account")
    answer = manual.send(hosted, who, {"to": TO.value, "channel": "sms"})
    assert answer == {"message": "Sent to queue.", "code": code, "message_id": 7}


@pytest.mark.parametrize("code", [None, "", 4242, {}])
def test_a_message_that_is_on_its_way_is_answered_so_without_its_code(
    upstream: Misbehaving, hosted: HostedGateway, code: Any
) -> None:
    upstream.behave = says({"message_id": 7, "code": code})
    who = msgspec.structs.replace(caller(hosted, secret=True), key="sk_account")
    for brought in ("4242", ""):
        answer = manual.send(hosted, who, {"to": TO.value, "channel": "sms", "code": brought})
        assert answer["message_id"] == 7
        assert decode_code(answer["code"], code_key("sk_account")) == brought


def test_many_streams_of_a_session_ask_once(servers: Servers, tmp_path: Path) -> None:
    with Misbehaving(says([TELEGRAM, SMS])) as counted:
        site = hosted_by(servers, tmp_path)
        site.environment["KODMOBI_URL"] = counted.url
        with site, ExitStack() as streams:
            session_id = SESSION_ID
            opened = [
                streams.enter_context(site.http.stream("GET", site.live_url(session_id), timeout=20))
                for _ in range(20)
            ]
            for stream in opened:
                assert "parked" in next(line for line in stream.iter_lines() if line.startswith("data:"))
            before = sum("session_id=" in path for _, path, _, _ in counted.seen)
            time.sleep(5)
            asked = sum("session_id=" in path for _, path, _, _ in counted.seen) - before
    assert 1 <= asked <= 4


def test_a_hosted_site_counts_its_answers_and_streams(site: Servers) -> None:
    session_id = site.create(new_phone())["session_id"]
    keys = {"authorization": f"Bearer {METRICS_TOKEN}"}
    with site.http.stream("GET", site.live_url(session_id)) as stream:
        next(stream.iter_lines())
        assert "\nkodgate_live_streams 1.0\n" in site.http.get(f"{site.live}/metrics", headers=keys).text
    counted = site.http.get(f"{site.web}/metrics", headers=keys).text
    assert 'kodgate_request_seconds_count{action="session.create",status="200"}' in counted


# Settings


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ({"kodmobi_public_key": ""}, "KODMOBI_PUBLIC_KEY"),
        ({"kodmobi_secret_key": ""}, "KODMOBI_SECRET_KEY"),
        ({"kodmobi_url": "api.kod.mobi"}, "KODMOBI_URL"),
        ({"telegram_bot_token": "1:sandbox"}, "TELEGRAM_BOT_TOKEN"),
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, str], part: str) -> None:
    given: dict[str, Any] = {
        "kodmobi_url": "https://api.kod.mobi",
        "kodmobi_public_key": "p",
        "kodmobi_secret_key": "s",
        **wrong,
    }
    with pytest.raises(ValueError, match=part):
        Settings(_env_file=None, **given)
