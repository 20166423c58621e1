"""A page on another origin logs its visitor in by plain fetch, in production, where only listed origins may."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.servers import Servers, until

from .conftest import Watch
from .partner import Partner
from .people import ENOUGH_FOR_A_PERSON

LISTED = "partner.localhost"
WILDCARD = "shops.localhost"
PUBLIC_KEY = "pk_partner"
SECRET_KEY = "sk_partner_0123456789"
BLOCKED = ("blocked by CORS policy", "net::ERR_FAILED")
UNREADABLE = "TypeError: Failed to fetch"  # all that Chromium tells a page of an answer it may not read
SESSION_OF_NOBODY = "01K8N1VMPN0EE389K72YW0CBM2"
VERBS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "settings", None),
    ("POST", "create", {"to": "+79523009999", "type": "sms"}),
    ("GET", "channels", None),
    ("POST", "send", {"session_id": SESSION_OF_NOBODY, "type": "sms"}),
    ("POST", "check", {"session_id": SESSION_OF_NOBODY, "code": "123456"}),
]


@dataclass
class Production:
    """Kodgate in production with two projects; the second is somebody else's, with origins elsewhere."""

    servers: Servers
    partner: Partner
    others_key: str


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    servers = Servers(
        tmp_path_factory.mktemp("production"),
        KODGATE_ENV="production",
        SECRET_KEYS="s" * 40,
        PROJECT_NAME="Partner",
        PROJECT_PUBLIC_KEY=PUBLIC_KEY,
        PROJECT_SECRET_KEY=SECRET_KEY,
        PROJECT_COUNTRIES="all",
    )
    servers.environment["SMS_URL"] = f"webhook+{servers.sandbox}/inbox"
    with Partner(servers.web, SECRET_KEY) as partner:
        listed = f"{partner.origin(LISTED)},{partner.origin(f'*.{WILDCARD}')}"
        kodgate(servers, "project", "set", "1", f"origins={listed}")
        shown = kodgate(servers, "project", "create", "Other", "--countries", "all")
        kodgate(servers, "project", "set", "2", "origins=https://other.example.com")
        [others_key] = re.findall(r"pk_\S+", shown)
        with servers:
            yield Production(servers, partner, others_key)


def kodgate(servers: Servers, *words: str) -> str:
    """The operator's command, before the servers start, so that nobody has to wait for them to notice."""
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", *words],
        cwd=servers.folder,
        env=servers.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


@pytest.fixture
def page(browser: Browser, watch: Watch) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(ENOUGH_FOR_A_PERSON)
    watch.over(context)
    yield context.new_page()
    context.close()


def visit(page: Page, production: Production, name: str, key: str = PUBLIC_KEY) -> None:
    page.goto(f"{production.partner.origin(name)}/?key={key}")


def newest_code(production: Production, phone: str) -> str:
    return str(until(lambda: production.servers.letters(phone), f"a code for {phone}")[0]["code"])


@pytest.mark.parametrize("name", [LISTED, f"north.{WILDCARD}", f"a.b.{WILDCARD}"])
def test_a_visitor_of_a_listed_origin_logs_in(
    page: Page, production: Production, watch: Watch, phone: str, name: str
) -> None:
    watch.expects(429)
    visit(page, production, name)
    expect(page.locator("#name")).to_have_text("Partner")
    page.locator("[name=to]").fill(phone)
    page.get_by_role("button", name="Begin").click()
    sms = page.get_by_role("button", name="SMS")
    sms.click()
    problem = page.locator("#problem")
    expect(problem).to_have_text("sent by SMS, again in 60 s")
    sms.click()
    expect(problem).to_contain_text(re.compile(r"ERROR_MESSAGE_ATTEMPT: .+ \(retry-after: \d+\)"))

    code = newest_code(production, phone)
    page.locator("[name=code]").fill(f"{(int(code) + 1) % 10**6:06}")
    page.get_by_role("button", name="Log in").click()
    expect(problem).to_contain_text("ERROR_MESSAGE_WRONG_CODE: Wrong code. Attempts left: 4.")
    expect(page.locator("#phone")).to_be_empty()
    page.locator("[name=code]").fill(code)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#phone")).to_have_text(phone)
    assert len(production.servers.letters(phone)) == 1


