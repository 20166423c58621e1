"""manual/send: a server's own messages, their answers, repeats, states and callbacks."""

import asyncio
import hmac
import json
import re
import socket
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.addresses import is_callable, is_callable_url
from gateway.aes256 import code_key, decode_code, encode_code
from gateway.callbacks import Callbacks, public_socket
from gateway.channels import Channel
from gateway.contact import parse_contact
from gateway.errors import BadRequest, NotFound
from gateway.projects import KeyPair
from gateway.signing import SIGNATURE_HEADER, is_signed
from gateway.store import Outcome
from gateway.verbs import Draft
from tests.delivering import finish
from tests.receiver import Receiver
from tests.servers import PUBLIC, SECRET, Servers, until
from tests.test_api import refused
from tests.world import World, make_world, new_phone

KEY = code_key("sk_development")
ENCODED = re.compile(r"aes256:[0-9a-f]{32}:[0-9a-f]{32}:[0-9a-f]{8}")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers of this module's own, which may call back to loopback."""
    with Servers(tmp_path_factory.mktemp("manual"), CALLBACK_NETWORKS="127.0.0.0/8") as running:
        yield running


def manual(servers: Servers, headers: dict[str, str] = SECRET, **body: Any) -> httpx.Response:
    return servers.http.post(f"{servers.web}/manual/send", json=body, headers=headers)


def status(servers: Servers, message_id: int) -> dict[str, Any]:
    found: dict[str, Any] = servers.http.get(f"{servers.web}/manual/messages/{message_id}", headers=SECRET).json()
    return found


def test_a_code_of_ours_is_sent_and_answered_encrypted(servers: Servers) -> None:
    phone = new_phone()
    body = manual(servers, to=phone, channel="sms").json()
    assert set(body) == {"message", "code", "message_id"}
    assert body["message"] == "Sent to queue."
    assert ENCODED.fullmatch(body["code"])
    [letter] = until(lambda: servers.letters(phone), "the code arrives")
    assert letter["code"] == decode_code(body["code"], KEY)
    assert re.fullmatch(r"\d{6}", letter["code"])
    done = until(lambda: (now := status(servers, body["message_id"]))["finished_at"] and now, "it is final")
    assert (done["status"], done["channel"], done["to"], done["error"]) == ("sent", "sms", phone, "")


@pytest.mark.parametrize(("code", "sent"), [("0000", "0000"), (70, "0070"), ("ab12cd", "AB12CD")])
def test_a_callers_own_code_is_sent(servers: Servers, code: Any, sent: str) -> None:
    to = f"ann{new_phone()[1:]}@example.com"
    body = manual(servers, to=to, channel="email", code=code, provider_id="1").json()
    assert decode_code(body["code"], KEY) == sent
    [letter] = until(lambda: servers.letters(to), "the code arrives")
    assert letter["code"] == sent


def test_an_encrypted_code_is_taken(servers: Servers) -> None:
    body = manual(servers, to=new_phone(), channel="sms", code=encode_code("4711", KEY)).json()
    assert decode_code(body["code"], KEY) == "4711"


def test_message_ids_increase(servers: Servers) -> None:
    numbers = [manual(servers, to=new_phone(), channel="sms").json()["message_id"] for _ in range(5)]
    assert numbers == sorted(set(numbers))


def test_a_repeat_with_the_same_key_sends_nothing_twice(servers: Servers) -> None:
    phone, headers = new_phone(), {**SECRET, "idempotency-key": f"order {new_phone()}"}
    first = manual(servers, headers, to=phone, channel="sms").json()
    again = manual(servers, headers, to=phone, channel="sms").json()
    assert again["message_id"] == first["message_id"]
    assert decode_code(again["code"], KEY) == decode_code(first["code"], KEY)
    refused(manual(servers, headers, to=new_phone(), channel="sms"), 422, "ERROR_BAD_REQUEST")
    refused(manual(servers, headers, to=phone, channel="whatsapp"), 422, "ERROR_BAD_REQUEST")
    until(lambda: status(servers, first["message_id"])["finished_at"], "it is final")
    assert len(servers.letters(phone)) == 1


