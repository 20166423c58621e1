"""Whatever reads what somebody else wrote, each with what must hold of it: `TARGETS`, functions of bytes.

A function returns where all is well. A refusal that is documented is well; everything else that comes out is a
finding, as is an answer that breaks the property.
"""

import hashlib
import hmac
import io
import json
import logging
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from ipaddress import ip_address
from typing import Any, get_args
from urllib.parse import parse_qsl, urlsplit

import msgspec
from flask import Flask, g
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from gateway import errors
from gateway.addresses import is_callable_url
from gateway.aes256 import NotDecodable, code_key, decode_code, encode_code
from gateway.challenge.altcha import Altcha
from gateway.channels import Channel
from gateway.codes import LONGEST, SHORTEST, read_code
from gateway.contact import Contact, parse_contact, parse_telegram_phone
from gateway.i18n import LANGUAGES, pick_language, wished_language
from gateway.keyring import Keyring
from gateway.limits.rate import read_rate
from gateway.local import _Proof
from gateway.log import make_formatter
from gateway.origins import read_address, read_origin
from gateway.place import known_place, place_name
from gateway.projects import Project, ProjectSettings, change_settings
from gateway.providers import (
    ForgedReport,
    Options,
    Report,
    Reporting,
    WrongProviderUrl,
    make_provider,
    split_urls,
    storable,
)
from gateway.settings import Settings
from gateway.signing import SIGNATURE_HEADER, is_signed, sign
from gateway.tap import deny_data, read_press, tap_data
from gateway.tokens import InvalidToken, LiveClaim, Tokens, read_payload, write_payload
from tests.fuzzing.drawing import Draw, as_text
from tests.world import START
from web import fields, legacy, manual
from web.address import Visitors
from web.cors import is_listed
from web.visitor import browser_name, home_region
from web.widget.embedding import _read_return_to, way_back
from web.widget.state import WidgetState
from web.widget.theme import Theme, read_theme

RING = Keyring(["n" * 40, "o" * 40])
SESSION = "01K8N1VMPN0EE389K72YW0CBM2"
NOW = START // 1000
REGIONS = (None, "RU", "US", "DE", "AR", "BR", "IT", "MX", "GB", "KZ", "UZ", "SG")
ORIGINS = ("https://shop.example.com", "https://*.example.org", "http://localhost:5000")
LONGEST_REPORTED = 255  # characters of a report's reference and reason: what a row may be asked to hold


def clock() -> int:
    return START


