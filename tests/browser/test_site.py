"""The demo site around the widget, and addresses that lead nowhere."""

from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from .conftest import Visits, Watch
from .people import DESKTOP, PHONE, PHONE_PLAIN, Face
from .stack import Stack


@pytest.mark.parametrize("face", [DESKTOP, PHONE_PLAIN], ids=str)
def test_the_profile_is_there_until_logging_out(visits: Visits, stack: Stack, phone: str, face: Face) -> None:
    visitor = visits.visitor(face)
    page = visitor.page
    visitor.goes_to_code(phone, "sms")
    visitor.types(stack.code(phone))
    visitor.is_logged_in_as(phone)
    visitor.begins("/")
    page.get_by_role("link", name="Your profile").click()
    visitor.is_logged_in_as(phone)
    page.get_by_role("button", name="Log out").click()
    expect(visitor.heading).to_have_text("Log in by phone, in seconds")
    expect(page.get_by_role("link", name="Log in")).to_be_visible()


def test_the_profile_of_nobody_leads_to_the_login(visits: Visits) -> None:
    visitor = visits.visitor(PHONE)
    visitor.begins("/profile")
    expect(visitor.contact).to_be_focused()


def test_a_widget_that_returns_nowhere_says_done(visits: Visits, stack: Stack, phone: str) -> None:
    visitor = visits.visitor(PHONE)
    visitor.goes_to_code(phone, "sms", "/widget?key=pk_development")
    visitor.types(stack.code(phone))
    expect(visitor.heading).to_have_text("Done")
    expect(visitor.heading).to_be_focused()


@pytest.mark.parametrize("face", [DESKTOP, PHONE_PLAIN], ids=str)
@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("/nothing/here", 404, "There is nothing at this address."),
        ("/widget?key=pk_unknown", 401, "Access denied"),
        ("/widget", 401, "Access denied"),
        (f"/widget?key=pk_development&return_to={quote('https://evil.example/')}", 400, "return_to"),
        ("/widget?key=pk_development&return_to=//evil.example/", 400, "return_to"),
        ("/widget/code?w=broken", 410, "This session has expired. Please start again."),
        ("/login/done?verify_token=broken&state=guessed", 410, "This session has expired. Please start again."),
    ],
)
def test_an_address_that_leads_nowhere_says_so_and_shows_the_way_home(
    visits: Visits, watch: Watch, face: Face, address: str, status: int, words: str
) -> None:
    watch.expects(status)
    visitor = visits.visitor(face)
    answer = visitor.page.goto(visitor.stack.web + address)
    assert answer is not None
    assert answer.status == status
    expect(visitor.page.locator("main .lead")).to_contain_text(words)
    visitor.page.get_by_role("link", name="To the home page").click()
    expect(visitor.heading).to_have_text("Log in by phone, in seconds")
