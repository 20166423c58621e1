"""What every answer carries, whose forms are taken, what slow clients can't do, and what a log line can't hold."""

import io
import logging
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.bootstrap import build_gateway
from gateway.headers import security_headers
from gateway.log import set_up_logging
from gateway.settings import ROOT, Settings
from tests.fuzzing.requests import ask, status_of
from tests.servers import PUBLIC, START_WITHIN, STOP_WITHIN, Servers, until
from tests.world import new_phone
from web.assets import STATIC, Assets
from web.pages import make_site

EVERYWHERE = {name for name, _ in security_headers("https://login.example.com")} - {"strict-transport-security"}


@pytest.mark.parametrize(
    ("process", "method", "path", "status"),
    [
        ("web", "GET", "/", 200),
        ("web", "GET", "/docs", 200),
        ("web", "GET", "/openapi.json", 200),
        ("web", "GET", "/healthz", 200),
        ("web", "GET", "/nothing", 404),
        ("web", "GET", "/widget/?key=pk_development", 200),
        ("web", "GET", "/widget/?key=pk_nobody", 401),
        ("web", "POST", "/widget/start", 410),
        ("web", "GET", "/profile", 303),
        ("web", "GET", "/static/embed.js", 200),
        ("web", "GET", "/static/nothing", 404),
        ("web", "POST", "/session/create", 400),
        ("web", "GET", "/session/create", 405),
        ("web", "GET", "/session/nothing", 404),
        ("web", "OPTIONS", "/session/create", 204),
        ("bot", "GET", "/healthz", 200),
        ("bot", "GET", "/nothing", 404),
        ("bot", "POST", "/healthz", 405),
        ("bot", "GET", "/live/nonsense", 403),
    ],
)
def test_every_answer_carries_the_security_headers(
    servers: Servers, process: str, method: str, path: str, status: int
) -> None:
    base = servers.web if process == "web" else servers.live
    answer = servers.http.request(method, base + path, headers=PUBLIC)
    assert answer.status_code == status
    assert set(answer.headers) >= EVERYWHERE
    for name in EVERYWHERE:
        assert len(answer.headers.get_list(name)) == 1, name
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "strict-transport-security" not in answer.headers  # PUBLIC_URL is http here


def test_the_live_stream_carries_them_too(servers: Servers) -> None:
    session = servers.create(new_phone())
    with servers.http.stream("GET", servers.live_url(session["session_id"])) as answer:
        assert set(answer.headers) >= EVERYWHERE


def test_frames_and_scripts_for_partners_may_be_loaded_and_the_sites_own_pages_not(servers: Servers) -> None:
    policy = "cross-origin-resource-policy"
    for path in ("/static/embed.js", "/widget/?key=pk_development"):
        assert servers.http.get(servers.web + path).headers[policy] == "cross-origin"
    for path in ("/", "/docs"):
        answer = servers.http.get(servers.web + path)
        assert answer.headers[policy] == "same-origin"
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"


def test_https_is_remembered_and_cookies_are_for_it_alone(tmp_path: Path) -> None:
    assert ("strict-transport-security", "max-age=31536000") in security_headers("https://login.example.com")
    config = Settings(
        _env_file=None, database_url=f"sqlite:///{tmp_path}/x.sqlite3", public_url="https://login.example.com"
    )
    gateway = build_gateway(config)
    browser = make_site(gateway, config, Assets(reload=False)).test_client()
    cookies = [
        cookie
        for path in ("/login", "/widget/?key=pk_development", "/?lang=ru")
        for cookie in browser.get(path, base_url="https://login.example.com").headers.getlist("Set-Cookie")
    ]
    gateway.close()
    names = {cookie.partition("=")[0] for cookie in cookies}
    assert names == {"kodgate", "__Host-kodgate_browser", "kodgate_lang"}
    for cookie in cookies:
        flags = {flag.strip().lower() for flag in cookie.split(";")[1:]}
        assert {"httponly", "samesite=lax", "path=/"} <= flags, cookie
        assert "secure" in flags, cookie


# Forms (CSRF)

FORMS = ("/logout", "/widget/start", "/widget/channels", "/widget/send", "/widget/check", "/widget/collect")