@dataclass(frozen=True)
class Target:
    """A function of bytes, and bytes that it makes something of."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


TARGETS: dict[str, Target] = {}


def target(*seeds: bytes) -> Callable[[Callable[[bytes], None]], Callable[[bytes], None]]:
    """Enter a function into `TARGETS`, by its name."""

    def enter(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
        TARGETS[run.__name__] = Target(run, seeds)
        return run

    return enter


def told(refusal: errors.GatewayError) -> None:
    """A refusal can be said in every language, and encoded."""
    for lang in LANGUAGES:
        assert refusal.text(lang)
    msgspec.json.encode(refusal.sys_message)


# Contacts


def well(contact: Contact) -> None:
    """A contact is in the one form that is stored: reading it again changes nothing."""
    assert parse_contact(contact.value) == contact
    assert contact.value.isascii()
    assert contact.value.isprintable()
    assert contact.value not in contact.mask
    assert len(contact.country) in (0, 2, 3)


@target(
    b"\x00+7 952 296-62-36",
    b"\x018 (952) 296-62-36",
    b"\x03015112345678 ",
    b"\x00Ann.Lee+x@Example.com",
    "\x00ann@пример.рф".encode(),
    "\x01звони: ٠٩٥٢ 8-952-296-62-36".encode(),
    b"\x040011 15 2345-6789",
    b"\x021-800-FLOWERS",
    b"\x00+",
)
def contact(data: bytes) -> None:
    draw = Draw(data)
    region = draw.one_of(REGIONS)
    try:
        read = parse_contact(draw.rest_text(), region=region)
    except errors.BadRequest as refusal:
        told(refusal)
    else:
        well(read)


@target(b"79522966236", b"+79522966236", b" +4915112345678", "７９５２".encode())
def telegram_phone(data: bytes) -> None:
    try:
        read = parse_telegram_phone(as_text(data))
    except errors.BadRequest as refusal:
        told(refusal)
    else:
        well(read)


# What we sign


@target(b"", b"\x00\x05\x01A\x00", write_payload(RING, SESSION).encode())
def payload(data: bytes) -> None:
    draw, ours = Draw(data), write_payload(RING, SESSION)
    for text in (draw.changed(ours), as_text(data)):
        try:
            session_id = read_payload(RING, text)
        except InvalidToken:
            continue
        assert text == ours
        assert session_id == SESSION


def token(draw: Draw, purpose: str, value: Any) -> None:
    """What was signed is read; what was changed is not, nor what was signed for another purpose."""
    tokens = Tokens(RING, purpose, type(value), 60, clock)
    ours = tokens.sign(value)
    assert tokens.read(ours) == (value, START)
    others = Tokens(RING, purpose + " too", type(value), 60, clock)
    for reader, text in ((tokens, draw.changed(ours)), (others, ours), (tokens, draw.rest_text())):
        try:
            read, _ = reader.read(text)
        except InvalidToken:
            continue
        assert reader is tokens
        assert text == ours, "a changed token was read"
        assert read == value


def plain(text: str) -> str:
    """A text as one can be in a token: they are made of what was decoded from UTF-8."""
    return text.encode("utf-8", "replace").decode()


@target(b"\x01\x05\x01A\x00", b"\x03abc\x00\x10\x01!\x00", b"\x03abc\x00\x60\x01=\x01")
def verify_token(data: bytes) -> None:
    draw = Draw(data)
    proof = _Proof(draw.byte(), plain(draw.text()), draw.some(), draw.one_of([*Channel, None]))
    token(draw, "verify", proof)


@target(b"\x01\x02en\x00\x05\x01A\x00")
def live_token(data: bytes) -> None:
    draw = Draw(data)
    token(draw, "live", LiveClaim(draw.number(), plain(draw.text()), plain(draw.text())))


@target(b"\x05/done\x02xy\x00\x05\x01A\x00")
def widget_state(data: bytes) -> None:
    draw = Draw(data)
    theme = Theme(draw.one_of(["auto", "light", "dark"]), plain(draw.text()), draw.byte(), plain(draw.text()))
    project_id = draw.number()
    texts = {
        name: plain(draw.text()) for name in WidgetState.__struct_fields__ if name not in ("project_id", "theme")
    }
    token(draw, "widget", WidgetState(project_id, theme=theme, **texts))


@target(f"t={NOW},v1={'0' * 64}".encode(), b"\x00\x03\x011\x00")
def signature(data: bytes) -> None:
    draw = Draw(data)
    body, key = draw.some(), RING.first.token
    ours = sign(body, key, NOW)
    assert is_signed(ours, body, key, NOW)
    assert not is_signed(ours, body + b" ", key, NOW)
    assert not is_signed(ours, body, key, NOW + 301)
    for header in (draw.changed(ours), draw.rest_text()):
        assert not is_signed(header, body, key, NOW) or header == ours


class _Spent:
    """The store, as far as challenges need it."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def era(self) -> int:
        return 0

    def spend(self, id: str, era: int) -> bool:
        fresh = era == self.era() and id not in self.ids
        self.ids.add(id)
        return fresh


@cache
def altcha() -> Altcha:
    import time

    chosen = Settings(_env_file=None, challenge_cost=1, challenge_tries=2)
    store: Any = _Spent()
    return Altcha(store, RING, chosen, lambda: round(time.time() * 1000))


def solved(challenge: dict[str, Any]) -> dict[str, Any]:
    from altcha import Challenge, solve_challenge

    solution = solve_challenge(Challenge.from_dict(challenge))
    assert solution
    return {"challenge": challenge, "solution": solution.to_dict()}


