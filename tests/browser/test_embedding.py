"""docs/embedding.md: each of its snippets logs a visitor in, under the policy that it recommends."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.needs import find_chromium

from .conftest import FLAGS, Visits
from .people import DESKTOP, DESKTOP_PLAIN, PHONE, Visitor
from .stack import ROOT, Stack

GUIDE = (ROOT / "docs/embedding.md").read_text("utf-8")
STATE = "5tate-of-this-browser"
HOST = "partner.localhost"
SNIPPETS = dict(
    zip(
        ["form", "button", "inline", "open", "event", "iframe"],
        re.findall(r"```html\n(.+?)```", GUIDE, re.DOTALL),
        strict=True,
    )
)
[POLICY] = re.findall(r"```\n(script-src .+?)\n```", GUIDE)


class Shop:
    """A partner's server: `page` at every address but `/login/done`, which verifies."""

    def __init__(self, kodgate: str) -> None:
        self._kodgate = kodgate
        self.page = ""
        self.headers: dict[str, str] = {}
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/html; charset=utf-8")
                for name, value in shop.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(f"<!doctype html><html lang=en><title>Shop</title><body>{shop.at(self)}".encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://{HOST}:{self._server.server_port}"
        self.by_another_name = f"http://localhost:{self._server.server_port}"

    def shows(self, snippet: str) -> None:
        """Serve it, as written for this shop and this Kodgate."""
        inline = "'unsafe-inline'" if "<script>" in snippet else ""
        policy = POLICY.replace("script-src", f"script-src {inline}")
        self.page = self._filled(snippet)
        self.headers = {"content-security-policy": self._filled(policy) + "; style-src 'none'; img-src data:"}

    def at(self, request: BaseHTTPRequestHandler) -> str:
        address = urlsplit(request.path)
        if address.path == "/cookie":
            return request.headers.get("cookie", "no cookie")
        return self._done(parse_qs(address.query)) if address.path == "/login/done" else self.page

    def _done(self, query: dict[str, list[str]]) -> str:
        if query.get("state") != [STATE]:
            return "<h1>forged</h1>"
        answer = httpx.post(
            f"{self._kodgate}/session/verify",
            json={"verify_token": query["verify_token"][0]},
            headers={"x-api-key": "sk_development"},
        )
        return f"<h1>{answer.json().get('phone', 'refused')}</h1>"

    def _filled(self, text: str) -> str:
        for name, value in {
            "https://login.example.com": self._kodgate,
            "https://shop.example.com": self.origin,
            "PUBLIC_KEY": "pk_development",
            "RANDOM": STATE,
        }.items():
            text = text.replace(name, value)
        return text

    @contextmanager
    def running(self) -> Iterator["Shop"]:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        yield self
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def shop(stack: Stack) -> Iterator[Shop]:
    with Shop(stack.web).running() as shop:
        yield shop


@pytest.mark.parametrize("name", SNIPPETS)
def test_the_guides_snippet_logs_in(visits: Visits, shop: Shop, phone: str, name: str) -> None:
    shop.shows(SNIPPETS[name])
    visitor = visits.visitor(PHONE if name == "inline" else DESKTOP)
    page = visitor.page
    page.goto(shop.origin)
    if name not in ("inline", "iframe"):
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("dialog", name="Log in")).to_be_visible()
    framed = visitor.in_frame()
    log_in(framed, phone)
    if name == "iframe":
        framed.within.get_by_role("link", name="Continue").click()
    expect(page.get_by_role("heading")).to_have_text(phone)
    assert page.url.startswith(f"{shop.origin}/login/done?")


def test_the_form_needs_no_script(visits: Visits, shop: Shop, phone: str) -> None:
    shop.shows(SNIPPETS["form"])
    visitor = visits.visitor(DESKTOP_PLAIN)
    visitor.page.goto(shop.origin)
    visitor.page.get_by_role("button", name="Log in").click()
    log_in(visitor, phone)
    expect(visitor.page.get_by_role("heading")).to_have_text(phone)


def log_in(visitor: Visitor, phone: str) -> None:
    visitor.gives(phone)
    visitor.chooses("sms")
    visitor.types(visitor.stack.code(phone))


def test_third_party_cookies_are_blocked_here(
    browser: Browser, visits: Visits, shop: Shop, tmp_path: Path
) -> None:
    """So all of the above goes without them. The same probe passes where a profile allows them."""
    shop.page = f"<iframe src='{shop.by_another_name}/cookie'></iframe>"
    shop.headers = {"set-cookie": "probe=1; SameSite=None; Secure; Path=/"}
    assert cookie_in_frame(visits.page(DESKTOP), shop) == "no cookie"

    profile = tmp_path / "Default"
    profile.mkdir()
    (profile / "Preferences").write_text('{"profile": {"cookie_controls_mode": 0}}')
    allowing: BrowserContext = browser.browser_type.launch_persistent_context(
        tmp_path, executable_path=find_chromium(), args=FLAGS
    )
    try:
        assert cookie_in_frame(allowing.new_page(), shop) == "probe=1"
    finally:
        allowing.close()


def cookie_in_frame(page: Page, shop: Shop) -> str:
    """What the framed site receives the second time, after it has set a cookie."""
    for _ in range(2):
        page.goto(shop.origin)
        body = page.frame_locator("iframe").locator("body")
        expect(body).to_contain_text(re.compile("cookie|probe"))
    return body.inner_text()
