"""The browser, the running product, and a watch on what goes wrong in the console."""

import itertools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from .people import ENOUGH_FOR_A_PERSON, PHONE, Chat, Face, Visitor
from .stack import Stack

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WRONG_CODE = 422  # a wrong code is an answer that every visitor meets, and the console notes each refusal
_STATUS = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")
_TELL_VIOLATIONS = """addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));"""
_PHONES = itertools.count(1)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; none is a skip for a developer and a failure for continuous integration."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        complaint = "Chromium is missing, so NO BROWSER TEST RAN: apt-get install chromium (or set CHROMIUM=path)"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(complaint)
    expect.set_options(timeout=ENOUGH_FOR_A_PERSON)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The product with its usual limits."""
    yield from running(Stack(tmp_path_factory.mktemp("stack")))


@pytest.fixture(scope="package")
def hasty_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The same in a hurry: cool-downs and pauses of 3 s, and a project `pk_brief` with sessions of 5 s."""
    hasty = Stack(tmp_path_factory.mktemp("hasty"), COOLDOWN_SECONDS="3", PAUSE_SECONDS="3")
    for started in running(hasty):
        started.add_project("pk_brief", name="Brief", session_seconds=5)
        yield started


def running(stack: Stack) -> Iterator[Stack]:
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def phone() -> str:
    """A number that no other test uses."""
    return f"+7952300{next(_PHONES):04}"


@pytest.fixture
def other_phone() -> str:
    return f"+7952300{next(_PHONES):04}"


@pytest.fixture
def email() -> str:
    return f"ann{next(_PHONES)}@example.com"


class Watch:
    """Collects what the console complains of; a test says beforehand which complaints it means to cause."""

    def __init__(self) -> None:
        self.expected = [re.compile(rf"status of {WRONG_CODE}")]
        self.complaints: list[str] = []

    def expects(self, *patterns: str | int) -> None:
        """A status of a refused request, or a pattern of a message."""
        for pattern in patterns:
            text = rf"status of {pattern}\b" if isinstance(pattern, int) else pattern
            self.expected.append(re.compile(text))

    def over(self, context: BrowserContext) -> None:
        context.add_init_script(_TELL_VIOLATIONS)
        context.on("console", self._heard)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    @property
    def unexpected(self) -> list[str]:
        return [text for text in self.complaints if not any(known.search(text) for known in self.expected)]


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    yield watch
    assert watch.unexpected == []


class Visits:
    """Opens browser profiles, each with nothing in it yet."""

    def __init__(self, browser: Browser, stack: Stack, watch: Watch) -> None:
        self._browser = browser
        self._stack = stack
        self._watch = watch
        self._contexts: list[BrowserContext] = []

    def page(self, face: Face = PHONE, **options: Any) -> Page:
        context = self._browser.new_context(
            viewport={"width": face.width, "height": face.height},
            is_mobile=face.touch,
            has_touch=face.touch,
            java_script_enabled=face.script,
            **options,
        )
        self._contexts.append(context)
        context.set_default_timeout(ENOUGH_FOR_A_PERSON)
        self._watch.over(context)
        return context.new_page()

    def visitor(self, face: Face = PHONE, stack: Stack | None = None, **options: Any) -> Visitor:
        return Visitor(self.page(face, **options), stack or self._stack, face)

    def chat(self, address: str) -> Chat:
        """Another profile, as the Telegram app is another program; the phone's page needs its script."""
        page = self.page()
        page.goto(address)
        return Chat(page)

    def close(self) -> None:
        while self._contexts:
            self._contexts.pop().close()


@pytest.fixture
def visits(browser: Browser, stack: Stack, watch: Watch) -> Iterator[Visits]:
    visits = Visits(browser, stack, watch)
    yield visits
    visits.close()


SCREENSHOTS = Path(__file__).resolve().parent.parent.parent / "docs" / "screenshots"