def test_the_list_of_forms_is_whole(tmp_path: Path) -> None:
    config = Settings(_env_file=None, database_url=f"sqlite:///{tmp_path}/x.sqlite3")
    gateway = build_gateway(config)
    site = make_site(gateway, config, Assets(reload=False))
    gateway.close()
    posts = {
        rule.rule for rule in site.url_map.iter_rules() if (rule.methods or set()) & {"POST", "PUT", "DELETE"}
    }
    assert posts == set(FORMS)


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("whose", ["cross-site", "same-site"])
def test_no_form_of_another_site_is_taken(servers: Servers, path: str, whose: str) -> None:
    answer = servers.http.post(servers.web + path, headers={"sec-fetch-site": whose})
    assert answer.status_code == 403


@pytest.mark.parametrize("path", [path for path in FORMS if path != "/logout"])
def test_no_form_is_taken_without_a_state_that_we_signed(servers: Servers, path: str) -> None:
    for w in ("", "nonsense", "a.b.c"):
        answer = servers.http.post(servers.web + path, data={"w": w}, headers={"sec-fetch-site": "same-origin"})
        assert answer.status_code == 410


# Slow clients


@contextmanager
def sending(url: str, beginning: bytes, times: int) -> Iterator[None]:
    """Connections that have sent the beginning of a request, and then say nothing."""
    address = (urlsplit(url).hostname, urlsplit(url).port)
    connections = [socket.create_connection(address) for _ in range(times)]
    try:
        for connection in connections:
            connection.sendall(beginning)
        time.sleep(0.3)
        yield
    finally:
        for connection in connections:
            connection.close()


HEAD = b"POST %s HTTP/1.1\r\nHost: localhost\r\nx-api-key: pk_development\r\n"
BODY = HEAD + b"Content-Length: 100\r\n\r\n{"


def is_quick(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=3).status_code == 200
    except httpx.TimeoutException:
        return False


def test_fifty_who_never_end_their_headers_stop_nobody(servers: Servers) -> None:
    for url in (servers.web, servers.live):
        with sending(url, HEAD % b"/session/create", 50):
            assert is_quick(url)


def test_fifty_who_never_end_their_report_stop_nobody(servers: Servers) -> None:
    with sending(servers.live, BODY % b"/reports/sms/1", 50):
        assert is_quick(servers.live)


def test_fifty_who_never_end_their_body_stop_nobody(servers: Servers) -> None:
    with sending(servers.web, BODY % b"/session/create", 50):
        assert is_quick(servers.web)


def test_a_body_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with Servers(tmp_path, ("web",), BODY_SECONDS="0.5") as site:
        chunked = HEAD % b"/widget/start" + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"
        for beginning in (BODY % b"/session/create", chunked):
            with socket.create_connection(
                (urlsplit(site.web).hostname, urlsplit(site.web).port), timeout=10
            ) as slow:
                slow.sendall(beginning)
                answer = b"".join(iter(lambda: slow.recv(4096), b""))
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"x-content-type-options: nosniff" in answer
        assert is_quick(site.web)


def test_a_body_that_breaks_off_is_nobodys_trouble(servers: Servers) -> None:
    before = {name: len(servers.log(name)) for name in ("web", "bot")}
    for url, path in ((servers.web, b"/session/create"), (servers.live, b"/reports/sms/1")):
        for _ in range(10):
            with sending(url, BODY % path, 1):
                pass
        assert is_quick(url)
    for name, length in before.items():
        assert "Traceback" not in servers.log(name)[length:]


def test_a_header_with_an_underscore_passes_for_no_other(servers: Servers) -> None:
    """`X_API_KEY` would be read as `X-API-Key` by whoever takes them for CGI's names."""
    answer = servers.http.get(f"{servers.web}/session/channels", headers={"x_api_key": "pk_development"})
    assert answer.status_code == 401
    assert servers.http.get(f"{servers.web}/session/channels", headers=PUBLIC).status_code == 200


def test_a_body_above_the_limit_is_refused(servers: Servers) -> None:
    large = b"{" + b" " * 20_000 + b"}"
    answer = servers.http.post(f"{servers.web}/session/create", content=large, headers=PUBLIC)
    assert answer.status_code == 400
    chunks = iter([large])
    assert servers.http.post(f"{servers.web}/session/create", content=chunks, headers=PUBLIC).status_code == 400
    assert servers.http.post(f"{servers.web}/widget/start", data={"w": "x" * 20_000}).status_code == 413
    assert servers.http.post(f"{servers.live}/reports/sms/1", content=b"x" * 300_000).status_code in (404, 413)


def test_addresses_and_headers_have_an_end(servers: Servers) -> None:
    """granian's own is 400 KiB, of which some headers take a tenth of a second to read."""
    assert servers.http.get(f"{servers.web}/session/{'a' * 60_000}").status_code in (414, 431)
    assert servers.http.get(f"{servers.web}/", headers={"accept-language": "a," * 50_000}).status_code == 431
    assert servers.http.get(f"{servers.web}/widget/?key=pk_development&tz={'a' * 20_000}").status_code == 200