@pytest.mark.parametrize(
    "name", ["stranger.localhost", f"evil-{LISTED}", f"sub.{LISTED}", WILDCARD, f"evil{WILDCARD}"]
)
def test_a_page_of_an_origin_that_is_not_listed_reads_nothing(
    page: Page, production: Production, watch: Watch, name: str
) -> None:
    watch.expects(*BLOCKED)
    statuses = statuses_of(page)
    visit(page, production, name)
    expect(page.locator("#problem")).to_have_text(UNREADABLE)
    reads_nothing(page)

    def all_told() -> bool:
        page.wait_for_timeout(10)  # Playwright hears events only while it is waited with
        return statuses.count(403) == 1 + len(VERBS)

    until(all_told, "each request is refused")


def test_a_page_reads_nothing_of_a_project_with_other_origins(
    page: Page, production: Production, watch: Watch
) -> None:
    watch.expects(*BLOCKED)
    visit(page, production, LISTED, production.others_key)
    expect(page.locator("#problem")).to_have_text(UNREADABLE)
    reads_nothing(page)


def test_a_page_that_holds_the_secret_key_reads_nothing(page: Page, production: Production, watch: Watch) -> None:
    watch.expects(*BLOCKED)
    visit(page, production, LISTED, SECRET_KEY)
    expect(page.locator("#problem")).to_have_text(UNREADABLE)
    assert attempts(page, [("POST", "verify", {"verify_token": "guessed"})]) == {"verify": UNREADABLE}


def test_a_page_can_read_that_its_key_is_wrong(page: Page, production: Production, watch: Watch) -> None:
    watch.expects(401)
    visit(page, production, "stranger.localhost", "pk_mistyped")
    expect(page.locator("#problem")).to_contain_text("ERROR_ACCESS_DENIED")


def test_what_a_page_elsewhere_makes_a_browser_send_is_refused(production: Production) -> None:
    """Every verb, and origins that no page of a test can have."""
    port = production.partner.origin("x").rpartition(":")[2]
    origins = [
        production.partner.origin("stranger.localhost"),
        "null",
        f"https://{LISTED}:{port}",
        f"http://{LISTED}",
        f"http://{LISTED}:{port}.example.com",
        f"http://north.{WILDCARD}:{port}.example.com",
        f"https://north.{WILDCARD}:{port}",
    ]
    for origin in origins:
        for method, verb, body in VERBS:
            headers = {"x-api-key": PUBLIC_KEY, "origin": origin}
            url = f"{production.servers.web}/session/{verb}"
            answer = httpx.request(method, url, json=body, headers=headers)
            assert (answer.status_code, answer.json()["sys_message"]) == (403, "ERROR_ACCESS_DENIED"), (
                origin,
                verb,
            )
            assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert production.servers.letters("+79523009999") == []


def statuses_of(page: Page) -> list[int]:
    """The statuses of answers as they come; Playwright's own events leave out those that are blocked."""
    statuses: list[int] = []
    network = page.context.new_cdp_session(page)
    network.on("Network.responseReceivedExtraInfo", lambda event: statuses.append(event["statusCode"]))
    network.send("Network.enable")
    return statuses


def reads_nothing(page: Page) -> None:
    assert attempts(page, VERBS) == {verb: UNREADABLE for _, verb, _ in VERBS}


def attempts(page: Page, verbs: list[tuple[str, str, dict[str, Any] | None]]) -> dict[str, str]:
    """What the page's own function meets at each verb."""
    met: dict[str, str] = page.evaluate(
        """async (verbs) => Object.fromEntries(await Promise.all(verbs.map(async ([, verb, body]) => [
          verb, await kodgate(verb, body).then(JSON.stringify, (error) => `${error.name}: ${error.message}`),
        ])))""",
        [list(verb) for verb in verbs],
    )
    return met