def test_the_public_key_opens_nothing_here(servers: Servers) -> None:
    refused(manual(servers, PUBLIC, to=new_phone(), channel="sms"), 401, "ERROR_ACCESS_DENIED")
    number = manual(servers, to=new_phone(), channel="sms").json()["message_id"]
    answer = servers.http.get(f"{servers.web}/manual/messages/{number}", headers=PUBLIC)
    refused(answer, 401, "ERROR_ACCESS_DENIED")


@pytest.mark.parametrize(
    ("body", "status", "sys_message"),
    [
        ({"to": "+79522966236"}, 400, "ERROR_BAD_REQUEST"),
        ({"channel": "sms"}, 400, "ERROR_BAD_REQUEST"),
        ({"to": "+79522966236", "channel": "pigeon"}, 400, "ERROR_BAD_REQUEST"),
        ({"to": "+79522966236", "channel": "sms", "code": "1"}, 400, "ERROR_BAD_REQUEST"),
        ({"to": "+79522966236", "channel": "sms", "code": 7777777}, 400, "ERROR_BAD_REQUEST"),
        ({"to": "+79522966236", "channel": "sms", "provider_id": "first"}, 400, "ERROR_BAD_REQUEST"),
        ({"to": "+79522966236", "channel": "sms", "callback_url": "ftp://example.com"}, 400, "ERROR_BAD_REQUEST"),
        ({"to": "ann@example.com", "channel": "sms"}, 409, "ERROR_USER_NOT_AUTHORIZE_ON_CHANNEL"),
        ({"to": "+79522966999", "channel": "telegram"}, 409, "ERROR_USER_NOT_AUTHORIZE_ON_CHANNEL"),
    ],
)
def test_what_can_not_be_sent_is_refused(
    servers: Servers, body: dict[str, Any], status: int, sys_message: str
) -> None:
    refused(manual(servers, **body), status, sys_message)


@pytest.mark.parametrize(
    "number", ["0", "999999", "abc", "-1", "9" * 400, "1/2", "", "0" * 16 + "1" + "9" * 20, "0" * 4400]
)
def test_a_message_that_is_not_there_is_not_found(servers: Servers, number: str) -> None:
    answer = servers.http.get(f"{servers.web}/manual/messages/{number}", headers=SECRET)
    refused(answer, 404, "ERROR_NOT_FOUND")


def test_telegram_takes_it_where_the_bot_is_active(servers: Servers) -> None:
    phone = new_phone()
    person = servers.person(phone)
    person.does("start")
    until(person.heard, "the bot welcomes")
    person.does("contact")
    until(lambda: len(person.heard()) > 1, "the bot confirms")
    body = manual(servers, to=phone, channel="telegram", code="5577").json()
    person.hears("5577")
    until(lambda: status(servers, body["message_id"])["status"] == "sent", "it is final")


def test_the_callback_is_made_once_signed_and_tried_again(servers: Servers) -> None:
    phone = new_phone()
    with Receiver(answers=[500]) as site:
        body = manual(servers, to=phone, channel="sms", callback_url=f"{site.url}/done?a=1").json()
        until(lambda: len(site.received) == 2, "the callback is made again", 20)
    for call in site.received:
        assert call.path == "/done?a=1"
        told = json.loads(call.body)
        assert set(told) == {"message_id", "status", "channel", "to", "error", "finished_at"}
        assert (told["message_id"], told["status"], told["to"]) == (body["message_id"], "sent", phone)
        at, mac = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", call.headers["x-kodgate-signature"]).groups()  # type: ignore[union-attr]
        assert hmac.digest(KEY, at.encode() + b"." + call.body, "sha256").hex() == mac


def test_a_failure_is_called_back_too(servers: Servers) -> None:
    with Receiver() as site, servers.fault(method="inbox", status=400):
        manual(servers, to=new_phone(), channel="sms", callback_url=site.url)
        [call] = until(lambda: site.received, "the callback is made")
    told = json.loads(call.body)
    assert told["status"] == "failed"
    assert "400" in told["error"]


