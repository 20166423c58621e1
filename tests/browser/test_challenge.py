"""The challenge in a real browser: a proof of work nobody notices, and a CAPTCHA of somebody else's."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.captcha import Captcha
from tests.figures import Figure

from .conftest import Visits, Watch, running
from .people import DESKTOP, PHONE, PHONE_PLAIN, Face, press, shown
from .stack import Stack
from .test_looks import violations

ENTRY = "/widget/?key={key}&return_to=/login/done"
FROM_ANOTHER_TIME = "Date.now = ((now) => () => now() + {ms})(Date.now);"
SOLVED = """() => new Promise((done) => {
  const field = document.querySelector("[name=challenge]");
  const fetched = (one) => one.name.includes("/challenge?");
  const began = () => performance.getEntriesByType("resource").find(fetched).responseEnd;
  const look = () => (field.value ? done([field.value, performance.now() - began()]) : setTimeout(look, 2));
  look();
})"""
WITHOUT_WEBCRYPTO = "delete Crypto.prototype.subtle;"


@pytest.fixture(scope="module")
def captcha() -> Iterator[Captcha]:
    with Captcha() as played:
        yield played


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, captcha: Captcha) -> Iterator[Stack]:
    """Projects that always ask, each with another provider; and `pk_calm`, which asks who sends more than once."""
    once = {"LIMIT_SENDS_ADDRESS_SOFT": "1/3600"}
    stack = Stack(tmp_path_factory.mktemp("guarded"), WEB_THREADS="4", **captcha.settings, **once)
    for started in running(stack):
        started.add_project("pk_altcha", name="Guarded", challenge="always")
        for provider in captcha.providers:
            started.add_guarded_project(f"pk_{provider}", provider, captcha.secret)
        started.add_guarded_project("pk_calm", "turnstile", captcha.secret, challenge="suspicious")
        yield started


def logs_in(
    visits: Visits, guarded: Stack, phone: str, face: Face, *, script: str = "", project: str = "altcha"
) -> Page:
    """From the first page to the last; the challenge asks for nothing."""
    visitor = visits.visitor(face, guarded)
    if script:
        visitor.page.context.add_init_script(script)
    visitor.begins(f"/widget/?key=pk_{project}")
    visitor.gives(phone)
    visitor.is_asked_for_code("telegram")
    visitor.switches_to("sms")
    visitor.types(guarded.code(phone))
    expect(visitor.heading).to_have_text("Done")
    return visitor.page


@pytest.mark.parametrize("face", [PHONE, DESKTOP], ids=str)
def test_nobody_notices_the_proof_of_work(visits: Visits, guarded: Stack, phone: str, face: Face) -> None:
    logs_in(visits, guarded, phone, face)


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_wrong_clock_does_no_harm(visits: Visits, guarded: Stack, phone: str, minutes: int) -> None:
    logs_in(visits, guarded, phone, PHONE, script=FROM_ANOTHER_TIME.format(ms=minutes * 60_000))


def test_without_webcrypto_it_takes_longer(visits: Visits, guarded: Stack, phone: str) -> None:
    page = logs_in(visits, guarded, phone, DESKTOP, script=WITHOUT_WEBCRYPTO)
    assert page.evaluate("crypto.subtle") is None


def test_both_ways_of_solving_find_the_same(visits: Visits, guarded: Stack, figure: Figure) -> None:
    key = {"x-api-key": "pk_altcha"}
    challenge = httpx.get(f"{guarded.web}/session/challenge", headers=key).json()
    found = {}
    for name, script in (("WebCrypto", ""), ("plain", WITHOUT_WEBCRYPTO)):
        page = visits.page(DESKTOP)
        page.context.add_init_script(script)
        page.route("**/widget/challenge?*", lambda route: route.fulfill(json=challenge))
        page.goto(guarded.web + ENTRY.format(key="pk_altcha"))
        text, took = page.evaluate(SOLVED)
        solved = json.loads(base64.b64decode(text))
        assert solved["challenge"] == challenge
        found[name] = (solved["solution"], took)
    assert found["WebCrypto"][0] == found["plain"][0]
    told = ", ".join(f"{name} {took:.0f} ms" for name, (_, took) in found.items())
    figure(f"proof of work, {found['plain'][0]['counter']} tries: {told}")


def test_a_form_sent_at_once_waits_and_says_why(visits: Visits, guarded: Stack, phone: str) -> None:
    visitor = visits.visitor(PHONE, guarded)
    page = visitor.page
    held: list[Any] = []
    page.route("**/widget/challenge?*", lambda route: held.append(route))
    visitor.begins(ENTRY.format(key="pk_altcha"))
    visitor.gives(phone)
    expect(page.locator(".challenge [role=status]")).to_have_text("Checking that you are not a robot…")
    assert violations(page) == []
    held[0].continue_()
    visitor.is_asked_for_code("telegram")


def test_a_form_left_open_fetches_another(visits: Visits, guarded: Stack, phone: str) -> None:
    visitor = visits.visitor(PHONE, guarded)
    fetched: list[str] = []
    visitor.page.on(
        "request", lambda request: fetched.append(request.url) if "/challenge?" in request.url else None
    )
    visitor.begins(ENTRY.format(key="pk_altcha"))
    expect(visitor.page.locator("[name=challenge]")).not_to_have_value("")
    visitor.page.evaluate(FROM_ANOTHER_TIME.format(ms=11 * 60_000))
    visitor.gives(phone)
    visitor.is_asked_for_code("telegram")
    assert len([url for url in fetched if "/widget/challenge?" in url]) == 2


def test_a_challenge_that_can_not_be_fetched_is_said_so(
    visits: Visits, guarded: Stack, phone: str, watch: Watch
) -> None:
    watch.expects(403, "Failed to load resource: net::ERR_FAILED")
    visitor = visits.visitor(PHONE, guarded)
    visitor.page.route("**/widget/challenge?*", lambda route: route.abort())
    visitor.begins(ENTRY.format(key="pk_altcha"))
    visitor.gives(phone)
    expect(visitor.problem).to_have_text("Please confirm that you are not a robot, then try again.")
    visitor.page.unroute("**/widget/challenge?*")
    visitor.gives(phone)
    visitor.is_asked_for_code("telegram")


def test_a_mistyped_number_costs_no_second_thought(
    visits: Visits, guarded: Stack, phone: str, watch: Watch
) -> None:
    watch.expects(400)
    visitor = visits.visitor(PHONE, guarded)
    visitor.begins(ENTRY.format(key="pk_altcha"))
    visitor.gives("123")
    expect(visitor.problem).to_be_visible()
    visitor.gives(phone)
    visitor.is_asked_for_code("telegram")


def test_without_a_script_the_page_says_what_to_do(visits: Visits, guarded: Stack) -> None:
    visitor = visits.visitor(PHONE_PLAIN, guarded)
    visitor.begins(ENTRY.format(key="pk_altcha"))
    expect(visitor.page.locator("form .problem")).to_contain_text("needs JavaScript")


def test_a_project_that_asks_nothing_loads_nothing(visits: Visits, guarded: Stack) -> None:
    page = visits.page(PHONE)
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    page.goto(guarded.web + ENTRY.format(key="pk_development"), wait_until="networkidle")
    assert len(loaded) >= 3
    assert [url for url in loaded if "challenge" in url] == []


@pytest.mark.parametrize("face", [PHONE, DESKTOP], ids=str)
def test_axe_finds_no_violation(visits: Visits, guarded: Stack, face: Face) -> None:
    page = visits.page(face)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.goto(guarded.web + ENTRY.format(key="pk_altcha"))
        expect(page.locator("[name=challenge]")).not_to_have_value("")
        assert violations(page) == []


@pytest.mark.parametrize("provider", ["turnstile", "smartcaptcha", "recaptcha"])
def test_a_captcha_of_somebody_elses(
    visits: Visits, guarded: Stack, captcha: Captcha, phone: str, provider: str
) -> None:
    visitor = visits.visitor(PHONE, guarded)
    visitor.begins(ENTRY.format(key=f"pk_{provider}"))
    visitor.gives(phone)  # before the box is ticked: the form waits, then goes on by itself
    expect(visitor.page.locator(".challenge [role=status]")).to_contain_text("Please confirm above")
    visitor.page.locator("#tick").click()  # not `check`, which looks at the box again: the page may have gone on
    visitor.is_asked_for_code("telegram")
    visitor.page.get_by_role("link", name="change").click()
    expect(visitor.page.locator("#tick")).to_be_visible()


def test_a_captcha_that_is_asked_for_once_the_form_was_sent(
    visits: Visits, guarded: Stack, phone: str, other_phone: str, watch: Watch
) -> None:
    """The page's policy knew of none: the browser loads the next one as a whole, with what was typed."""
    watch.expects(403)
    another = {"to": other_phone, "type": "sms"}
    httpx.post(f"{guarded.web}/session/create", json=another, headers={"x-api-key": "pk_calm"})
    visitor = visits.visitor(PHONE, guarded)
    visitor.begins(ENTRY.format(key="pk_calm"))
    visitor.gives(phone)
    expect(visitor.problem).to_have_text("Please confirm that you are not a robot, then try again.")
    visitor.page.locator("#tick").check()
    expect(visitor.contact).to_have_value(shown(phone))
    press(visitor.page, visitor.page.locator("main form .primary"))
    visitor.is_asked_for_code("telegram")


def test_a_captcha_whose_script_is_away(
    visits: Visits, guarded: Stack, captcha: Captcha, phone: str, watch: Watch
) -> None:
    watch.expects(403, "Failed to load resource: net::ERR_FAILED")
    visitor = visits.visitor(PHONE, guarded)
    visitor.page.route(f"{captcha.url}/*/script*", lambda route: route.abort())
    visitor.begins(ENTRY.format(key="pk_turnstile"))
    expect(visitor.page.locator("[data-failed]")).to_be_visible()
    assert violations(visitor.page) == []
    visitor.gives(phone)
    expect(visitor.problem).to_have_text("Please confirm that you are not a robot, then try again.")