@target(
    b"\x00\x00\x00",
    b'\x00\x01\x0c"\xed\xa0\x80\x00',
    b"\x00\x10\x06\\ud800\x00",
    json.dumps({"challenge": {"parameters": {"data": {"id": "A", "project": 1}, "expiresAt": 9**12}}}).encode(),
)
def solution(data: bytes) -> None:
    """A solution passes once, however it is spelt; what was changed in what it solves does not pass."""
    draw, gate = Draw(data), altcha()
    text = json.dumps(solved(gate.new(1)))
    gate.is_good(1, b64encode(data).decode())
    gate.is_good(1, as_text(data))
    changed = b64encode(draw.changed(text).encode("utf-8", "surrogatepass")).decode()
    passed = [gate.is_good(1, one) for one in (changed, b64encode(text.encode()).decode(), changed)]
    assert sum(passed) == 1


# Codes


@target(b"\x00123456", b"\x0012 34-56", b"\x01\x00\x00\x00\x00\x00\x00\x1bx", b"\x00\xef\xbc\x91234")
def code(data: bytes) -> None:
    draw = Draw(data)
    kind = draw.byte() % 4
    makers: list[Callable[[], Any]] = [draw.rest_text, draw.number, lambda: draw.byte() / 3, lambda: [draw.byte()]]
    given = makers[kind]()
    try:
        read = read_code(given)
    except errors.BadRequest as refusal:
        told(refusal)
        return
    assert read
    for one in read:
        assert SHORTEST <= len(one) <= LONGEST
        assert one.isascii()
        assert one.isalnum()
        assert read_code(one) == [one]


@target(b"\x06482173\x00\x10\x01f\x00", b"aes256:" + b"0" * 32 + b":" + b"0" * 32 + b":00000000")
def encrypted_code(data: bytes) -> None:
    draw, key = Draw(data), code_key("sk_development")
    clear = plain(draw.text())[:7]  # 28 bytes in UTF-8: a code has six characters
    ours = encode_code(clear, key)
    assert decode_code(ours, key) == clear
    assert decode_code(ours.replace("aes256:", "aes_256_cbc_").replace(":", "")[:-8], key) == clear
    for text in (draw.changed(ours), draw.rest_text()):
        try:
            read = decode_code(text, key)
        except NotDecodable:
            continue
        assert text.startswith("aes_256_cbc_") or (text.strip().lower(), read) == (ours, clear)


@target(
    b"tap:01K8N1VMPN0EE389K72YW0CBM2:42", b"deny:01K8N1VMPN0EE389K72YW0CBM2", b"tap:01K8N1VMPN0EE389K72YW0CBM2"
)
def button(data: bytes) -> None:
    text = as_text(data)
    press = read_press(text)
    if press:
        number = press.number
        assert text == (deny_data(press.session_id) if number is None else tap_data(press.session_id, number))


# Providers

_SECRET = "s" * 20
_PROVIDERS = {
    "kodmobi": f"kodmobi://{_SECRET}@api.kod.mobi/1",
    "telegram_gateway": f"telegram-gateway://{_SECRET}",
    "whatsapp_cloud": f"whatsapp-cloud://1:token@graph.facebook.com/login?secret={_SECRET}&verify=hello",
    "webhook": f"webhook+https://sms.example.com/send#secret={_SECRET}",
}
_CARRIES = {"telegram_gateway": Channel.TELEGRAM, "whatsapp_cloud": Channel.WHATSAPP}


@cache
def reporting(name: str) -> Reporting:
    provider = make_provider(_PROVIDERS[name], _CARRIES.get(name, Channel.SMS), Options(1.0, 1))
    assert isinstance(provider, Reporting)
    if hasattr(provider, "_clock"):
        provider._clock = clock
    return provider


