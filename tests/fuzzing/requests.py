"""Requests as no client writes them, over bare sockets, to every address of web and of the bot process.

What must hold: an answer, or an orderly end, for each, and never a 500 or a process that no longer serves. The
API answers in the contract's form; what is no HTTP at all is the server's own to refuse (400, 413, 414, 431).
"""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from hypothesis import HealthCheck, given
from hypothesis import settings as chosen
from hypothesis import strategies as st

from gateway.clock import system_clock
from gateway.keyring import Keyring
from gateway.settings import DEVELOPMENT_SECRET
from gateway.tokens import Tokens
from tests.servers import Servers
from tests.world import new_phone
from web.api import ALL_PREFIXES, VERBS
from web.widget.state import WidgetState

PATIENCE = 20.0  # seconds for an answer: above, something hangs
IMPATIENCE = 0.2  # for the answer to what does not end as it said it would: the server still waits, and may
OUR_FAULTS = (500, 502, 504)
REFUSALS = {"success", "status", "error", "sys_message", "error_params"}
PAGES = (
    "/",
    "/login",
    "/login/done",
    "/profile",
    "/logout",
    "/docs",
    "/openapi.json",
    "/healthz",
    "/static/embed.js",
)
FORMS = ("start", "channels", "send", "check", "collect", "code", "challenge", "")
BOTS = (
    "/live/%s",
    "/reports/sms/1",
    "/reports/telegram/1",
    "/reports/%s/%s",
    "/healthz",
    "/telegram/1",  # bodies are no updates here; those are in updates.py
    "/telegram/%s",
)

_KEYS = Keyring([DEVELOPMENT_SECRET])

