"""What bytes alone can do: too much, too slowly, strange paths, forged log lines."""

import random
import re
import socket
import time
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import httpx

from gateway.settings import ROOT
from tests.attack.outcome import Outcome
from tests.attack.site import Site, Target

OVERSIZE, SLOW, PATHS, LINES = "oversize requests", "slow clients", "path tricks", "forged log lines"
PATIENCE = 3.0  # seconds: who waits longer than this for /healthz has been held up by others
HEAD = b"POST %s HTTP/1.1\r\nHost: a\r\nx-api-key: %s\r\n"
WHERE = (
    "/../{0}", "/../../{0}", "/static/../{0}", "/static/../../{0}", "/static/%2e%2e/{0}", "/static/%2e%2e%2f{0}",
    "/static/..%2f..%2f{0}", "/static/..%5c{0}", "/static/....//{0}", "/static//{0}", "/static/%c0%ae%c0%ae/{0}",
    "/static/x/../../{0}", "/static/%00/../{0}", "/static/{0}%00.js", "/static/;/../{0}", "//../{0}", "/{0}",
    "/static/%252e%252e/{0}", "/docs/../{0}", "/widget/../{0}", "/live/../{0}", "/reports/../{0}",
)  # fmt: skip
FILES = ("pyproject.toml", "gateway/settings.py", ".env", "etc/passwd", "proc/self/environ", "kodgate.sqlite3")
BEHIND = (
    "/session/verify/", "//session/verify", "/session//verify", "/session/./verify", "/session/x/../verify",
    "/session/%76erify", "/SESSION/VERIFY", "/session/verify%20", "/session/verify;x", "/session/verify%00",
    "/v2/../session/verify", "/session/verify?x-api-key=", "/session/verify#", "/manual/send/", "//manual/send",
    "/manual/%73end", "/manual/messages/../send", "/manual/messages/1/..", "/manual/messages/%2e%2e/send",
)  # fmt: skip