def signed_headers(name: str, body: bytes) -> Mapping[str, str]:
    """Headers as the provider itself would send them."""
    secret = _SECRET.encode()
    if name == "whatsapp_cloud":
        return {"x-hub-signature-256": "sha256=" + hmac.digest(secret, body, "sha256").hex()}
    if name == "telegram_gateway":
        key = hashlib.sha256(secret).digest()
        mac = hmac.digest(key, b"%d\n%s" % (NOW, body), "sha256").hex()
        return {"x-request-timestamp": str(NOW), "x-request-signature": mac}
    key = code_key(_SECRET) if name == "kodmobi" else secret
    return {SIGNATURE_HEADER: sign(body, key, NOW)}


def report(name: str, data: bytes) -> None:
    provider = reporting(name)
    for one in storable(provider.reports(signed_headers(name, data), data)):
        assert one.state in ("delivered", "failed")
        for text in (one.reference, one.error):
            text.encode()
            assert len(text) <= LONGEST_REPORTED
            assert "\0" not in text  # PostgreSQL's text has none
    draw = Draw(data)
    forged = {header: draw.changed(value) for header, value in signed_headers(name, b"{}").items()}
    for headers in ({}, forged):
        try:
            believed: list[Report] = provider.reports(headers, b"{} ")
        except ForgedReport:
            continue
        raise AssertionError(f"a forged report was believed: {believed}")
    provider.greeting({"hub.mode": draw.text(), "hub.verify_token": draw.text(), "hub.challenge": draw.text()})


@target(
    b'{"message_id": 7, "status": "delivered", "error": ""}',
    b'{"message_id":7,"status":"failed","error":"\\u0000"}',
)
def kodmobi_report(data: bytes) -> None:
    report("kodmobi", data)


@target(
    b'{"request_id": "abc", "delivery_status": {"status": "delivered"}}',
    b'{"request_id": "abc", "delivery_status": {"status": "expired"}}',
)
def telegram_gateway_report(data: bytes) -> None:
    report("telegram_gateway", data)


@target(
    b'{"entry":[{"changes":[{"value":{"statuses":[{"id":"wamid.1","status":"delivered"}]}}]}]}',
    b'{"entry":[{"changes":[{"value":{"statuses":[{"id":"w","status":"failed","errors":[{"code":131026}]}]}}]}]}',
)
def whatsapp_report(data: bytes) -> None:
    report("whatsapp_cloud", data)


@target(b'{"reference":"a","status":"delivered"}', b'[{"reference":"a","status":"failed","error":"\\u0000"}]')
def webhook_report(data: bytes) -> None:
    report("webhook", data)


@target(
    *(url.encode() for url in _PROVIDERS.values()),
    b"3*smtp://user:pass@smtp.example.com:587/?from=login@example.com 1*log://",
    b"apprise+twilio://sid:token@from",
    b"smtps://[::1",
)
def provider_urls(data: bytes) -> None:
    """Anything but Apprise, whose URLs are its own affair, is opened or refused, and its secrets are not told."""
    draw = Draw(data)
    channel = draw.one_of(list(Channel))
    for one in split_urls(draw.rest_text()):
        assert one.weight >= 0
        if one.url.lower().startswith("apprise+"):
            continue
        try:
            make_provider(one.url, channel, Options(1.0, 1, b"k", production=True))
        except WrongProviderUrl as problem:
            scheme = re.match(r"[a-z][a-z0-9+.-]*(?=://)", one.url.lower())  # which an error names, whatever it is
            if _SECRET in str(problem) and not (scheme and _SECRET in scheme[0]):
                raise AssertionError("a secret is repeated") from None


@target(b"https://shop.example.com/done?x=1", b"http://127.0.0.1/", b"http://[::ffff:7f00:1]/", b"http://a@b/")
def callback_url(data: bytes) -> None:
    url = as_text(data)
    if not is_callable_url(url):
        return
    parts = urlsplit(url)
    assert url.isascii()
    assert url.isprintable()
    assert parts.username is None or parts.username == ""
    assert parts.hostname not in (None, "", "localhost", "127.0.0.1", "0.0.0.0", "::1")  # noqa: S104 - refused


# What a request carries

