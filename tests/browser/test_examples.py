"""Visitors of the example sites log in: each site on its own origin, started by its one command."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Page, expect

from bench.processes import free_ports

from .conftest import Visits, Watch
from .people import DESKTOP, DESKTOP_PLAIN, NARROW, PHONE, PHONE_PLAIN, Visitor
from .sites import EXAMPLES, HOST, TOOLS, NotInstalled, Site
from .stack import Stack
from .test_looks import STICKING_OUT, violations

FOREIGN_KEY = "pk_foreign"
NOT_BEGUN = "This login was not begun here, or not in this browser."
USED_UP = "This login has expired or was used already."
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
UNREACHABLE = "We cannot check your login at the moment."


@pytest.fixture(scope="module")
def sites(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    """All that this machine has the tools for, started at once, so that they install at the same time."""
    folder = tmp_path_factory.mktemp("sites")
    stack.add_project(FOREIGN_KEY, name="Somebody else")
    yield from running([Site(name, stack.web, folder) for name in TOOLS])


@pytest.fixture(scope="module")
def lonely_sites(sites: dict[str, Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    """The same on https behind a proxy, of a Kodgate that does not answer."""
    folder = tmp_path_factory.mktemp("lonely")
    [port] = free_ports(1)
    nobody = f"http://127.0.0.1:{port}"
    yield from running([Site(name, nobody, folder, SITE_URL=f"https://{HOST}") for name in sites])


def running(sites: list[Site]) -> Iterator[dict[str, Site]]:
    found: dict[str, Site] = {}
    with ExitStack() as stack:
        for site in sites:
            if not site.missing:
                stack.callback(site.stop)
                site.begin()
                found[site.name] = site
        for site in list(found.values()):
            try:
                site.wait()
            except NotInstalled:
                if os.environ.get("CI") == "true":
                    raise
                del found[site.name]
        yield found


@pytest.fixture(params=TOOLS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def site(sites: dict[str, Site], name: str) -> Site:
    return _one(sites, name)


@pytest.fixture
def lonely_site(lonely_sites: dict[str, Site], name: str) -> Site:
    return _one(lonely_sites, name)


def _one(sites: dict[str, Site], name: str) -> Site:
    if name not in sites:
        pytest.skip(f"EXAMPLE {name.upper()} NOT TRIED: needs {' and '.join(TOOLS[name])}, and its packages")
    return sites[name]


# Logging in


def test_logs_in_without_a_script(visits: Visits, site: Site, phone: str) -> None:
    visitor = visits.visitor(PHONE_PLAIN)
    page = visitor.page
    page.goto(site.url)
    before = session_of(page, site)
    page.get_by_role("button", name="Log in").click()
    log_in_by_sms(visitor, phone)

    is_logged_in(page, site, phone)
    assert session_of(page, site) != before
    assert "Welcome" in site.get("/", cookie=session_of(page, site)).text
    assert "Welcome" not in site.get("/", cookie=before).text, "whoever planted the session before is in it now"

    page.get_by_role("link", name="Inline").click()
    expect(page.get_by_text(f"You are logged in as {phone}")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.goto(site.url)
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_logs_in_by_sms_in_the_dialog(visits: Visits, site: Site, phone: str) -> None:
    visitor = visits.visitor(PHONE)
    page = visitor.page
    page.goto(site.url)
    page.get_by_role("button", name="Log in").click()
    dialog = page.get_by_role("dialog", name="Log in")
    expect(dialog).to_be_visible()
    assert page.url == f"{site.url}/"
    log_in_by_sms(visitor.in_frame(), phone)
    is_logged_in(page, site, phone)
    expect(dialog).to_have_count(0)


def test_logs_in_by_telegram_in_the_page(visits: Visits, site: Site, phone: str) -> None:
    visitor = visits.visitor(DESKTOP)
    page = visitor.page
    page.goto(f"{site.url}/inline")
    framed = visitor.in_frame()
    framed.gives(phone)
    framed.chooses("telegram")
    chat = visits.chat(framed.within.locator("a.telegram").get_attribute("href") or "")
    chat.belongs_to(phone)
    chat.presses_start()
    chat.shares_contact()
    framed.types(chat.code())
    is_logged_in(page, site, phone)


def log_in_by_sms(visitor: Visitor, phone: str) -> None:
    visitor.gives(phone)
    visitor.chooses("sms")
    visitor.types(visitor.stack.code(phone))


def is_logged_in(page: Page, site: Site, contact: str) -> None:
    """With a session of the site's own; the token is gone from the address."""
    expect(page.get_by_text(f"You are logged in as {contact}")).to_be_visible()
    assert page.url == f"{site.url}/"
    cookies = {one["name"]: one for one in page.context.cookies()}
    cookie = cookies.pop(f"partner_{site.name}")
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["domain"]) == (True, "Lax", HOST)
    assert set(cookies) <= {f"partner_{site.name}_csrf", "kodgate_browser"}, "one tap's own is all"