def test_whoever_has_one_live_token_takes_not_everybodys_streams(tmp_path: Path) -> None:
    with Servers(tmp_path, LIVE_STREAMS_SESSION="3") as site:
        one, other = (site.live_url(site.create(new_phone())["session_id"]) for _ in range(2))
        request = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with sending(site.live, request % urlsplit(one).path.encode(), 3):
            until(lambda: site.http.get(one).status_code == 429, "the fourth is refused")
            with site.http.stream("GET", other) as answer:
                assert answer.status_code == 200
        until(lambda: _opens(site, one), "those that are gone don't count")


_FEW = (
    "import resource as r, runpy\n"
    "r.setrlimit(r.RLIMIT_NOFILE, (280, 280))\n"
    "runpy.run_module('bot', run_name='__main__')"
)


def test_where_few_files_are_permitted_there_are_fewer_streams(tmp_path: Path) -> None:
    """And what else the bot does goes on: it says at its start why, and the stream after the last is refused."""
    with Servers(tmp_path, ("web", "sandbox"), LIVE_STREAMS_SESSION="1000") as site:
        with (tmp_path / "bot.log").open("wb") as log:
            bot = subprocess.Popen(
                [sys.executable, "-c", _FEW], cwd=tmp_path, env=site.environment, stdout=log, stderr=log
            )
        try:
            until(lambda: site.health("bot") == 200, "the bot starts", START_WITHIN)
            assert (
                "280 open files are permitted, so 140 live streams at once instead of LIVE_STREAMS=20000"
                in site.log("bot")
            )
            one, other = (site.live_url(site.create(new_phone())["session_id"]) for _ in range(2))
            request = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % urlsplit(one).path.encode()
            with sending(site.live, request, 140):
                until(lambda: site.http.get(other).status_code == 503, "the 141st is refused")
                created = site.create(to := new_phone())
                until(lambda: site.letters(to), "a code goes out")
                assert site.check(created["session_id"], site.code_of(created["session_id"])).status_code == 200
            until(lambda: _opens(site, other), "there is room again")
            assert "Too many open files" not in site.log("bot")
        finally:
            bot.terminate()
            bot.wait(STOP_WITHIN)


def _opens(site: Servers, live: str) -> bool:
    with site.http.stream("GET", live) as answer:
        return answer.status_code == 200


# Static files and pages


@pytest.mark.parametrize(
    "name",
    ["%00", "a%00.js", "a" * 300, "a/" * 3000, "..%2fpyproject.toml", ".", "", "icons", "%ff.js", "a\u00e9.js"],
)
def test_no_name_of_a_static_file_is_a_fault_of_ours(servers: Servers, name: str) -> None:
    assert servers.http.get(f"{servers.web}/static/{name}").status_code == 404


def test_a_static_file_is_held_once_however_it_is_spelt() -> None:
    assets = Assets(reload=False)
    assert assets._find("icons/sms.svg")
    for spelt in (
        "./icons/sms.svg",
        "icons//sms.svg",
        "icons/./sms.svg",
        "icons/../icons/sms.svg",
        "x/../embed.js",
    ):
        assert assets._find(spelt) is None
    assert set(assets._held) == {"icons/sms.svg"}


def test_every_static_file_has_a_name_that_is_served() -> None:
    assets = Assets(reload=False)
    files = [path for path in STATIC.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert all(assets._find(path.relative_to(STATIC).as_posix()) for path in files)


def test_a_state_in_other_letters_is_only_a_wrong_one(servers: Servers) -> None:
    with httpx.Client(base_url=servers.web) as browser:
        browser.get("/login")
        assert browser.get("/login/done", params={"state": "é"}).status_code == 410


# Logs


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What our logging writes, set up as every process does it."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    set_up_logging("web", "INFO")
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    "sign", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1b[2J", "\x00", "\x85", "\u2028", "\u202e"]
)
def test_no_value_can_begin_a_line_or_steer_a_terminal(written: io.StringIO, sign: str) -> None:
    logging.getLogger("test").info("path %s", f"/a{sign}2026-01-01 web INFO forged")
    try:
        int(f"bad{sign}forged")
    except ValueError:
        logging.getLogger("test").exception("a defect")
    text = written.getvalue()
    assert text.count("path /a") == 1
    first, second, *traceback = text.removesuffix("\n").split("\n")
    assert first.endswith("forged")
    assert "a defect" in second
    assert traceback
    assert all(line.startswith("  ") for line in traceback)
    assert text.replace("\n", "").isprintable()


def test_no_phone_or_email_is_written_whole(written: io.StringIO) -> None:
    logging.getLogger("test").info("to %s and %s", "+79522966236", "somebody.special@example.com")
    assert "9522966" not in written.getvalue()
    assert "somebody" not in written.getvalue()
    assert "s•••@example.com" in written.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "Can not write request body for http://127.0.0.1:8002/bot1:sandbox/getUpdates",
        "https://api.telegram.org/bot123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsawx/getMe",
        "set TELEGRAM_BOT_TOKEN=123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsawx",
    ],
)
def test_no_bots_token_is_written(written: io.StringIO, text: str) -> None:
    logging.getLogger("test").warning("away: %s", text)
    assert "away: " in written.getvalue()
    assert "sandbox" not in written.getvalue()
    assert "AAHdq" not in written.getvalue()