def exchange(url: str, request: bytes, patience: float = 10.0) -> bytes:
    """What a server answers to these bytes, until it falls silent or closes."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=patience) as connection:
        try:
            connection.sendall(request)
            return connection.recv(65_536)
        except (TimeoutError, ConnectionError):
            return b""


def oversize(target: Target) -> Outcome:
    """Bodies and headers far beyond what is needed, said to be large, or in chunks."""
    through = times = 0
    head = HEAD % (b"/session/create", target.public["x-api-key"].encode())
    fill = b"x" * 2_000_000
    requests = [
        head + b"Content-Length: 2000002\r\n\r\n{}" + fill,
        head + b"Content-Length: 20000\r\n\r\n{" + b" " * 19_998 + b"}",
        head + b"Transfer-Encoding: chunked\r\n\r\n4e20\r\n{" + b" " * 19_998 + b"}\r\n0\r\n\r\n",
        head + b"Content-Length: 99999999999999999999\r\n\r\n{}",
        head + b"Content-Length: -1\r\n\r\n{}",
        head + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}abc",
        head + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
        head + b"X-Long: " + fill + b"\r\n\r\n",
        head + b"".join(b"X-%d: 1\r\n" % number for number in range(5000)) + b"\r\n",
        b"GET /" + fill + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /?" + b"&".join(b"a=1" for _ in range(10_000)) + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ]
    nested = b"[" * 8000 + b"]" * 8000
    requests.append(head + b"Content-Length: %d\r\n\r\n%s" % (len(nested), nested))
    before = sum(target.site.resident_mib(name) for name in ("web", "bot"))
    for url in (target.site.web, target.site.live):
        for request in requests:
            answer = exchange(url, request)
            through += answer.startswith(b"HTTP/1.1 5") or b"session_id" in answer
            through += answer.count(b"HTTP/1.1 ") > 2
            times += 1
    through += sum(target.site.health(name) != 200 for name in ("web", "bot"))
    grown = sum(target.site.resident_mib(name) for name in ("web", "bot")) - before
    assert grown < 100, f"{grown:.0f} MiB for {times} requests"
    return Outcome(OVERSIZE, "bodies, headers, addresses, nesting, lengths that lie", times, through)


def is_quick(site: Site, name: str) -> bool:
    try:
        return (
            httpx.get(f"{site.web if name == 'web' else site.live}/healthz", timeout=PATIENCE).status_code == 200
        )
    except httpx.TransportError:
        return False


def slow(target: Target, connections: int, seconds: float) -> Outcome:
    """Headers that drip to web and bot, and reports; who is held up by them is counted."""
    site, reports = target.site, b"/reports/whatsapp/1"
    through, tries = 0, 0
    for url, name, path, body in (
        (site.web, "web", b"/session/create", False),
        (site.live, "bot", reports, False),
        (site.live, "bot", reports, True),
    ):
        held, times = _dripping(target, url, name, path, body, connections, seconds)
        through, tries = through + held, tries + times
    return Outcome(
        SLOW, f"{connections} headers and {connections} reports that drip", tries, through,
        "times: somebody else asks meanwhile",
    )  # fmt: skip


def slow_bodies(target: Target, connections: int, seconds: float) -> Outcome:
    """Bodies that drip to web."""
    through, tries = 0, 0
    for path in (b"/session/create", b"/widget/start"):
        held, times = _dripping(target, target.site.web, "web", path, True, connections, seconds)
        through, tries = through + held, tries + times
    return Outcome(
        SLOW, f"{connections} bodies that drip to web", tries, through, "times: somebody else asks meanwhile"
    )


def _dripping(
    target: Target, url: str, name: str, path: bytes, body: bool, connections: int, seconds: float
) -> tuple[int, int]:
    """How often somebody else was held up, and how often they asked."""
    beginning = HEAD % (path, target.public["x-api-key"].encode())
    beginning += b"Content-Length: 5000\r\n\r\n{" if body else b""
    drip, held, times = (b" " if body else b"x-a: 1\r\n"), 0, 0
    parts = urlsplit(url)
    with ExitStack() as stack:
        dripping = [
            stack.enter_context(socket.create_connection((parts.hostname, parts.port))) for _ in range(connections)
        ]
        for one in dripping:
            one.sendall(beginning)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.2)
            for one in dripping:
                _send(one, drip)
            held += not is_quick(target.site, name)
            times += 1
    return held, times


def _send(connection: socket.socket, some: bytes) -> None:
    with suppress(OSError):  # the server may have closed it, as it should
        connection.sendall(some)


def paths(target: Target) -> Outcome:
    """Files that are nobody's business, and verbs for the secret key by other spellings of their paths."""
    through = times = 0
    inside = [
        (ROOT / "pyproject.toml").read_bytes()[:40],
        b"root:x:0",
        b"SECRET_KEYS",
        b"SQLite format",
        b"class Settings",
    ]
    for url in (target.site.web, target.site.live):
        for where in WHERE:
            for name in FILES:
                answer = exchange(
                    url, f"GET {where.format(name)} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
                )
                through += any(sign in answer for sign in inside)
                times += 1
    body = b'{"verify_token":"%s","to":"+79522966236","channel":"sms"}' % target.token().encode()
    for path in BEHIND:
        for start in (f"POST {path}", f"POST http://127.0.0.1{path}", f"GET {path}"):
            head = (
                f"{start} HTTP/1.1\r\nHost: a\r\nx-api-key: {target.public['x-api-key']}\r\nConnection: close\r\n"
            )
            answer = exchange(target.site.web, head.encode() + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            through += b'"phone"' in answer or b"Sent to queue" in answer
            times += 1
    return Outcome(PATHS, "files by ../ in all spellings, the secret key's verbs by other paths", times, through)


def log_lines(target: Target, each: int) -> Outcome:
    """Line ends and control signs wherever a request carries text."""
    site, dice, times = target.site, random.Random(1), 0
    signs = ("%0a", "%0d", "%0d%0a", "%0b", "%0c", "%1b[2J", "%00", "%c2%85", "%e2%80%a8", "%e2%80%ae", "%7f")
    before = {name: len(site.log(name)) for name in ("web", "bot")}
    for _ in range(each):
        for sign in signs:
            forged = f"x{sign}2026-01-01 00:00:00,000 web INFO FORGED-{dice.randrange(10**6)}".replace(" ", "%20")
            site.http.get(f"{site.web}/session/{forged}", headers=target.public)
            site.http.get(f"{site.live}/live/{forged}")
            site.http.get(f"{site.web}/widget/?key={forged}&lang={forged}")
            site.http.post(f"{site.live}/reports/{forged}/1")
            times += 4
    time.sleep(0.3)
    through = 0
    for name, start in before.items():
        for line in site.log(name)[start:].splitlines():
            through += "FORGED" in line and not re.match(rf"20\S+ \S+ {name} ", line)
            through += not line.isprintable()
    return Outcome(LINES, "line ends and control signs in paths and parameters", times, through)
