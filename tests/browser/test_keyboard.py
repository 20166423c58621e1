"""The whole login without a pointer: focus is where a person expects it after each step."""

import pytest
from playwright.sync_api import Page, expect

from .conftest import Visits
from .people import DESKTOP, DESKTOP_PLAIN, Face
from .stack import Stack


def tab_to(page: Page, selector: str, most: int = 12) -> None:
    """Press Tab until this has the focus, which must show."""
    wanted = page.locator(selector)
    for _ in range(most):
        page.keyboard.press("Tab")
        if wanted.evaluate("(node) => node === document.activeElement"):
            assert wanted.evaluate("(node) => getComputedStyle(node).outlineStyle") == "solid", selector
            return
    raise AssertionError(f"{selector} is not reached by {most} Tabs")


@pytest.mark.parametrize("face", [DESKTOP, DESKTOP_PLAIN], ids=str)
def test_a_login_by_sms_with_the_keyboard_alone(visits: Visits, stack: Stack, phone: str, face: Face) -> None:
    visitor = visits.visitor(face)
    page = visitor.page
    visitor.begins("/")
    tab_to(page, "main a.primary")
    page.keyboard.press("Enter")

    expect(visitor.contact).to_be_focused()
    page.wait_for_load_state()  # the field is there before its script
    page.keyboard.type(phone)
    page.keyboard.press("Enter")

    expect(visitor.heading).to_have_text("Get the code in Telegram")
    if face.script:
        expect(visitor.heading).to_be_focused()  # a screen reader says where one is
    tab_to(page, ".way[value=sms]")
    page.keyboard.press("Enter")

    expect(visitor.code).to_be_focused()
    code = stack.code(phone)
    page.keyboard.type(f"{(int(code) + 1) % 10**6:06}")
    if not face.script:
        page.keyboard.press("Enter")
    expect(visitor.problem).to_be_visible()
    expect(visitor.code).to_be_focused()
    expect(visitor.code).to_have_value("")
    page.keyboard.type(code)
    if not face.script:
        page.keyboard.press("Enter")

    visitor.is_logged_in_as(phone)
    tab_to(page, "main button")
    page.keyboard.press("Enter")
    expect(visitor.heading).to_have_text("Log in by phone, in seconds")


def test_another_way_is_reached_with_the_keyboard(visits: Visits, stack: Stack, phone: str) -> None:
    visitor = visits.visitor(DESKTOP)
    visitor.goes_to_code(phone, "telegram")
    tab_to(visitor.page, ".way[value=sms]")
    visitor.page.keyboard.press("Space")
    visitor.is_asked_for_code("sms")
    expect(visitor.code).to_be_focused()