# Where callbacks never go


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",  # noqa: S104
        "64:ff9b:1::7f00:1", "::7f00:1", "fec0::1",
        "224.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1",
        "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "ff02::1", "x",
    ],
)  # fmt: skip
def test_no_private_address_is_called(address: str) -> None:
    assert not is_callable(address)
    host = f"[{address}]" if ":" in address else address
    assert address == "x" or not is_callable_url(f"http://{host}/done")


@pytest.mark.parametrize(
    "url",
    ["", "done", "//example.com", "ftp://example.com", "http://", "http://localhost/", "http://a.localhost/",
     "http://me:secret@example.com/", "http://exa mple.com/", "http://example.com\\@127.0.0.1/",
     "http://example.com:99999/", "http://[::1", f"https://example.com/{'a' * 2000}", "http://a..b/",
     "http://.com/", f"http://{'a' * 64}.com/", "http://１２７.０.０.１/", "http://127。0。0。1/",
     "http://①②⑦.⓪.⓪.①/", "http://%31%32%37.0.0.1/", "http://пример.рф/"],
)  # fmt: skip
def test_a_strange_callback_url_is_refused(world: World, url: str) -> None:
    draft = Draft(parse_contact(new_phone()), Channel.SMS, callback_url=url or " ")
    with pytest.raises(BadRequest) as refusal:
        world.gateway.manual_send(world.caller("sk_development"), draft)
    assert refusal.value.field == "callback_url"


@pytest.mark.parametrize("address", ["8.8.8.8", "2a00:1450:4001:80b::200e", "::ffff:8.8.8.8"])
def test_public_addresses_are_called(address: str) -> None:
    assert is_callable(address)


def make_final(world: World, callback_url: str) -> int:
    draft = Draft(parse_contact(new_phone()), Channel.SMS, callback_url=callback_url)
    number = world.gateway.manual_send(world.caller("sk_development"), draft).message_id
    finish(world.gateway.store, [Outcome(number, "sent")], world.clock())
    return number


def call_back(world: World, seconds: float = 2.0) -> None:
    """Run the callback loop for a while."""

    async def run() -> None:
        task = asyncio.create_task(Callbacks(world.gateway, world.settings).run())
        done, _ = await asyncio.wait([task], timeout=seconds)
        task.cancel()
        await asyncio.wait([task])
        assert not done

    asyncio.run(run())


def test_a_name_that_leads_to_a_private_address_is_not_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine's own name stands for a name that an attacker has pointed inwards."""
    world = make_world(tmp_path)
    with Receiver() as inside:
        port = inside.url.rpartition(":")[2]
        for name in ("127.1", "0x7f.1", "ip6-localhost", "2130706433"):
            make_final(world, f"http://{name}:{port}/")
        call_back(world)
    assert inside.received == []
    due = world.gateway.store.next_callback()
    assert due is not None
    assert due > world.clock()