odd = st.one_of(
    st.sampled_from(
        [
            b"",
            b"\x00",
            b"%00",
            b"\xff\xfe",
            b"%ff",
            b"%",
            b"%zz",
            b"..",
            b"../",
            b"/",
            b"//",
            b"?",
            b";",
            b"&=&",
            b"\xed\xa0\x80",
            b"%ED%A0%80",
            "\u202e".encode(),
            b"A" * 5000,
            b"%25" * 500,
            b"'\"<svg onload=x>",
            b"{{7*7}}",
            b"-1",
            b"9" * 400,
            b"1e999",
            b"NaN",
            b"null",
            b"true",
            b"[]",
            b"\r",
            b"\t",
            b"[::1",
            b"http://[",
            b"\x7f",
        ]
    ),
    st.binary(max_size=30),
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
in_a_line = odd.map(lambda value: value.replace(b"\n", b"").replace(b"\r", b""))
methods = st.sampled_from(
    [
        b"GET",
        b"POST",
        b"POST",
        b"POST",
        b"PUT",
        b"PATCH",
        b"DELETE",
        b"HEAD",
        b"OPTIONS",
        b"TRACE",
        b"CONNECT",
        b"PROPFIND",
        b"get",
        b"QUERY",
        b"X" * 200,
        b"\xff",
        b"",
    ]
)
kinds = st.sampled_from(
    [
        b"application/json",
        b"application/x-www-form-urlencoded",
        b"application/x-www-form-urlencoded; charset=utf-16",
        b"multipart/form-data; boundary=x",
        b"multipart/form-data",
        b"multipart/form-data; boundary=" + b"x" * 300,
        b"text/plain",
        b"application/json; charset=ebcdic",
        b"",
        b"\xff",
        b"*/*",
    ]
)
names = st.sampled_from(
    [
        "to",
        "phone",
        "type",
        "channel",
        "code",
        "session_id",
        "send",
        "lang",
        "verify_token",
        "callback_url",
        "w",
        "by",
        "provider_id",
        "region",
        "time_zone",
        "challenge",
        "key",
        "return_to",
        "state",
        "origin",
        "flow",
        "theme",
        "font",
        "accent",
        "radius",
        "tz",
        "is_test",
    ]
)
headers = st.sampled_from(
    [
        b"Origin",
        b"Accept-Language",
        b"Accept-Encoding",
        b"Cookie",
        b"User-Agent",
        b"X-Forwarded-For",
        b"Idempotency-Key",
        b"X-Challenge-Token",
        b"Sec-Fetch-Site",
        b"Sec-Fetch-Dest",
        b"Referer",
        b"Range",
        b"If-None-Match",
        b"X-Api-Key",
        b"Content-Encoding",
        b"Expect",
        b"Upgrade",
        b"Connection",
        b"Transfer-Encoding",
        b"Content-Length",
        b"Host",
        b"X-Kodgate-Signature",
        b"X-Hub-Signature-256",
        b"X-Request-Timestamp",
        b"X-Kodgate-Script",
        b"X-Telegram-Bot-Api-Secret-Token",
        b"Lang",
    ]
)


@dataclass(frozen=True)
class Request:
    """One of them, as it goes over the wire."""

    process: str
    wire: bytes
    path: str
    whole: bool  # it ends where its headers say


@dataclass(frozen=True)
class Known:
    """What is real on the servers asked: the beginnings of good requests."""

    session_id: str
    phone: str
    state: str
    live: str


def known_of(servers: Servers) -> Known:
    """A session that lives, and the tokens around it."""
    phone = new_phone()
    session_id = servers.create(phone)["session_id"]
    states = Tokens(_KEYS, "widget", WidgetState, 3600, system_clock)
    state = WidgetState(1, "", "", session_id=session_id, mask="+7 •••", kind="phone", channel="sms", lang="en")
    return Known(session_id, phone, states.sign(state), urlsplit(servers.live_url(session_id)).path)


@st.composite
def values(draw: st.DrawFn, known: Known, name: str) -> bytes:
    """A field's value: good, or odd."""
    good = {
        "to": known.phone,
        "phone": known.phone[1:],
        "type": "sms",
        "channel": "sms",
        "code": "123456",
        "session_id": known.session_id,
        "w": known.state,
        "key": "pk_development",
    }.get(name, "1")
    return draw(st.just(good.encode()) | odd)


@st.composite
def forms(draw: st.DrawFn, known: Known) -> bytes:
    """Fields as forms and queries have them, now and then twice, escaped or not."""
    pairs = []
    for name in draw(st.lists(names, max_size=6)) + draw(st.sampled_from([[], ["w"], ["w", "w"]])):
        value = draw(values(known, name))
        pairs.append(name.encode() + b"=" + (quote(value, safe="").encode() if draw(st.booleans()) else value))
    return b"&".join(pairs)


@st.composite
def objects(draw: st.DrawFn, known: Known) -> bytes:
    """JSON: deep, huge, with keys twice, with what JSON has not."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.sampled_from([b"[" * 8000, b'{"a":' * 2000, b"[" * 5000 + b"]" * 5000]))
    if kind == 1:
        return draw(odd)
    scalars = st.sampled_from(
        [
            b"1" * 5000,
            b"-0",
            b"1e400",
            b"1e-400",
            b"NaN",
            b"7032.0",
            b"true",
            b"null",
            b"[]",
            b"{}",
            b'"\\ud800"',
            b'"\\u0000"',
            b'"\xff"',
            b"12345678901234567890123",
            b'"' + b"x" * 9000 + b'"',
            b"1.7976931348623157e308",
        ]
    )
    members = []
    for name in draw(st.lists(names, max_size=6)):
        value = draw(values(known, name).map(lambda text: json.dumps(text.decode("latin-1")).encode()) | scalars)
        members.append(json.dumps(name).encode() + b":" + value)
    return b"{" + b",".join(members) + b"}"


@st.composite
def bodies(draw: st.DrawFn, known: Known) -> bytes:
    kind = draw(st.integers(0, 5))
    if kind == 0:
        part = b'--x\r\nContent-Disposition: form-data; name="w"; filename="' + draw(odd) + b'"\r\n\r\n'
        return part + known.state.encode() + b"\r\n--x--\r\n" * draw(st.integers(0, 2))
    if kind == 1:
        return draw(st.binary(max_size=200) | st.just(b"x" * 20_000))
    return draw(forms(known) if kind < 4 else objects(known))


@st.composite
def paths(draw: st.DrawFn, known: Known, process: str) -> bytes:
    tail = quote(draw(odd), safe="/%.") if draw(st.booleans()) else ""
    if process == "bot":
        path = draw(st.sampled_from(BOTS)).replace("%s", tail or "x")
        return draw(st.sampled_from([path, known.live, known.live + tail])).encode()
    path = draw(
        st.sampled_from(sorted(VERBS))
        | st.sampled_from(FORMS).map(lambda step: f"/widget/{step}")
        | st.sampled_from(PAGES)
        | st.sampled_from(
            ["/manual/messages/", "/static/", "/widget/countries/en/1/", "/session/", "/v2/", "/"]
        ).map(lambda folder: folder + (tail or "7"))
    )
    return path.encode()


@st.composite
def requests(draw: st.DrawFn, known: Known) -> Request:
    process = draw(st.sampled_from(["web", "web", "web", "bot"]))
    path = draw(paths(known, process))
    query = draw(st.just(b"") | forms(known).map(lambda form: b"?" + form.replace(b" ", b"+")) | odd)
    body = draw(bodies(known))
    if draw(st.booleans()):
        query = query.translate(None, b"\x00\r\n\t #\x7f" + bytes(range(128, 256)))
    lines = [draw(methods) + b" " + path + query + b" HTTP/1.1", b"Host: localhost"]
    lines.append(b"x-api-key: " + draw(st.sampled_from([b"pk_development", b"sk_development", b"", b"\xff"])))
    lines.append(b"Content-Type: " + draw(kinds))
    odd_ones = [name + b": " + draw(in_a_line) for name in draw(st.lists(headers, max_size=3))]
    lines += odd_ones
    if path.startswith(b"/telegram/") and draw(st.booleans()):
        lines.append(b"X-Telegram-Bot-Api-Secret-Token: " + _KEYS.webhook_secret(1).encode())
    if draw(st.integers(0, 4)):
        lines.append(b"Content-Length: %d" % len(body))
    else:
        lines.append(b"Transfer-Encoding: chunked")
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    lines.append(b"Connection: close")
    framing = b"content-length transfer-encoding connection expect upgrade".split()
    whole = not any(line.partition(b":")[0].lower() in framing for line in odd_ones)
    wire = b"\r\n".join(lines) + b"\r\n\r\n" + body
    if draw(st.integers(0, 15)) == 0:
        wire, whole = draw(st.binary(max_size=60)) + wire[draw(st.integers(0, 60)) :], False
    return Request(process, wire, path.decode(), whole)


# Asking


@contextmanager
def connection(base: str, patience: float) -> Iterator[socket.socket]:
    made = socket.create_connection((urlsplit(base).hostname, urlsplit(base).port), patience)
    try:
        yield made
    finally:
        made.close()


def ask(base: str, wire: bytes, patience: float = PATIENCE) -> bytes:
    """What comes back, however little; of a stream its beginning. Raises `TimeoutError` where nothing comes."""
    answer = b""
    with connection(base, patience) as made:
        try:
            made.sendall(wire)
            while more := made.recv(65536):
                answer += more
                if b"text/event-stream" in answer:
                    break
        except TimeoutError:
            raise
        except OSError:
            pass  # the server had seen enough
    return answer


def status_of(answer: bytes) -> int | None:
    """The status, None where the connection was closed without a word."""
    line = answer.partition(b"\r\n")[0].split(b" ")
    return int(line[1]) if len(line) > 1 and line[0].startswith(b"HTTP/1.") else None


def judge(request: Request, answer: bytes) -> None:
    """Whether this may be answered to that."""
    status = status_of(answer)
    assert answer == b"" or status is not None, answer[:200]
    assert status not in OUR_FAULTS, answer[:600]
    head, _, body = answer.partition(b"\r\n\r\n")
    asked = request.wire.partition(b" ")[0]
    for_api = request.process == "web" and request.wire.startswith(asked + b" " + request.path.encode())
    if for_api and request.path.startswith(ALL_PREFIXES) and b"application/json" in head.lower() and body:
        said = json.loads(body)
        assert status is not None
        assert status < 300 or set(said) == REFUSALS, body[:300]
        assert status < 300 or said["status"] == status


class Targets:
    """The running processes; `gone` tells whether one of their workers died."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._bases = {"web": servers.web, "bot": servers.live}
        self._written = {name: len(servers.log(name)) for name in self._bases}
        self.asked = self.answered = 0

    def ask(self, request: Request) -> None:
        self.asked += 1
        try:
            answer = ask(self._bases[request.process], request.wire, PATIENCE if request.whole else IMPATIENCE)
        except TimeoutError:
            if request.whole:
                raise
            return
        self.answered += status_of(answer) is not None
        try:
            judge(request, answer)
        except (AssertionError, ValueError) as problem:
            raise AssertionError(f"{request.wire[:2000]!r} got {answer[:2000]!r}") from problem

    def are_well(self) -> None:
        for name, before in self._written.items():
            assert self._servers.health(name) == 200, name
            new = self._servers.log(name)[before:]
            assert "Traceback" not in new, new
            assert "defect" not in new, new
            assert "nexpected exit" not in new, new  # granian of a worker


def run(servers: Servers, **settings: object) -> int:
    """Ask web and bot what is generated; how many requests that were. `settings` are hypothesis's."""
    targets, known = Targets(servers), known_of(servers)

    @chosen(deadline=None, suppress_health_check=list(HealthCheck), **settings)  # type: ignore[arg-type]
    @given(st.lists(requests(known), min_size=5, max_size=20))
    def feed(some: list[Request]) -> None:
        for request in some:
            targets.ask(request)
        targets.are_well()

    play: Callable[[], None] = feed
    play()
    assert targets.answered > targets.asked / 2, "most were not even heard"
    return targets.asked