def test_a_forged_path_stays_on_its_line_in_the_running_server(servers: Servers) -> None:
    before = len(servers.log("web"))
    for sign in ("%0a", "%0d", "%1b", "%e2%80%a8"):
        servers.http.get(f"{servers.web}/session/x{sign}FORGED-LINE", headers=PUBLIC)

    def forged() -> list[str]:
        return [line for line in servers.log("web")[before:].splitlines() if "FORGED-LINE" in line]

    until(lambda: len(forged()) >= 4, "all are in the log")
    lines = forged()
    assert len(lines) == 4
    assert all(line.startswith("20") and "ERROR_NOT_FOUND" in line for line in lines)


def test_a_long_path_costs_a_log_line_no_time_and_no_room(written: io.StringIO) -> None:
    """Looking for an email in 60,000 letters took 20 seconds, in which a worker served nobody."""
    began = time.thread_time()
    logging.getLogger("test").info("path /session/%s", "a" * 60_000)
    assert time.thread_time() - began < 2
    assert len(written.getvalue()) < 3000


def test_an_email_at_the_end_of_what_is_shortened_is_masked(written: io.StringIO) -> None:
    for length in range(1960, 1995):
        logging.getLogger("test").info("%s somebody.special@example.com", "x" * length)
    assert "somebod" not in written.getvalue()


@pytest.mark.parametrize(
    ("line", "expect", "status"),
    [
        (b"GET /healthz HTTP/1.1", b"\x80", 417),
        (b"GET /nowhere HTTP/1.1", b"\xff", 417),
        (b"PUT /live/x HTTP/1.1", b"200-maybe", 417),
        (b"GET /healthz HTTP/1.0", b"\x80", 200),
        (b"GET /healthz HTTP/1.1", b"100-Continue", 100),
        (b"HEAD /healthz HTTP/1.1", b"", 200),
        (b"PUT /healthz HTTP/1.1", b"", 405),
        (b"GET /nowhere HTTP/1.1", b"", 404),
    ],
)
def test_the_bots_process_is_asked_for_what_it_does_not_do(
    servers: Servers, line: bytes, expect: bytes, status: int
) -> None:
    before = len(servers.log("bot"))
    expects = b"Expect: " + expect + b"\r\n" if expect else b""
    answer = ask(servers.live, line + b"\r\nHost: localhost\r\n" + expects + b"Connection: close\r\n\r\n")
    assert status_of(answer) == status
    if status == 100:
        assert b"HTTP/1.1 200 " in answer
    if status == 405:
        assert b"Allow: GET,HEAD" in answer
    assert "Traceback" not in servers.log("bot")[before:]


def test_what_is_no_http_leaves_no_live_token_in_the_log(servers: Servers) -> None:
    path = urlsplit(servers.live_url(servers.create(new_phone())["session_id"])).path.encode()
    before = len(servers.log("bot"))
    answer = ask(servers.live, b"GET " + path + b"\xff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert status_of(answer) == 400
    time.sleep(0.2)
    said = servers.log("bot")[before:].splitlines()
    assert [line for line in said if "gateway.callbacks" not in line] == []  # those are of messages of other tests
    assert path.decode() not in "".join(said)


# What is installed


def test_every_locked_package_is_pinned_by_hashes() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        entries = re.split(r"\n(?=\S)", (ROOT / name).read_text("utf-8").strip())
        packages = [entry for entry in entries if entry and not entry.startswith("#")]
        assert len(packages) > 20
        for entry in packages:
            assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+", entry), entry[:60]
            assert "--hash=sha256:" in entry, entry[:60]
