"""The API page in a browser: accessible in light and dark, no wider than the screen, and read without a script."""

import pytest
from playwright.sync_api import expect

from web.examples import LANGUAGES

from .conftest import Visits
from .people import DESKTOP, DESKTOP_PLAIN, NARROW, PHONE, PHONE_PLAIN, Face
from .stack import Stack
from .test_looks import STICKING_OUT, violations

WIDTH = "() => document.documentElement.scrollWidth"


@pytest.mark.parametrize(("face", "scheme"), [(PHONE, "light"), (DESKTOP, "dark")], ids=str)
def test_axe_finds_no_violation(visits: Visits, stack: Stack, face: Face, scheme: str) -> None:
    page = visits.page(face, color_scheme=scheme, reduced_motion="reduce")
    for language in ("curl", "go"):
        page.goto(f"{stack.web}/docs?code={language}")
        assert violations(page) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_only_the_code_scrolls_sideways(visits: Visits, stack: Stack, language: str) -> None:
    page = visits.page(PHONE)
    page.goto(f"{stack.web}/docs?code={language}")
    assert page.evaluate(WIDTH) == PHONE.width
    code = page.get_by_role("group", name=f"Request: Create a session, {LANGUAGES[language]}")
    code.focus()
    assert code.evaluate("(box) => box.scrollWidth > box.clientWidth")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.activeElement.scrollLeft > 0")


def test_nothing_sticks_out_at_320_pixels(visits: Visits, stack: Stack) -> None:
    page = visits.page(NARROW)
    page.goto(f"{stack.web}/docs")
    assert page.evaluate(STICKING_OUT) == []


@pytest.mark.parametrize("face", [PHONE_PLAIN, DESKTOP_PLAIN], ids=str)
def test_another_language_is_one_click_away_and_the_place_is_kept(
    visits: Visits, stack: Stack, face: Face
) -> None:
    page = visits.page(face)
    page.goto(f"{stack.web}/")
    page.get_by_role("link", name="API for developers").click()
    page.locator(".contents").get_by_role("link", name="Check a code").click()
    languages = page.get_by_role("list", name="Language of the request: Check a code")
    languages.get_by_role("link", name="Python").click()
    expect(languages.locator("[aria-current]")).to_have_text("Python")
    expect(page.locator("#check-a-code-request")).to_be_in_viewport()
    expect(page.get_by_role("group", name="Request: Check a code, Python")).to_contain_text("urlopen")
