"""Back, forward, reload, and two tabs."""

import pytest
from playwright.sync_api import expect

from .conftest import Visits, Watch
from .people import DESKTOP, DESKTOP_PLAIN, PHONE, PHONE_PLAIN, Face, Visitor
from .stack import Stack

BOTH = pytest.mark.parametrize("face", [PHONE, DESKTOP_PLAIN], ids=str)


@BOTH
def test_back_forward_and_reload_show_the_steps_again(
    visits: Visits, stack: Stack, phone: str, face: Face
) -> None:
    visitor = visits.visitor(face)
    page = visitor.page
    visitor.begins("/")
    page.get_by_role("link", name="Log in").click()
    visitor.gives(phone)
    visitor.chooses("sms")
    page.go_back()
    visitor.is_asked_for_code("telegram")
    page.go_back()
    expect(visitor.contact).to_be_visible()
    page.go_back()
    expect(visitor.heading).to_have_text("Log in by phone, in seconds")
    page.go_forward()
    expect(visitor.contact).to_be_visible()
    page.go_forward()
    page.reload()
    expect(visitor.way("sms")).to_contain_text("Back to SMS")
    page.go_forward()
    visitor.is_asked_for_code("sms")
    page.reload()
    visitor.is_asked_for_code("sms")
    assert len(stack.letters(phone, "sms")) == 1
    visitor.types(stack.code(phone))
    visitor.is_logged_in_as(phone)
    page.go_back()
    expect(visitor.over).to_have_attribute("data-over", "used")


@pytest.mark.parametrize("face", [DESKTOP, PHONE_PLAIN], ids=str)
def test_what_one_tab_used_the_other_cannot(
    visits: Visits, stack: Stack, watch: Watch, phone: str, face: Face
) -> None:
    watch.expects(410)
    first = visits.visitor(face)
    second = Visitor(first.page.context.new_page(), stack, face)
    first.goes_to_code(phone, "sms")
    second.goes_to_code(phone, "telegram")  # the same session: it lives for a number, not for a tab
    code = stack.code(phone)
    second.begins()  # the last tab to begin is the one whose login counts
    second.gives(phone)
    second.chooses("telegram")
    second.types(code)
    second.is_logged_in_as(phone)
    if not face.script:
        first.types(code)
    expect(first.over).to_have_attribute("data-over", "used")
    expect(first.heading).to_have_text("This code has been used")