def session_of(page: Page, site: Site) -> str:
    """The session's cookie, as a header."""
    name = f"partner_{site.name}"
    [value] = [one["value"] for one in page.context.cookies(site.url) if one["name"] == name]
    return f"{name}={value}"


# Bad input


def test_a_forged_state_is_refused(visits: Visits, stack: Stack, site: Site, watch: Watch, phone: str) -> None:
    """Somebody else's login must not become this visitor's."""
    watch.expects(403)
    page = visits.page(DESKTOP_PLAIN)
    token = verify_token(stack, phone)
    for query in (f"verify_token={token}", f"verify_token={token}&state=", f"verify_token={token}&state=забыто"):
        page.goto(f"{site.url}/login/done?{query}")
        is_refused(page, NOT_BEGUN)
    own = begin(page, site)
    other = begin(visits.page(DESKTOP_PLAIN), site)
    for state in (other, own[:-1], own + "x", ""):
        page.goto(f"{site.url}/login/done?verify_token={token}&state={state}")
        is_refused(page, NOT_BEGUN)
    page.goto(f"{site.url}/login/done?verify_token={token}&state={own}")
    is_logged_in(page, site, phone)


def test_a_token_that_is_used_foreign_or_forged_is_refused(
    visits: Visits, stack: Stack, site: Site, watch: Watch, phone: str, other_phone: str
) -> None:
    watch.expects(403)
    token = verify_token(stack, phone)
    page = visits.page(PHONE_PLAIN)
    address = f"{site.url}/login/done?verify_token={token}&state={begin(page, site)}"
    page.goto(address)
    is_logged_in(page, site, phone)
    page.goto(address)
    is_refused(page, NOT_BEGUN)

    foreign = verify_token(stack, other_phone, FOREIGN_KEY)
    for bad in (token, "forged", ""):
        answer = answer_to(site, bad)
        assert answer.status_code == 403
        assert USED_UP in answer.text
    page = visits.page(PHONE_PLAIN)
    page.goto(f"{site.url}/login/done?verify_token={foreign}&state={begin(page, site)}")
    is_refused(page, USED_UP)
    page.get_by_role("link", name="Try again").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_nobody_else_can_log_a_visitor_out(
    visits: Visits, stack: Stack, site: Site, watch: Watch, phone: str
) -> None:
    watch.expects(403)
    page = visits.page(DESKTOP)
    page.route("**/embed.js*", lambda route: route.abort())
    watch.expects("net::ERR_FAILED")
    page.goto(f"{site.url}/login/done?verify_token={verify_token(stack, phone)}&state={begin(page, site)}")
    page.evaluate(
        """() => { const form = document.createElement("form");
        form.action = "/logout"; form.method = "post"; document.body.append(form); form.submit(); }"""
    )
    page.wait_for_url(f"{site.url}/logout")
    is_refused(page, "This form is out of date.")
    assert site.get("/logout", cookie=session_of(page, site)).status_code in (404, 405)
    page.goto(site.url)
    is_logged_in(page, site, phone)