_READERS: tuple[Callable[[fields.Fields], object], ...] = (
    lambda given: fields.text(given, "to"),
    lambda given: fields.text_or_none(given, "callback_url"),
    fields.code,
    fields.session_id,
    fields.channel,
    lambda given: fields.number(given, "provider_id"),
    fields.own_code,
    lambda given: fields.flag(given, "send", default=True),
    legacy._contact,
    manual._repeat_key,
)


@target(
    b'\x00{"to":"+79522966236","type":"sms","send":"no","code":7032,"session_id":"01K8N1VMPN0EE389K72YW0CBM2"}',
    b"\x01phone=79522966236&type=telegram&send=1&code=0042&session_id=x",
    b'\x00{"phone":1e308,"code":1e22,"send":[],"provider_id":123456789012345678901234567890}',
    b'\x00{"session_id":"\\u0000","callback_url":"\\u0000","code":{}}',
    b"\x01%00=%ff&phone=%00",
)
def request_fields(data: bytes) -> None:
    draw = Draw(data)
    kind = draw.one_of(["application/json", "application/x-www-form-urlencoded", "text/plain", ""])
    body = draw.rest()
    environ = {
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(len(body)),
        "QUERY_STRING": body.decode("latin-1"),
        "wsgi.input": io.BytesIO(body),
    }
    for read in (partial(fields.body_fields, limit=16384), fields.query_fields):
        try:
            given = read(environ)
        except errors.BadRequest as refusal:
            told(refusal)
            continue
        for reader in _READERS:
            try:
                found = reader(given)
            except (errors.BadRequest, errors.SessionExpired) as refusal:
                told(refusal)
                continue
            if reader is fields.session_id:
                assert isinstance(found, str)
                assert found.isascii()
                assert found.isprintable()
            if isinstance(found, str):
                found.encode()


@target(b"ru-RU,ru;q=0.9,en;q=0.8", b"uz-Latn-UZ", b"*;q=0.5, de;q=nan", b"tr;q=1_0,kk;q=inf")
def accept_language(data: bytes) -> None:
    text = as_text(data)
    assert pick_language(text) in LANGUAGES
    assert wished_language(text, "de") in LANGUAGES
    region = home_region(parse_accept_header(text, LanguageAccept), text, "en")
    assert region is None or len(region) == 2
    browser_name(text)


@cache
def visitors() -> Visitors:
    return Visitors(Settings(_env_file=None, trusted_proxies="10.0.0.0/8,::1"))


@target(b"1.2.3.4, 10.0.0.1", b"[2001:db8::1]:443, 10.0.0.9:80", b"::ffff:10.0.0.1", b"fe80::1%eth0", b", ,")
def address_header(data: bytes) -> None:
    header = data.decode("latin-1")
    environ = {"REMOTE_ADDR": "10.0.0.7", "HTTP_X_FORWARDED_FOR": header}
    ip_address(visitors().address(environ))
    assert visitors().address(environ | {"REMOTE_ADDR": "9.9.9.9"}) == "9.9.9.9"
    assert visitors().address(environ | {"HTTP_X_FORWARDED_FOR": header + ", 8.8.8.8"}) == "8.8.8.8"


@target(b"Europe/Berlin", b"DE", b"Asia/Calcutta", b"Europe/Kiev")
def place(data: bytes) -> None:
    text = as_text(data)
    known = known_place(text)
    assert known_place(known) == known
    for lang in ("en", "uz", as_text(data[:8])):
        assert bool(place_name(text, lang)) == bool(known)


# The widget

_APP = Flask("fuzzing")


class _Embedded:
    public_url = "https://login.example.com"
    production = True


_APP.extensions["kodgate"] = _Embedded()
_PROJECT = Project(1, ProjectSettings(name="Shop", origins=ORIGINS))
_OURS = (*ORIGINS, _Embedded.public_url)