def test_an_address_spelt_strangely_is_not_connected_to(tmp_path: Path) -> None:
    """As if the check of the URL had been passed: the socket itself refuses."""
    allowed = (ip_network("10.0.0.0/8"),)
    for address in ("127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with pytest.raises(OSError, match="not a public address"):
            public_socket((family, socket.SOCK_STREAM, 6, "", (address, 80)), allowed)
    with public_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", 80)), allowed) as made:
        assert made.family == socket.AF_INET


def test_a_host_that_no_resolver_takes_is_only_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(tmp_path)
    monkeypatch.setattr("gateway.local.is_callable_url", lambda *_: True)
    monkeypatch.setattr("gateway.callbacks.is_callable_url", lambda *_: True)
    make_final(world, "http://a..b/")
    call_back(world, 1)
    assert world.gateway.store.next_callback() is not None, "it is tried again, and the loop goes on"


def test_a_receiver_that_hangs_does_not_hold_up_the_others(tmp_path: Path) -> None:
    world = make_world(tmp_path, callback_networks="127.0.0.0/8", callback_timeout_seconds=3)
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent, Receiver() as site:
        for _ in range(30):
            make_final(world, f"http://127.0.0.1:{silent.getsockname()[1]}/")
        make_final(world, site.url)
        call_back(world, 1.5)
        assert len(site.received) == 1


def test_a_stop_lets_what_is_under_way_end(tmp_path: Path) -> None:
    world = make_world(tmp_path, callback_networks="127.0.0.0/8")
    with Receiver(delay=1.0) as site:
        make_final(world, site.url)
        call_back(world, 0.3)
        assert len(site.received) == 1
    assert world.gateway.store.next_callback() is None, "made once, and written down"


@pytest.mark.usefixtures("database")
def test_a_callback_outlives_a_rotation_of_secret_keys(tmp_path: Path) -> None:
    first, second = "a" * 40, "b" * 40
    make_world(tmp_path, secret_keys=first)
    make_world(tmp_path, secret_keys=f"{second},{first}")
    world = make_world(tmp_path, secret_keys=second, callback_networks="127.0.0.0/8")
    with Receiver() as site:
        make_final(world, site.url)
        call_back(world, 1)
        assert len(site.received) == 1
    own = Draft(parse_contact(new_phone()), Channel.SMS, code=encode_code("4711", KEY))
    assert world.gateway.manual_send(world.caller("sk_development"), own).code == "4711"


@pytest.mark.usefixtures("database")
def test_what_was_sealed_with_a_lost_key_is_not_found(tmp_path: Path) -> None:
    before = make_world(tmp_path, secret_keys="a" * 40)
    number = make_final(before, "https://shop.example.com/done")
    make_world(tmp_path, secret_keys=f"{'b' * 40},{'a' * 40}")
    after = make_world(tmp_path, secret_keys="b" * 40)
    with pytest.raises(NotFound):
        after.gateway.message(after.caller("sk_development"), number)
    call_back(after, 0.5)


def test_a_receiver_that_has_the_old_key_hears_of_it_while_keys_are_rotated(tmp_path: Path) -> None:
    world = make_world(tmp_path, callback_networks="127.0.0.0/8")
    world.gateway.projects.set_keys(1, KeyPair("pk_new", "sk_new"), keep_seconds=86_400)
    with Receiver(answers=[401]) as site:
        make_final(world, site.url)
        call_back(world, 0.5)
        world.clock.pass_seconds(10)
        call_back(world, 0.5)
    now = world.clock() // 1000
    signed = [
        [name for name in ("sk_new", "sk_development") if is_signed(its, call.body, code_key(name), now)]
        for call in site.received
        for its in [call.headers[SIGNATURE_HEADER]]
    ]
    assert signed == [["sk_new"], ["sk_development"]]
    assert world.gateway.store.next_callback() is None


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    world = make_world(tmp_path, callback_networks="127.0.0.0/8")
    with Receiver() as inside, Receiver(answers=[307], location=f"{inside.url}/secret") as site:
        make_final(world, site.url)
        call_back(world)
    assert len(site.received) == 1
    assert inside.received == []
    assert world.gateway.store.next_callback() is not None


@pytest.mark.usefixtures("database")
def test_a_callback_that_nobody_answers_is_given_up_after_an_hour(tmp_path: Path) -> None:
    world = make_world(tmp_path, callback_networks="127.0.0.0/8")
    with Receiver(answers=[503, 503, 503]) as site:
        make_final(world, site.url)
        call_back(world, 1)
        assert len(site.received) == 1
        assert world.gateway.store.next_callback() is not None
        world.clock.pass_seconds(3600)
        call_back(world, 1)
        assert len(site.received) == 2
    assert world.gateway.store.next_callback() is None


def test_a_project_sees_only_its_own_messages(world: World) -> None:
    number = make_final(world, "https://shop.example.com/done")
    gateway = world.gateway
    assert gateway.store.manual(2, number) is None
    assert gateway.store.manual(world.caller().project.id, number) is not None