def test_without_kodgate_the_page_says_so(lonely_site: Site) -> None:
    """And on https the session's cookie is for https alone."""
    by_https = {"x-forwarded-proto": "https"}
    cookie = lonely_site.get("/", **by_https).headers["set-cookie"]
    assert re.search("; secure(;|$)", cookie, re.IGNORECASE)
    answer = answer_to(lonely_site, "any", **by_https)
    assert answer.status_code == 502
    assert UNREACHABLE in answer.text
    assert "sk_development" not in answer.text


def test_pages_are_closed_to_others(site: Site) -> None:
    headers = site.get("/").headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "'unsafe-inline'" not in headers["content-security-policy"]
    assert "no-store" in headers["cache-control"]


def begin(page: Page, site: Site) -> str:
    """The state that this browser's login would carry."""
    page.goto(site.url)
    return page.locator("input[name=state]").get_attribute("value") or ""


def answer_to(site: Site, token: str, **headers: str) -> httpx.Response:
    """What a browser that has just begun its login meets with this token."""
    home = site.get("/", **headers)
    state = re.search(r'name="state" value="([^"]+)"', home.text)
    assert state
    cookie = home.headers["set-cookie"].partition(";")[0].strip()
    return site.get(f"/login/done?verify_token={token}&state={state[1]}", cookie=cookie, **headers)


def verify_token(stack: Stack, phone: str, key: str = "pk_development") -> str:
    """What a login by SMS through the API ends with."""
    with httpx.Client(base_url=stack.web, headers={"x-api-key": key}) as http:
        session = http.post("/session/create", json={"to": phone, "type": "sms"}).raise_for_status().json()
        code = {"session_id": session["session_id"], "code": stack.code(phone)}
        return str(http.post("/session/check", json=code).raise_for_status().json()["verify_token"])


def is_refused(page: Page, words: str) -> None:
    expect(page.get_by_role("heading", name="That did not work")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_text(words)


# Looks


def test_axe_finds_no_violation_and_nothing_sticks_out(
    visits: Visits, stack: Stack, sites: dict[str, Site], watch: Watch, phone: str
) -> None:
    watch.expects(403, "net::ERR_FAILED")
    site = _one(sites, "flask")
    page = visits.page(NARROW)
    page.route("**/embed.js*", lambda route: route.abort())
    state = begin(page, site)
    token = verify_token(stack, phone)
    for path in ("/", "/inline", "/login/done", f"/login/done?verify_token={token}&state={state}"):
        page.goto(site.url + path)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert violations(page) == [], (path, scheme)
        assert page.evaluate(STICKING_OUT) == [], path
    is_logged_in(page, site, phone)


@pytest.mark.parametrize("path", ["/", "/inline", "/login/done"])
def test_the_sites_are_the_same_page_for_page(sites: dict[str, Site], site: Site, path: str) -> None:
    assert _shape(site, path) == _shape(_one(sites, "flask"), path)


def _shape(site: Site, path: str) -> list[str]:
    """The page without what is this site's own, or this session's."""
    page = re.sub(r'(state=?"?(?: value="|"))[\w-]+', r"\1", site.get(path).text)
    page = page.replace(site.url, "").partition("<footer>")[0]
    return [line.strip() for line in page.splitlines() if line.strip()]


@pytest.mark.parametrize("file", ["style.css", "icon.svg"])
def test_each_folder_is_whole(file: str) -> None:
    """So what they share stands in each."""
    own = [path for path in EXAMPLES.rglob(f"static/{file}") if not {".venv", "node_modules"} & set(path.parts)]
    assert len(own) == len(TOOLS)
    assert len({path.read_text("utf-8") for path in own}) == 1