@target(
    b"https://shop.example.com/done?verify%5ftoken=EVIL&x=1",
    b"//evil.example",
    b"/login/done?state=1",
    b"https://a.example.org:443/?verify_token=EVIL&state=2",
    b"https://shop.example.com@evil.example/",
    b"javascript:alert(1)",
    "https://shop.example.com/готово?ключ=1".encode(),
)
def return_to(data: bytes) -> None:
    """A way back leads to the project's sites or our own pages, and holds one token and one state: ours."""
    text = plain(as_text(data))
    with _APP.app_context():
        g.complaints = []
        try:
            address = _read_return_to(_PROJECT, text)
        except errors.BadRequest as refusal:
            told(refusal)
            return
    assert address.isascii()
    assert address == "" or address.isprintable()
    if not address:
        return
    if not address.startswith("/"):
        origin = "/".join(address.split("/", 3)[:3]).partition("?")[0]
        assert is_listed(origin, _OURS), address
    assert not address.startswith(("//", "/\\"))
    back = way_back(WidgetState(1, address, "STATE"), "TOKEN")
    query = parse_qsl(urlsplit(back).query, keep_blank_values=True)
    for name, ours in (("verify_token", "TOKEN"), ("state", "STATE")):
        assert [value for given, value in query if given == name] == [ours], back


@target(b"https://shop.example.com", b"https://x.example.org", b"https://evil.com#.example.org", b"null")
def origin(data: bytes) -> None:
    text = as_text(data)
    if is_listed(text, ORIGINS) and text not in ORIGINS:
        scheme, _, host = text.partition("://")
        assert scheme == "https"
        assert host.endswith(".example.org")
        assert not set(host) & set("/\\?#@ \t\r\n'\";,")


@target(b"\x04dark\x07#3b3fd8\x0212\x05Inter", b"\x00\x00\x00\x0d'a', \"b\" ,'c'", b"\x00\x07#ffffff\x0424px")
def theme(data: bytes) -> None:
    """No look can end its declaration, its rule or its element."""
    draw = Draw(data)
    chosen, wrong = read_theme({name: draw.text() for name in ("theme", "accent", "radius", "font")})
    for css in (chosen.light_css(), chosen.dark_css()):
        assert not set(css) & set("<>{}\\@\n\r\0")
        for declaration in css.rstrip(";").split(";"):
            assert not declaration or declaration.startswith("--")
    assert all(isinstance(one, str) for one in wrong)


# What operators write


@target(
    "HTTPS://Пример.рф:443/login/".encode(),
    b"https://*.Example.org:8443",
    b"http://[::1]:80/",
    b"https://a@b?c#d",
    b"https://x'; script-src *",
)
def origin_as_written(data: bytes) -> None:
    """What goes into headers and policies says one origin and nothing else, and reads as itself."""
    text = as_text(data)
    for read in (read_origin, lambda written: read_address(written).origin):
        try:
            said = read(text)
        except ValueError:
            continue
        assert said.isascii()
        assert not set(said) & set("\\?#@ \t\r\n'\";,<>%")
        assert said.count("/") == 2
        assert read(said) == said


@target(b"8/7200", b" 40/86400 ", b"0/1", b"9999999999/9999999", "８/７".encode())
def rate(data: bytes) -> None:
    try:
        read = read_rate(as_text(data))
    except ValueError:
        return
    assert read_rate(str(read)) == read
    assert read.count > 0
    assert read.window > 0
    assert read.cost >= 0


@target(b"code_length=4", b"channels=sms,email", b"origins=https://*.example.com", b"one_tap=no", b"flow=x")
def project_setting(data: bytes) -> None:
    try:
        changed = change_settings(_PROJECT.settings, as_text(data).split("\0"))
    except ValueError:
        return
    assert changed.flow in get_args(ProjectSettings.__annotations__["flow"])


_FORMATTER = make_formatter("fuzz")


@target(b"path /a\n2026 forged", b"to somebody.special@example.com", b"+79522966236", b"a" * 4000, b"\x1b[2J")
def log_line(data: bytes) -> None:
    """Whatever is logged is one line that can be printed, and holds no phone or email."""
    record = logging.LogRecord(
        "x", logging.INFO, "", 0, "said %s, to %s", (as_text(data), "ann.lee@example.com"), None
    )
    line = _FORMATTER.format(record)
    assert line.isprintable()
    assert "ann.lee" not in line
